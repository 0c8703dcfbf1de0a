"""Attention: pool the last feature map into an embedding, and weigh the embedding's dimensions in the metric term.

The seed paper (arXiv 2302.04108, abstract only) says that its selective attention module combines pixel-wise and
element-wise attention coefficients from high-semantic deep features. The two forms below are our reading; each is an
arm of its own, ``selective`` has both. Both start exactly off: zero logits are average pooling, and A = 1.

Shapes: B samples, C channels of the last feature map, H×W its positions, D = C embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ablation.arrays import Float
from ablation.tcl.negatives import widened

PooledMaps = tuple[Float[Tensor, "B C"], Float[Tensor, "B H W"]]


@dataclass(frozen=True)
class Pooled:
    """An embedding and how it came about; all at least float32.

    Attributes:
        features_BD: the embedding, for logits and metric term.
        attention_BD: A >= 0 with mean 1 over D, for the distance only; None if element attention is off.
        pixel_map_BHW: >= 0, sums to 1 over positions; None if pixel attention is off.
    """

    features_BD: Float[Tensor, "B D"]
    attention_BD: Float[Tensor, "B D"] | None
    pixel_map_BHW: Float[Tensor, "B H W"] | None


class PixelAttention(nn.Module):
    """Pool by a learned spatial map: 1×1 convolution → softmax over positions → weighted sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # No bias: softmax over positions does not see it.
        self.to_logit = nn.Conv2d(channels, 1, kernel_size=1, bias=False)

    def forward(self, maps_BCHW: Float[Tensor, "B C H W"]) -> PooledMaps:
        """Return features_BC and pixel_map_BHW; the softmax is at least float32, also under autocast."""
        logits_BHW = self.to_logit(maps_BCHW).squeeze(1)
        return pool_by_logits(maps_BCHW, logits_BHW)

    def switch_off(self) -> None:
        """Make it average pooling, from where training departs: the gradient at zero weights is not zero."""
        nn.init.zeros_(self.to_logit.weight)


class ElementAttention(nn.Module):
    """Weigh embedding dimensions by a two-layer perceptron on the pooled feature; hidden width D/4, at least 8."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = max(dim // 4, 8)
        self.to_hidden = nn.Linear(dim, hidden)
        self.to_logits = nn.Linear(hidden, dim)

    def forward(self, features_BD: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """Return attention_BD >= 0 with mean 1 over D, at least float32, also under autocast."""
        with torch.autocast(features_BD.device.type, enabled=False):
            logits_BD = self.to_logits(functional.relu(self.to_hidden(widened(features_BD))))
        return unit_mean(logits_BD)

    def switch_off(self) -> None:
        """Make A = 1, from where training departs: only the last layer is zero, so that its gradient is not."""
        nn.init.zeros_(self.to_logits.weight)
        nn.init.zeros_(self.to_logits.bias)


class AttentionPooling(nn.Module):
    """Pool a feature map with or without pixel attention, and weigh it with or without element attention."""

    def __init__(self, pixel: PixelAttention | None, element: ElementAttention | None) -> None:
        super().__init__()
        self.pixel = pixel
        self.element = element

    def forward(self, maps_BCHW: Float[Tensor, "B C H W"]) -> Pooled:
        """Pool maps_BCHW of any float type and memory format."""
        pixel_map_BHW: Float[Tensor, "B H W"] | None = None
        if self.pixel is None:
            features_BD = widened(maps_BCHW).mean((2, 3))
        else:
            features_BD, pixel_map_BHW = self.pixel(maps_BCHW)
        attention_BD = None if self.element is None else self.element(features_BD)
        return Pooled(features_BD, attention_BD, pixel_map_BHW)

    def switch_off(self) -> None:
        """Make pooling an average and A = 1, as training should find them."""
        for part in (self.pixel, self.element):
            if part is not None:
                part.switch_off()


class Variant(NamedTuple):
    """Which of the two forms a variant of ``model.attention`` has."""

    pixel: bool
    element: bool

    def build(self, channels: int) -> AttentionPooling:
        """Build the pooling for a feature map of ``channels`` >= 1; D = channels."""
        return AttentionPooling(
            PixelAttention(channels) if self.pixel else None, ElementAttention(channels) if self.element else None
        )


ATTENTION: Mapping[str, Variant] = {
    "none": Variant(pixel=False, element=False),
    "pixel": Variant(pixel=True, element=False),
    "element": Variant(pixel=False, element=True),
    "selective": Variant(pixel=True, element=True),
}


def pool_by_logits(maps_BCHW: Float[Tensor, "B C H W"], logits_BHW: Float[Tensor, "B H W"]) -> PooledMaps:
    """Return features_BC = Σ_hw softmax(logits)·maps and the softmax, pixel_map_BHW; at least float32."""
    pixel_map_BHW = functional.softmax(widened(logits_BHW).flatten(1), dim=1).view_as(logits_BHW)
    return (widened(maps_BCHW) * pixel_map_BHW[:, None]).sum((2, 3)), pixel_map_BHW


def unit_mean(logits_BD: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
    """Return A = exp(logits) / mean_d exp(logits): >= 0, mean 1 over D, exactly 1 at zero logits; at least float32.

    This is D·softmax, spelt so that equal logits give 1 without rounding for every D. The mean is held since the
    metric term alone would push A to zero.
    """
    logits_BD = widened(logits_BD)
    # Less the maximum nothing overflows, and the mean is at least 1/D; a constant to the gradient, since it cancels.
    exponentials_BD = (logits_BD - logits_BD.detach().amax(1, keepdim=True)).exp()
    return exponentials_BD / exponentials_BD.mean(1, keepdim=True)


def effective_dimensions(attention_BD: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """Return the mean over samples of (ΣA)²/ΣA², from 1 (A sits in one dimension) to D (A = 1); a scalar.

    Worth logging: under center loss A can flee to the dimension with the smallest residual.
    """
    attention_BD = widened(attention_BD)
    return (attention_BD.sum(1).square() / attention_BD.square().sum(1)).mean()
