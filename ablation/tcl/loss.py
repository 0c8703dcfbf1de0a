"""Triplet-center loss: pull each embedding to its class's center and push it from a negative, up to a margin.

    D_A(f, c) = ½ Σ_d A_d (f_d - c_d)²                         weighted distance, in squared units of the embedding
    T = [D_A(f, c_y) + m - D_A(f, n)]_+                        hinge = "embedding" (He et al., CVPR 2018)
    T = Σ_d [½A_d((f_d - c_{y,d})² - (f_d - n_d)²) + m/D]_+    hinge = "element" (our reading)
    T = D_A(f, c_y)                                            negatives = "center" (Wen et al., ECCV 2016)

Distances are float32 even under autocast. The mean over the batch and the weight λ are the caller's; see ``two_sided``
for how λ reaches the network and never the centers. Class labels are not checked: that would make a GPU wait.

Shapes: B samples of a batch, N samples of a data set, K classes, D embedding dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ablation.arrays import Float, Int
from ablation.faults import FaultsError, nearest
from ablation.tcl.negatives import NEGATIVES, widened

HINGES = ("embedding", "element")
CENTER_STEPS = ("batch-mean", "class-mean")

Diagnostics = dict[str, Float[Tensor, ""]]


@dataclass(frozen=True)
class TwoSided:
    """The metric term once for the network and once for the centers.

    Attributes:
        network_terms_B: T per sample; gradient flows into features and attention only.
        center_terms_B: T per sample times its weight in the centers' step; gradient flows into the centers only.
        diagnostics: as ``TripletCenterLoss.forward`` gives them.
    """

    network_terms_B: Float[Tensor, " B"]
    center_terms_B: Float[Tensor, " B"]
    diagnostics: Diagnostics


class TripletCenterLoss(nn.Module):
    """Hold one learnable center per class and score embeddings against them.

    Attributes:
        centers_KD: the parameter; float32, normal with std √(2/K) at first. Give it its own SGD without weight decay.
    """

    centers_KD: nn.Parameter

    def __init__(
        self,
        num_classes: int,
        dim: int,
        *,
        negatives: str,
        margin: float,
        hinge: Literal["embedding", "element"] = "embedding",
        synthesis_ratio: float = 0.5,
        normalize_embedding: bool = False,
        center_step: Literal["batch-mean", "class-mean"] = "batch-mean",
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw the centers.

        Args:
            num_classes: K >= 2.
            dim: D >= 1.
            negatives: a name in ``NEGATIVES``, or "center" for no negative.
            margin: m >= 0, in units of D_A; not used with "center".
            hinge: clip per sample ("embedding") or per dimension with the margin shared out ("element").
            synthesis_ratio: ρ in [0, 1], for "semi-synthesized".
            normalize_embedding: put features and centers on the unit sphere before the distance, so that
                D_A <= 2·max A and a margin has a meaning; logits are not concerned.
            center_step: "batch-mean" or "class-mean", see ``two_sided``.
            generator: source of the initial centers; None is a fresh one with seed 0, never the global one.

        Raises:
            FaultsError: listing every argument out of its range.
        """
        super().__init__()
        _check(num_classes, dim, negatives, margin, hinge, synthesis_ratio, center_step)
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        normal_KD = torch.randn(num_classes, dim, generator=generator, device=generator.device)
        self.centers_KD = nn.Parameter(normal_KD * math.sqrt(2 / num_classes))
        self.negatives = negatives
        self.margin = float(margin)
        self.hinge = hinge
        self.synthesis_ratio = synthesis_ratio
        self.normalize_embedding = normalize_embedding
        self.center_step = center_step

    def forward(
        self,
        features_BD: Float[Tensor, "B D"],
        labels_B: Int[Tensor, " B"],
        logits_BK: Float[Tensor, "B K"],
        attention_BD: Float[Tensor, "B D"] | None = None,
    ) -> tuple[Float[Tensor, " B"], Diagnostics]:
        """Compute T per sample, with gradients into features, attention and centers alike.

        Shapes: as named; labels are class indices, int64; attention A >= 0 with mean 1, None for all ones.
        Returns: terms_B >= 0 in float32 (float64 if the features are), and detached scalars: ``d_pos`` and
            ``d_neg``, the mean distances to own center and negative, and ``active_hinge_fraction`` in [0, 1], the
            share of hinges above zero; the last two are NaN if there is no negative.
        Raises: ValueError if the features' width is not the centers'.
        """
        features_BD, centers_KD, attention_BD = self._prepare(features_BD, attention_BD)
        own_BD = centers_KD[labels_B]
        negatives_BD = self._negatives(features_BD, labels_B, centers_KD, logits_BK, attention_BD)
        return self._score(features_BD, own_BD, negatives_BD, attention_BD)

    def two_sided(
        self,
        features_BD: Float[Tensor, "B D"],
        labels_B: Int[Tensor, " B"],
        logits_BK: Float[Tensor, "B K"],
        attention_BD: Float[Tensor, "B D"] | None = None,
    ) -> TwoSided:
        """Compute T for the network and for the centers, from one selection of negatives.

        Write the loss as ``ce + λ * network_terms_B.mean() + center_terms_B.mean()``: the centers are detached in
        the first kind of terms, features and attention in the second. So each side gets exactly its own gradient
        from one backward pass, and the centers' step does not depend on λ, even at λ = 0. (In the usual code λ
        multiplies the centers' learning rate α unseen.) The value to log as the loss is ``ce + λ * network mean``.

        The centers' step is by ``center_step``:
            "batch-mean": the gradient of mean_i T_i, as autograd has it; a class absent from most batches barely moves.
            "class-mean": sample i weighs B / (1 + n_{y_i}), n_j the batch's count of class j. For negatives =
                "center" the gradient is then Wen et al.'s eq. 4, Δc_j = Σ_i 1(y_i=j)(c_j - f_i) / (1 + n_j). They
                have no negatives; the push that a sample gives its negative carries that sample's weight too, so a
                class counts alike in a batch whatever its size. Our reading.

        Shapes, ranges and errors: as ``forward``; the center terms carry their weights and are not T itself.
        """
        features_BD, centers_KD, attention_BD = self._prepare(features_BD, attention_BD)
        still_BD, still_attention_BD = features_BD.detach(), attention_BD.detach()
        own_BD = centers_KD[labels_B]
        negatives_BD = self._negatives(still_BD, labels_B, centers_KD, logits_BK, still_attention_BD)
        still_negatives_BD = None if negatives_BD is None else negatives_BD.detach()
        network_terms_B, diagnostics = self._score(features_BD, own_BD.detach(), still_negatives_BD, attention_BD)
        center_terms_B, _ = self._score(still_BD, own_BD, negatives_BD, still_attention_BD)
        if self.center_step == "class-mean":
            center_terms_B = center_terms_B * class_mean_weights(labels_B, len(centers_KD))
        return TwoSided(network_terms_B, center_terms_B, diagnostics)

    @torch.no_grad()
    def start_from_class_means(self, features_ND: Float[Tensor, "N D"], labels_N: Int[Tensor, " N"]) -> None:
        """Set each center to its class's mean feature; classes without a sample keep their center.

        Shapes: as named; features of any float type, labels are class indices.
        """
        means_KD, counts_K = class_means(features_ND, labels_N, len(self.centers_KD))
        self.centers_KD.copy_(torch.where(counts_K[:, None] > 0, means_KD.to(self.centers_KD), self.centers_KD))

    def _prepare(
        self, features_BD: Float[Tensor, "B D"], attention_BD: Float[Tensor, "B D"] | None
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "K D"], Float[Tensor, "B D"]]:
        """Widen to float32, normalise if asked, and format absent attention as ones."""
        if features_BD.ndim != 2 or features_BD.shape[1] != self.centers_KD.shape[1]:
            wanted = f"(B, {self.centers_KD.shape[1]})"
            raise ValueError(f"features_BD has shape {tuple(features_BD.shape)}, but the centers need {wanted}")
        features_BD, centers_KD = widened(features_BD), widened(self.centers_KD)
        if self.normalize_embedding:
            features_BD, centers_KD = functional.normalize(features_BD), functional.normalize(centers_KD)
        return features_BD, centers_KD, torch.ones_like(features_BD) if attention_BD is None else widened(attention_BD)

    def _negatives(
        self,
        features_BD: Float[Tensor, "B D"],
        labels_B: Int[Tensor, " B"],
        centers_KD: Float[Tensor, "K D"],
        logits_BK: Float[Tensor, "B K"],
        attention_BD: Float[Tensor, "B D"],
    ) -> Float[Tensor, "B D"] | None:
        if self.negatives == "center":
            return None
        choose = NEGATIVES[self.negatives]
        return choose(features_BD, labels_B, centers_KD, logits_BK, attention_BD, synthesis_ratio=self.synthesis_ratio)

    def _score(
        self,
        features_BD: Float[Tensor, "B D"],
        own_BD: Float[Tensor, "B D"],
        negatives_BD: Float[Tensor, "B D"] | None,
        attention_BD: Float[Tensor, "B D"],
    ) -> tuple[Float[Tensor, " B"], Diagnostics]:
        """Return terms_B and diagnostics; which inputs carry a gradient is the caller's choice."""
        pull_BD = half_squares(features_BD, own_BD, attention_BD)
        d_pos_B = pull_BD.sum(1)
        if negatives_BD is None:
            missing = torch.full((), math.nan, dtype=d_pos_B.dtype, device=d_pos_B.device)
            return d_pos_B, _diagnostics(missing, d_pos_B, missing)
        push_BD = half_squares(features_BD, negatives_BD, attention_BD)
        d_neg_B = push_BD.sum(1)
        if self.hinge == "element":
            hinges = (pull_BD - push_BD + self.margin / pull_BD.shape[1]).relu()
            terms_B = hinges.sum(1)
        else:
            hinges = terms_B = (d_pos_B - d_neg_B + self.margin).relu()
        return terms_B, _diagnostics((hinges > 0).to(d_pos_B), d_pos_B, d_neg_B)


def half_squares(
    features_BD: Float[Tensor, "B D"], points_BD: Float[Tensor, "B D"], attention_BD: Float[Tensor, "B D"]
) -> Float[Tensor, "B D"]:
    """Return ½A_d(f_d - c_d)² per dimension; its sum over D is the distance D_A."""
    return 0.5 * attention_BD * (features_BD - points_BD).square()


def class_mean_weights(labels_B: Int[Tensor, " B"], num_classes: int) -> Float[Tensor, " B"]:
    """Return B / (1 + n_{y_i}) per sample: under a batch mean, Wen et al.'s per-class mean (ECCV 2016, eq. 4)."""
    # Not bincount, which makes a GPU wait for the host.
    ones_B = torch.ones_like(labels_B, dtype=torch.float32)
    counts_K = ones_B.new_zeros(num_classes).index_add_(0, labels_B, ones_B)
    return len(labels_B) / (1 + counts_K[labels_B])


def class_means(
    features_ND: Float[Tensor, "N D"], labels_N: Int[Tensor, " N"], num_classes: int
) -> tuple[Float[Tensor, "K D"], Int[Tensor, " K"]]:
    """Average the features of each class.

    Shapes: as named; returns means_KD, at least float32 and zero for classes without a sample, and counts_K, int64.
    """
    features_ND = widened(features_ND)
    sums_KD = features_ND.new_zeros(num_classes, features_ND.shape[1]).index_add_(0, labels_N, features_ND)
    counts_K = labels_N.new_zeros(num_classes).index_add_(0, labels_N, torch.ones_like(labels_N))
    return sums_KD / counts_K.clamp(min=1)[:, None], counts_K


def _diagnostics(
    active: Float[Tensor, " ..."], d_pos: Float[Tensor, " B"], d_neg: Float[Tensor, " ..."]
) -> Diagnostics:
    named = {"active_hinge_fraction": active, "d_pos": d_pos, "d_neg": d_neg}
    return {name: values.detach().mean() for name, values in named.items()}


def _check(
    num_classes: int, dim: int, negatives: str, margin: float, hinge: str, synthesis_ratio: float, center_step: str
) -> None:
    strategies = ("center", *NEGATIVES)
    rules = (
        (num_classes >= 2, f"num_classes is {num_classes}, but a negative needs another class: at least 2"),
        (dim >= 1, f"dim is {dim}, but must be >= 1"),
        (negatives in strategies, f"negatives is {negatives!r}; {nearest(negatives, strategies)}"),
        (0 <= margin < math.inf, f"margin is {margin}, but must be >= 0 and finite"),
        (hinge in HINGES, f"hinge is {hinge!r}; {nearest(hinge, HINGES)}"),
        (0 <= synthesis_ratio <= 1, f"synthesis_ratio is {synthesis_ratio}, but must be in [0, 1]"),
        (center_step in CENTER_STEPS, f"center_step is {center_step!r}; {nearest(center_step, CENTER_STEPS)}"),
    )
    faults = [fault for holds, fault in rules if not holds]
    if faults:
        raise FaultsError(faults)
