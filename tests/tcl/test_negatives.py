"""Negative selection: four strategies against loops, and the facts that order them.

Shapes: B samples, K classes, D dimensions.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ablation.tcl.loss import half_squares
from ablation.tcl.negatives import NEGATIVES, synthesized_dimensions
from tests.support.metric_term_cases import Batch, batches, draw_batch
from tests.support.metric_term_oracle import ORACLES

few = settings(max_examples=25, deadline=None, derandomize=True)
ratios = st.floats(0, 1)
every_strategy = pytest.mark.parametrize("name", list(NEGATIVES))


def choose(name: str, batch: Batch, ratio: float = 0.5) -> Tensor:
    return NEGATIVES[name](*batch, synthesis_ratio=ratio)


def distances(batch: Batch, points_BD: Tensor) -> Tensor:
    return half_squares(batch.features_BD, points_BD, batch.attention_BD).sum(1)


def test_every_registered_strategy_has_an_oracle() -> None:
    assert set(NEGATIVES) == set(ORACLES)


@every_strategy
@pytest.mark.parametrize("attended", [True, False])
@given(batch=batches(), ratio=ratios)
@few
def test_strategy_agrees_with_loops(name: str, attended: bool, batch: Batch, ratio: float) -> None:
    if not attended:
        batch = batch._replace(attention_BD=torch.ones_like(batch.attention_BD))
    f, y, c, z, a = (tensor.tolist() for tensor in batch)
    expected = [ORACLES[name](f[i], y[i], c, z[i], a[i], ratio) for i in range(len(y))]
    torch.testing.assert_close(choose(name, batch, ratio).tolist(), expected, rtol=0, atol=0)


@given(batch=batches())
@few
def test_ratio_zero_is_nearest_and_one_is_fully_synthesized(batch: Batch) -> None:
    assert torch.equal(choose("semi-synthesized", batch, 0.0), choose("nearest", batch))
    assert torch.equal(choose("semi-synthesized", batch, 1.0), choose("fully-synthesized", batch))


@given(batch=batches(), pair=st.tuples(ratios, ratios))
@few
def test_distance_falls_monotonically_in_the_ratio(batch: Batch, pair: tuple[float, float]) -> None:
    less, more = (distances(batch, choose("semi-synthesized", batch, ratio)) for ratio in sorted(pair))
    assert (more <= less).all()


@given(batch=batches(), ratio=ratios)
@few
def test_full_is_closer_than_semi_than_nearest_than_prediction(batch: Batch, ratio: float) -> None:
    order = ("fully-synthesized", "semi-synthesized", "nearest", "prediction")
    in_order = [distances(batch, choose(name, batch, ratio)) for name in order]
    for closer, farther in pairwise(in_order):
        assert (closer <= farther * (1 + 1e-12)).all()


@every_strategy
@given(batch=batches(), seed=st.integers(0, 2**31))
@few
def test_relabelling_the_classes_changes_nothing(name: str, batch: Batch, seed: int) -> None:
    order_K = torch.randperm(len(batch.centers_KD), generator=torch.Generator().manual_seed(seed))
    relabelled = batch._replace(
        labels_B=order_K.argsort()[batch.labels_B],
        centers_KD=batch.centers_KD[order_K],
        logits_BK=batch.logits_BK[:, order_K],
    )
    assert torch.equal(choose(name, relabelled), choose(name, batch))


@every_strategy
@pytest.mark.parametrize(("label", "winner"), [(0, 1), (1, 0), (3, 0)])
def test_ties_go_to_the_lowest_other_class(name: str, label: int, winner: int) -> None:
    # All centers are equally far from the origin, and equal as values only where they are the same class.
    centers_KD = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, 1.0]], requires_grad=True)
    ones_BD = torch.ones(1, 2)
    negatives_BD = NEGATIVES[name](
        torch.zeros(1, 2), torch.tensor([label]), centers_KD, torch.zeros(1, 4), ones_BD, synthesis_ratio=0.5
    )
    (gradient_KD,) = torch.autograd.grad(negatives_BD.sum(), centers_KD)
    assert negatives_BD.tolist() == [centers_KD[winner].tolist()]
    assert set(gradient_KD.nonzero()[:, 0].tolist()) == {winner}


def test_equal_gains_are_synthesized_in_the_lowest_dimensions() -> None:
    # Nearest of y = 2 is class 0 at (3, 3, 0); class 1 at (1, 1, 9) gains equally in the first two dimensions.
    centers_KD = torch.tensor([[3.0, 3.0, 0.0], [1.0, 1.0, 9.0], [0.0, 0.0, 0.0]])
    negatives_BD = NEGATIVES["semi-synthesized"](
        torch.zeros(1, 3), torch.tensor([2]), centers_KD, torch.zeros(1, 3), torch.ones(1, 3), synthesis_ratio=1 / 3
    )
    assert negatives_BD.tolist() == [[1.0, 3.0, 0.0]]


@every_strategy
@given(batch=batches())
@few
def test_gradient_reaches_the_picked_centers_and_nothing_else(name: str, batch: Batch) -> None:
    inputs = batch._replace(
        **{field: getattr(batch, field).clone().requires_grad_() for field in batch._fields if field != "labels_B"}
    )
    negatives_BD = choose(name, inputs)
    torch.autograd.backward(negatives_BD.sum())
    assert inputs.features_BD.grad is inputs.logits_BK.grad is inputs.attention_BD.grad is None
    assert inputs.centers_KD.grad is not None
    # Each of the B values of a dimension comes from exactly one center.
    assert inputs.centers_KD.grad.sum(0).tolist() == [len(batch.labels_B)] * batch.centers_KD.shape[1]


@every_strategy
def test_own_class_is_never_picked_though_it_fits_best(name: str) -> None:
    batch = draw_batch(3)
    labels_B = batch.labels_B
    own = batch._replace(
        features_BD=batch.centers_KD[labels_B],
        logits_BK=torch.nn.functional.one_hot(labels_B, 5).double() * 1e30,
        attention_BD=torch.zeros_like(batch.attention_BD).index_fill_(1, torch.tensor([0]), 6.0),
    )
    assert (choose(name, own) != own.features_BD).all()


@every_strategy
def test_two_classes_leave_the_other_center(name: str) -> None:
    batch = draw_batch(4, k=2)
    assert torch.equal(choose(name, batch), batch.centers_KD[1 - batch.labels_B])


@every_strategy
def test_selection_is_float32_under_bfloat16_autocast(name: str) -> None:
    batch = draw_batch(5, d=64, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = choose(name, batch)
    assert under_autocast.dtype == torch.float32
    assert torch.equal(under_autocast, choose(name, batch))


def test_features_in_bfloat16_are_compared_in_float32() -> None:
    # 257.25 and 257.75 are one number in bfloat16: half-precision differences would tie and pick class 0.
    centers_KD = torch.tensor([[257.75], [257.25], [0.0]])
    for name in ("nearest", "fully-synthesized", "semi-synthesized"):
        negatives_BD = NEGATIVES[name](
            torch.tensor([[256.0]], dtype=torch.bfloat16),
            torch.tensor([2]),
            centers_KD,
            torch.zeros(1, 3, dtype=torch.bfloat16),
            torch.ones(1, 1, dtype=torch.bfloat16),
            synthesis_ratio=0.5,
        )
        assert negatives_BD.tolist() == [[257.25]]


@pytest.mark.parametrize(
    ("ratio", "dim", "count"),
    [(0, 7, 0), (1, 7, 7), (0.5, 7, 4), (0.07, 100, 7), (0.1 + 0.2, 10, 3), (1e-6, 64, 1), (0.5, 1, 1)],
)
def test_synthesized_dimensions_round_up_but_not_for_rounding_errors(ratio: float, dim: int, count: int) -> None:
    assert synthesized_dimensions(ratio, dim) == count
