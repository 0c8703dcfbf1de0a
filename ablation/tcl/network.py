"""The network under study: backbone → attention pooling → linear head.

Shapes: B images, K classes, D embedding dimensions, H×W positions of the last feature map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ablation.arrays import Float
from ablation.faults import FaultsError, nearest
from ablation.tcl import config
from ablation.tcl.attention import ATTENTION, AttentionPooling
from ablation.tcl.backbones import BACKBONES, Backbone, build_backbone, initialise


@dataclass(frozen=True)
class Output:
    """What a forward pass gives; all float32, also under autocast (float64 if the network is).

    Attributes:
        features_BD: the embedding, for the metric term.
        logits_BK: class scores before the softmax, from the raw embedding.
        attention_BD: element attention A, None if it is off; see ``attention.Pooled``.
        pixel_map_BHW: pixel attention, None if it is off.
    """

    features_BD: Float[Tensor, "B D"]
    logits_BK: Float[Tensor, "B K"]
    attention_BD: Float[Tensor, "B D"] | None
    pixel_map_BHW: Float[Tensor, "B H W"] | None


class Network(nn.Module):
    """Classify images, and give the embedding and the attention behind it.

    Attributes:
        dim: D, the embedding's width.
        num_classes: K.
    """

    def __init__(self, backbone: Backbone, pooling: AttentionPooling, head: nn.Linear) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        self.head = head
        self.dim = head.in_features
        self.num_classes = head.out_features

    def forward(self, images_BCHW: Float[Tensor, "B C H W"]) -> Output:
        """Map normalised images, B×3 pixels, of any float type and memory format.

        In eval mode an image's output does not depend on the batch it is in (but for rounding).
        """
        pooled = self.pooling(self.backbone(images_BCHW))
        # The head costs D·K products: nothing to save by half precision, and half-precision logits tie.
        with torch.autocast(images_BCHW.device.type, enabled=False):
            logits_BK = self.head(pooled.features_BD)
        return Output(pooled.features_BD, logits_BK, pooled.attention_BD, pooled.pixel_map_BHW)


def network_of(model: config.Model, num_classes: int, tensors: Mapping[str, Tensor]) -> Network:
    """Build the network that a configuration names around tensors by name, in eval mode and channels_last.

    Shapes are compared before any memory is taken. Raises RuntimeError naming tensors that are missing, unknown or of
    another shape, ValueError for one of another type.
    """
    with torch.device("meta"):
        backbone = BACKBONES[model.backbone](model.width)
        pooling = ATTENTION[model.attention].build(backbone.channels)
        network = Network(backbone, pooling, nn.Linear(backbone.channels, num_classes))
    for name, expected in network.state_dict().items():
        if name in tensors and tensors[name].dtype != expected.dtype:
            raise ValueError(f"{name} is of {tensors[name].dtype}, but must be of {expected.dtype}")
    network.load_state_dict(dict(tensors), assign=True)
    return network.to(memory_format=torch.channels_last).eval()


def build_network(model: config.Model, num_classes: int, generator: torch.Generator) -> Network:
    """Build the network that a configuration names: on the CPU, in float32, training mode and contiguous format.

    All first values come from ``generator``; attention starts off, so training departs from the plain network.
    num_classes K >= 2. Prints the share of matched tensors where ``model.weights`` names some.

    Raises: FaultsError for a number of classes or a name that there is not, and for weights that do not fit.
    """
    faults = []
    if num_classes < 2:
        faults.append(f"num_classes is {num_classes}, but must be at least 2")
    if model.attention not in ATTENTION:
        faults.append(f"model.attention is {model.attention!r}; {nearest(model.attention, ATTENTION)}")
    if faults:
        raise FaultsError(faults)
    backbone = build_backbone(model.backbone, width=model.width, weights=model.weights, generator=generator)
    with torch.random.fork_rng(devices=[]):
        pooling = ATTENTION[model.attention].build(backbone.channels)
        head = nn.Linear(backbone.channels, num_classes)
    # The head first: arms of a replicate that differ in attention then start from the same backbone and head.
    for part in (head, pooling):
        initialise(part, generator)
    pooling.switch_off()
    return Network(backbone, pooling, head)
