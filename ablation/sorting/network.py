"""A transformer encoder that writes a sequence's symbols in order, all at once; every part can be taken out.

Nothing here advances the global random generator: ``initialise`` gives every parameter its first value, from a
generator of the parameter's own name, so that arms of a replicate start alike in all that they share.

Shapes: B sequences, L positions, V symbols, D width, H heads, K = D/H dimensions of a head.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ablation.arrays import Float, Int
from ablation.seeds import derive_seed
from ablation.sorting.config import Model
from ablation.sorting.positions import angles, rotate, sinusoidal

HIDDEN_PER_WIDTH = 2


class SoftmaxAttention(nn.Module):
    """Mix positions by similarity of queries and keys, in several heads (Vaswani et al., NeurIPS 2017)."""

    angles_LF: Float[Tensor, "L F"]

    def __init__(self, width: int, heads: int, length: int, is_rotary: bool) -> None:
        super().__init__()
        self.heads, self.is_rotary = heads, is_rotary
        self.to_query, self.to_key = nn.Linear(width, width), nn.Linear(width, width)
        self.to_value, self.to_out = nn.Linear(width, width), nn.Linear(width, width)
        self.register_buffer("angles_LF", angles(length, width // heads), persistent=False)

    def weights(self, states_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B H L L"]:
        """Return weights_BHLL, of which rows are what a position takes from each other: > 0, with sum 1."""
        query_BHLK, key_BHLK = self._split(self.to_query(states_BLD)), self._split(self.to_key(states_BLD))
        if self.is_rotary:
            query_BHLK, key_BHLK = rotate(query_BHLK, self.angles_LF), rotate(key_BHLK, self.angles_LF)
        scale = 1 / math.sqrt(query_BHLK.shape[-1])
        return (query_BHLK @ key_BHLK.transpose(2, 3) * scale).softmax(3)

    def forward(self, states_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Map states to mixed ones of the same shape."""
        mixed_BHLK = self.weights(states_BLD) @ self._split(self.to_value(states_BLD))
        mixed_BLD: Tensor = self.to_out(mixed_BHLK.transpose(1, 2).flatten(2))
        return mixed_BLD

    def _split(self, vectors_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B H L K"]:
        return vectors_BLD.view(*vectors_BLD.shape[:2], self.heads, -1).transpose(1, 2)


class AverageAttention(nn.Module):
    """Give every position the mean over all: attention without queries and keys."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_value, self.to_out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, states_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Map states to mixed ones of the same shape."""
        mixed_B1D: Tensor = self.to_out(self.to_value(states_BLD).mean(1, keepdim=True))
        return mixed_B1D.expand_as(states_BLD)


class Sublayer(nn.Module):
    """Wrap a layer in normalisation, after or before it (Xiong et al., ICML 2020, figure 1), and a residual sum."""

    def __init__(self, inner: nn.Module, model: Model) -> None:
        super().__init__()
        self.inner = inner
        self.has_residual = model.residual
        self.before = nn.LayerNorm(model.width) if model.normalisation == "pre" else nn.Identity()
        self.after = nn.LayerNorm(model.width) if model.normalisation == "post" else nn.Identity()

    def forward(self, states_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Map states to states."""
        change_BLD = self.inner(self.before(states_BLD))
        mapped_BLD: Tensor = self.after(states_BLD + change_BLD if self.has_residual else change_BLD)
        return mapped_BLD


class Network(nn.Module):
    """Map a sequence of symbols to logits of the sorted sequence, at every position."""

    def __init__(self, model: Model, length: int, symbols: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, model.width)
        self.positions = nn.Embedding(length, model.width) if model.positions == "learned" else None
        fixed_LD = sinusoidal(length, model.width) if model.positions == "sinusoidal" else torch.zeros(1, model.width)
        self.register_buffer("fixed_LD", fixed_LD, persistent=False)
        layers: list[nn.Module] = []
        for _ in range(model.layers):
            if model.attention != "none":
                layers.append(Sublayer(_attention(model, length), model))
            layers.append(Sublayer(_feed_forward(model.width), model))
        self.layers = nn.Sequential(*layers)
        # Behind pre-normalised layers the sum of all changes has not been normalised yet.
        self.norm = nn.LayerNorm(model.width) if model.normalisation == "pre" else nn.Identity()
        self.head = nn.Linear(model.width, symbols)

    def forward(self, symbols_BL: Int[Tensor, "B L"]) -> Float[Tensor, "B L V"]:
        """Map symbols in 0..V-1 to logits_BLV."""
        states_BLD = self.embedding(symbols_BL) + self.fixed_LD
        if self.positions is not None:
            states_BLD = states_BLD + self.positions.weight
        logits_BLV: Tensor = self.head(self.norm(self.layers(states_BLD)))
        return logits_BLV


def build_network(model: Model, length: int, symbols: int, seed: int) -> Network:
    """Build the network that a configuration names, on the CPU, with first values from ``seed``."""
    # Layers draw default values when they are made, which are thrown away: from a copy of the global generator.
    with torch.random.fork_rng(devices=[]):
        network = Network(model, length, symbols)
    initialise(network, seed)
    return network


def initialise(network: nn.Module, seed: int) -> None:
    """Draw embeddings with spread 1, linear layers with variance 1/fan_in and no bias; normalisation is the identity.

    Raises: TypeError for a layer of another kind that has parameters of its own, rather than leave it as it is.
    """
    for name, layer in network.named_modules():
        generator = torch.Generator().manual_seed(derive_seed(seed, "initial values", name))
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Embedding):
            nn.init.normal_(layer.weight, generator=generator)
        elif isinstance(layer, nn.LayerNorm):
            layer.reset_parameters()
        elif next(layer.parameters(recurse=False), None) is not None:
            raise TypeError(f"initialise knows no first values for {type(layer).__name__}; add its rule here")


def _attention(model: Model, length: int) -> nn.Module:
    if model.attention == "average":
        return AverageAttention(model.width)
    return SoftmaxAttention(model.width, model.heads, length, is_rotary=model.positions == "rotary")


def _feed_forward(width: int) -> nn.Module:
    hidden = HIDDEN_PER_WIDTH * width
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
