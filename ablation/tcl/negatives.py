"""Negative selection: for each sample, the point its embedding has to be further from than from its own center.

Four strategies, each one function in ``NEGATIVES``. The seed paper (arXiv 2302.04108), of which only the abstract is
to be had here, names three of them: fully-synthesized, semi-synthesized and prediction-based. Their equations are our
reading, stated in each docstring; docs/method.md says why.

The choice is made without gradient, among all centers (never within the batch, which may lack a class), in float32
even under autocast; the gradient flows into the centers picked. In ties the lowest class index wins.

Shapes: B samples, K classes, D embedding dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from ablation.arrays import Bool, Float, Int


class Strategy(Protocol):
    """Pick or make one negative per sample."""

    def __call__(
        self,
        features_BD: Float[Tensor, "B D"],
        labels_B: Int[Tensor, " B"],
        centers_KD: Float[Tensor, "K D"],
        logits_BK: Float[Tensor, "B K"],
        attention_BD: Float[Tensor, "B D"],
        *,
        synthesis_ratio: float,
    ) -> Float[Tensor, "B D"]:
        """Return negatives_BD, in the centers' units and at least float32."""
        ...


def nearest(
    features_BD: Float[Tensor, "B D"],
    labels_B: Int[Tensor, " B"],
    centers_KD: Float[Tensor, "K D"],
    logits_BK: Float[Tensor, "B K"],
    attention_BD: Float[Tensor, "B D"],
    *,
    synthesis_ratio: float,
) -> Float[Tensor, "B D"]:
    """Take the nearest center of another class: n = c_j, j = argmin_{j≠y} D_A(f, c_j).

    Source: He et al., "Triplet-Center Loss", CVPR 2018, the definition of L_tc. The attention A in the
    distance is our addition.
    Shapes: as named, the result is negatives_BD. K >= 2. The logits and the ratio are not used.
    Cost: O(B·K·D) time and memory.
    """
    with torch.no_grad(), _without_autocast(features_BD):
        nearest_B = _nearest_class(_gaps(features_BD, labels_B, centers_KD), labels_B, attention_BD)
    return widened(centers_KD)[nearest_B]


def prediction(
    features_BD: Float[Tensor, "B D"],
    labels_B: Int[Tensor, " B"],
    centers_KD: Float[Tensor, "K D"],
    logits_BK: Float[Tensor, "B K"],
    attention_BD: Float[Tensor, "B D"],
    *,
    synthesis_ratio: float,
) -> Float[Tensor, "B D"]:
    """Take the center of the class that the sample is, or nearly is, mistaken for: n = c_j, j = argmax_{j≠y} p_j.

    Source: the seed paper's abstract gives the name ("prediction-based"); the equation is our reading. The logits
    stand for the probabilities: they have the same order and do not saturate.
    Shapes: as named, the result is negatives_BD. K >= 2. Features, attention and the ratio are not used.
    Cost: O(B·K) to choose, O(B·D) to gather.
    """
    with torch.no_grad():
        others_BK = logits_BK.scatter(1, labels_B[:, None], -math.inf)
        mistaken_B = others_BK.argmax(1)
    return widened(centers_KD)[mistaken_B]


def fully_synthesized(
    features_BD: Float[Tensor, "B D"],
    labels_B: Int[Tensor, " B"],
    centers_KD: Float[Tensor, "K D"],
    logits_BK: Float[Tensor, "B K"],
    attention_BD: Float[Tensor, "B D"],
    *,
    synthesis_ratio: float,
) -> Float[Tensor, "B D"]:
    """Make the hardest virtual center: n_d = c_{j(d),d}, j(d) = argmin_{j≠y} abs(f_d - c_{j,d}).

    Each dimension takes the closest value any other class's center has there, so no point made of the other classes'
    coordinates is nearer, whatever the attention A >= 0, and the point is in general no class's center.

    Source: the seed paper's abstract gives the name; the equation is our reading.
    Shapes: as named, the result is negatives_BD. K >= 2. Logits, attention and the ratio are not used.
    Cost: O(B·K·D) time and memory.
    """
    with torch.no_grad(), _without_autocast(features_BD):
        closest_BD = _gaps(features_BD, labels_B, centers_KD).argmin(1)
    return widened(centers_KD).gather(0, closest_BD)


def semi_synthesized(
    features_BD: Float[Tensor, "B D"],
    labels_B: Int[Tensor, " B"],
    centers_KD: Float[Tensor, "K D"],
    logits_BK: Float[Tensor, "B K"],
    attention_BD: Float[Tensor, "B D"],
    *,
    synthesis_ratio: float,
) -> Float[Tensor, "B D"]:
    """Synthesize where it gains most: fully-synthesized in ⌈ρD - 1e-9⌉ dimensions, the nearest center elsewhere.

    The dimensions are those with the largest gain A_d·((f_d - nearest_d)² - (f_d - full_d)²) >= 0; among equal gains
    the lowest dimension. So ρ = 0 is ``nearest``, ρ = 1 is ``fully_synthesized``, and D_A falls monotonically in ρ.

    Source: the seed paper's abstract gives the name; the equation and the ratio ρ are our reading.
    Shapes: as named, the result is negatives_BD. K >= 2; synthesis_ratio ρ in [0, 1]. The logits are not used.
    Cost: O(B·K·D) time and memory, and a sort of the D gains of each sample.
    """
    with torch.no_grad(), _without_autocast(features_BD):
        gaps_BKD = _gaps(features_BD, labels_B, centers_KD)
        nearest_B = _nearest_class(gaps_BKD, labels_B, attention_BD)
        closest_gap_BD, closest_BD = gaps_BKD.min(1)
        nearest_gap_BD = gaps_BKD.gather(1, nearest_B[:, None, None].expand(-1, 1, features_BD.shape[1])).squeeze(1)
        gain_BD = widened(attention_BD) * (nearest_gap_BD.square() - closest_gap_BD.square())
        chosen_BD = _largest(gain_BD, synthesized_dimensions(synthesis_ratio, gain_BD.shape[1]))
        source_BD = torch.where(chosen_BD, closest_BD, nearest_B[:, None])
    return widened(centers_KD).gather(0, source_BD)


NEGATIVES: Mapping[str, Strategy] = {
    "nearest": nearest,
    "prediction": prediction,
    "semi-synthesized": semi_synthesized,
    "fully-synthesized": fully_synthesized,
}


def synthesized_dimensions(synthesis_ratio: float, dim: int) -> int:
    """Count the dimensions that a semi-synthesized negative synthesizes: ⌈ρD - 1e-9⌉, from 0 to D.

    The 1e-9 keeps products such as 0.07·100 = 7.000000000000001 from counting one dimension too many.
    """
    return math.ceil(synthesis_ratio * dim - 1e-9)


def widened(tensor: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """Return the tensor in float32 if it is narrower, unchanged otherwise (float64 stays, for gradient checks)."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def _without_autocast(tensor: Tensor) -> torch.autocast:
    return torch.autocast(device_type=tensor.device.type, enabled=False)


def _gaps(
    features_BD: Float[Tensor, "B D"], labels_B: Int[Tensor, " B"], centers_KD: Float[Tensor, "K D"]
) -> Float[Tensor, "B K D"]:
    """Return gaps_BKD = abs(f - c), infinite at a sample's own class so that no minimum picks it."""
    gaps_BKD = (widened(features_BD)[:, None] - widened(centers_KD)).abs_()
    # Not gaps[rows, labels] = inf, which copies the number to a GPU and waits for it.
    return gaps_BKD.scatter_(1, labels_B[:, None, None].expand(-1, 1, features_BD.shape[1]), math.inf)


def _nearest_class(
    gaps_BKD: Float[Tensor, "B K D"], labels_B: Int[Tensor, " B"], attention_BD: Float[Tensor, "B D"]
) -> Int[Tensor, " B"]:
    """Return nearest_B = argmin_{j≠y} Σ_d A_d·gap_d²; half of the sum is D_A, which has the same order."""
    # A sum, not a matrix product: those may run in TF32, and round equal distances differently.
    distances_BK = (widened(attention_BD)[:, None] * gaps_BKD.square()).sum(2)
    # Masked again, since an own class's infinite gap times A_d = 0 is NaN, which argmin takes for the smallest.
    return distances_BK.scatter_(1, labels_B[:, None], math.inf).argmin(1)


def _largest(values_BD: Float[Tensor, "B D"], count: int) -> Bool[Tensor, "B D"]:
    """Mark each row's ``count`` largest values; a stable sort, since topk leaves ties to the backend."""
    order_BD = values_BD.sort(dim=1, descending=True, stable=True).indices
    return torch.zeros_like(values_BD, dtype=torch.bool).scatter_(1, order_BD[:, :count], True)
