"""How a transformer knows where a symbol stands.

Shapes: B sequences, L positions, D width of the embedding, H heads, K = D/H dimensions of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ablation.arrays import Float

LONGEST_WAVE = 10_000.0


def angles(length: int, width: int) -> Float[Tensor, "L F"]:
    """Return position · 10000^(−2i/width) for i in 0..width/2-1, as angles_LF in radians, F = width/2."""
    rates_F = LONGEST_WAVE ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    return torch.arange(length, dtype=torch.float64)[:, None] * rates_F


def sinusoidal(length: int, width: int) -> Float[Tensor, "L D"]:
    """Return table_LD: sines in even dimensions, cosines in odd ones (Vaswani et al., NeurIPS 2017, section 3.5)."""
    angles_LF = angles(length, width)
    return torch.stack([angles_LF.sin(), angles_LF.cos()], dim=2).flatten(1).float()


def rotate(vectors_BHLK: Float[Tensor, "B H L K"], angles_LF: Float[Tensor, "L F"]) -> Float[Tensor, "B H L K"]:
    """Turn each pair of neighbouring dimensions by its position's angle, F = K/2 (Su et al., 2021, equation 34).

    Dot products of two turned vectors depend on the distance of their positions only.
    """
    even_BHLF, odd_BHLF = vectors_BHLK[..., 0::2], vectors_BHLK[..., 1::2]
    cos_LF, sin_LF = angles_LF.cos().to(vectors_BHLK), angles_LF.sin().to(vectors_BHLK)
    turned = (even_BHLF * cos_LF - odd_BHLF * sin_LF, even_BHLF * sin_LF + odd_BHLF * cos_LF)
    return torch.stack(turned, dim=-1).flatten(-2)
