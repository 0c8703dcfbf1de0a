"""Triplet-center loss: values against loops, gradients of both sides, and what optimising it does.

Shapes: B samples, K classes, D dimensions.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from ablation.faults import FaultsError
from ablation.tcl.loss import TripletCenterLoss, class_means
from ablation.tcl.negatives import NEGATIVES
from tests.support.metric_term_cases import Batch, batches, draw_batch
from tests.support.metric_term_oracle import ORACLES, term, unit

few = settings(max_examples=8, deadline=None, derandomize=True)
STRATEGIES = ("center", *NEGATIVES)
every_strategy = pytest.mark.parametrize("name", STRATEGIES)
every_hinge = pytest.mark.parametrize("hinge", ["embedding", "element"])


def build(name: str, batch: Batch, **options: Any) -> TripletCenterLoss:
    """Build a loss that has the batch's centers and dtype."""
    loss = TripletCenterLoss(*batch.centers_KD.shape, negatives=name, **{"margin": 1.0, **options})
    loss = loss.to(batch.centers_KD.dtype)
    with torch.no_grad():
        loss.centers_KD.copy_(batch.centers_KD)
    return loss


def inputs(batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return batch.features_BD, batch.labels_B, batch.logits_BK, batch.attention_BD


@every_strategy
@every_hinge
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("attended", [False, True])
@given(batch=batches(), margin=st.floats(0, 20), ratio=st.floats(0, 1))
@few
def test_terms_and_diagnostics_agree_with_loops(
    name: str, hinge: str, normalize: bool, attended: bool, batch: Batch, margin: float, ratio: float
) -> None:
    loss = build(name, batch, margin=margin, hinge=hinge, synthesis_ratio=ratio, normalize_embedding=normalize)
    f, y, c, z, a = (tensor.tolist() for tensor in batch)
    if normalize:
        f, c = [unit(v) for v in f], [unit(v) for v in c]
    if not attended:
        a = [[1.0] * len(v) for v in f]
    expected, d_pos, d_neg = [], 0.0, 0.0
    for i, label in enumerate(y):
        negative = None if name == "center" else ORACLES[name](f[i], label, c, z[i], a[i], ratio)
        expected.append(term(f[i], c[label], negative, a[i], margin, hinge))
        d_pos += term(f[i], c[label], None, a[i], 0, hinge) / len(y)
        d_neg += term(f[i], negative or [], None, a[i], 0, hinge) / len(y) if negative else math.nan
    terms_B, diagnostics = loss(*inputs(batch)[:3], batch.attention_BD if attended else None)
    torch.testing.assert_close(terms_B, torch.tensor(expected, dtype=torch.float64))
    assert diagnostics["d_pos"].item() == pytest.approx(d_pos)
    assert diagnostics["d_neg"].item() == pytest.approx(d_neg, nan_ok=True)


@pytest.mark.parametrize(("hinge", "fraction"), [("embedding", 0.5), ("element", 0.25)])
def test_active_fraction_counts_the_hinges_above_zero(hinge: str, fraction: float) -> None:
    batch = Batch(
        features_BD=torch.tensor([[0.0, 0.0], [0.0, 3.0]]),
        labels_B=torch.tensor([0, 0]),
        centers_KD=torch.tensor([[0.0, 0.0], [0.0, 4.0]]),
        logits_BK=torch.zeros(2, 2),
        attention_BD=torch.ones(2, 2),
    )
    _, diagnostics = build("nearest", batch, margin=0.0, hinge=hinge)(*inputs(batch))
    assert diagnostics["active_hinge_fraction"].item() == fraction


def test_center_loss_has_no_hinge_and_no_negative_to_report() -> None:
    batch = draw_batch(0)
    _, diagnostics = build("center", batch)(*inputs(batch))
    assert [name for name, value in diagnostics.items() if value.isnan()] == ["active_hinge_fraction", "d_neg"]


@pytest.mark.parametrize("name", list(NEGATIVES))
@given(batch=batches(), margin=st.floats(0, 20))
@few
def test_element_hinge_is_at_least_the_embedding_hinge(name: str, batch: Batch, margin: float) -> None:
    element_B, _ = build(name, batch, margin=margin, hinge="element")(*inputs(batch))
    embedding_B, _ = build(name, batch, margin=margin, hinge="embedding")(*inputs(batch))
    assert (element_B >= embedding_B - 1e-9).all()


@given(batch=batches())
@few
def test_normalised_distances_are_at_most_twice_the_largest_attention(batch: Batch) -> None:
    _, diagnostics = build("prediction", batch, normalize_embedding=True)(*inputs(batch))
    largest = 2 * batch.attention_BD.max().item() * (1 + 1e-12)
    assert diagnostics["d_pos"].item() <= largest
    assert diagnostics["d_neg"].item() <= largest


@every_strategy
@every_hinge
@pytest.mark.parametrize("normalize", [False, True])
def test_gradients_agree_with_finite_differences(name: str, hinge: str, normalize: bool) -> None:
    batch = draw_batch(11, b=4, k=4, d=3)
    loss = build(name, batch, hinge=hinge, normalize_embedding=normalize)

    def terms(features_BD: Tensor, centers_KD: Tensor, attention_BD: Tensor) -> Tensor:
        arguments = (features_BD, batch.labels_B, batch.logits_BK, attention_BD)
        value: Tensor = torch.func.functional_call(loss, {"centers_KD": centers_KD}, arguments)[0]
        return value

    points = (batch.features_BD, batch.centers_KD, batch.attention_BD)
    assert torch.autograd.gradcheck(terms, tuple(point.clone().requires_grad_() for point in points))


@every_strategy
@every_hinge
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("weight", [0.0, 0.01, 1.0])
def test_each_side_gets_its_gradient_whatever_the_weight(name: str, hinge: str, normalize: bool, weight: float) -> None:
    batch = draw_batch(12)
    leaves = (batch.features_BD.requires_grad_(), batch.attention_BD.requires_grad_())
    loss = build(name, batch, hinge=hinge, normalize_embedding=normalize)
    whole_B, _ = loss(*inputs(batch))
    *network, centers_KD = torch.autograd.grad(whole_B.mean(), (*leaves, loss.centers_KD))

    sides = loss.two_sided(*inputs(batch))
    torch.autograd.backward(weight * sides.network_terms_B.mean() + sides.center_terms_B.mean())

    torch.testing.assert_close(sides.network_terms_B, whole_B)
    assert loss.centers_KD.grad is not None
    torch.testing.assert_close(loss.centers_KD.grad, centers_KD)
    for leaf, gradient in zip(leaves, network, strict=True):
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad, weight * gradient)


@every_strategy
def test_centers_step_is_the_same_to_the_bit_for_any_weight(name: str) -> None:
    steps = []
    for weight in (0.0, 0.01, 1.0):
        batch = draw_batch(13, dtype=torch.float32)
        features_BD = batch.features_BD.requires_grad_()
        loss = build(name, batch)
        sgd = torch.optim.SGD([loss.centers_KD], lr=0.5)
        sides = loss.two_sided(features_BD, batch.labels_B, batch.logits_BK)
        ce = functional.cross_entropy(features_BD[:, :5], batch.labels_B)
        torch.autograd.backward(ce + weight * sides.network_terms_B.mean() + sides.center_terms_B.mean())
        sgd.step()
        steps.append(loss.centers_KD.detach() - batch.centers_KD)
    assert steps[0].abs().sum() > 0
    assert torch.equal(steps[0], steps[1])
    assert torch.equal(steps[0], steps[2])


def test_class_mean_step_of_center_loss_is_the_one_of_wen() -> None:
    batch = draw_batch(14)
    loss = build("center", batch, center_step="class-mean")
    torch.autograd.backward(loss.two_sided(*inputs(batch)[:3]).center_terms_B.mean())
    expected = torch.zeros_like(batch.centers_KD)
    for j in range(len(expected)):
        count = 0
        for f, y in zip(batch.features_BD, batch.labels_B.tolist(), strict=True):
            if y == j:
                expected[j] += batch.centers_KD[j] - f
                count += 1
        expected[j] /= 1 + count
    assert loss.centers_KD.grad is not None
    torch.testing.assert_close(loss.centers_KD.grad, expected)


@pytest.mark.parametrize("name", list(NEGATIVES))
def test_class_mean_step_weighs_a_push_by_the_pushing_class(name: str) -> None:
    batch = draw_batch(15)
    loss = build(name, batch, center_step="class-mean", margin=5.0)
    torch.autograd.backward(loss.two_sided(*inputs(batch)).center_terms_B.mean())
    plain = build(name, batch, margin=5.0)
    terms_B, _ = plain(*inputs(batch))
    counts = torch.bincount(batch.labels_B, minlength=5).double()
    torch.autograd.backward((terms_B / (1 + counts[batch.labels_B])).sum())
    assert loss.centers_KD.grad is not None
    assert plain.centers_KD.grad is not None
    torch.testing.assert_close(loss.centers_KD.grad, plain.centers_KD.grad)


@every_strategy
@every_hinge
@pytest.mark.parametrize("step", ["batch-mean", "class-mean"])
def test_batch_of_one_class_works(name: str, hinge: str, step: Any) -> None:
    batch = draw_batch(16)._replace(labels_B=torch.full((9,), 2))
    loss = build(name, batch, hinge=hinge, center_step=step)
    sides = loss.two_sided(*inputs(batch))
    torch.autograd.backward(sides.center_terms_B.mean())
    assert sides.network_terms_B.isfinite().all()
    assert loss.centers_KD.grad is not None
    assert loss.centers_KD.grad[2].abs().sum() > 0


@every_strategy
@every_hinge
def test_optimising_the_metric_term_alone_lowers_hinge_and_gap(name: str, hinge: str) -> None:
    batch = draw_batch(17, b=32, k=4, d=8)
    loss = build(name, batch, hinge=hinge, margin=5.0)
    features_BD = batch.features_BD.clone().requires_grad_()
    sgd = torch.optim.SGD([features_BD, loss.centers_KD], lr=0.1)

    def step() -> tuple[float, dict[str, float]]:
        sides = loss.two_sided(features_BD, *inputs(batch)[1:])
        sgd.zero_grad()
        torch.autograd.backward(sides.network_terms_B.mean() + sides.center_terms_B.mean())
        sgd.step()
        return sides.network_terms_B.mean().item(), {key: value.item() for key, value in sides.diagnostics.items()}

    first, *_, last = [step() for _ in range(60)]
    assert last[0] < first[0]
    if name == "center":
        assert last[1]["d_pos"] < first[1]["d_pos"]
    else:
        assert last[1]["d_pos"] - last[1]["d_neg"] < first[1]["d_pos"] - first[1]["d_neg"]


@every_strategy
@every_hinge
def test_distances_are_float32_under_bfloat16_autocast(name: str, hinge: str) -> None:
    batch = draw_batch(18, d=64, dtype=torch.float32)
    loss = build(name, batch, hinge=hinge, normalize_embedding=True)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = loss.two_sided(*inputs(batch))
    plainly = loss.two_sided(*inputs(batch))
    assert under_autocast.network_terms_B.dtype == torch.float32
    assert torch.equal(under_autocast.network_terms_B, plainly.network_terms_B)
    assert torch.equal(under_autocast.center_terms_B, plainly.center_terms_B)


def test_features_in_bfloat16_get_float32_terms() -> None:
    batch = draw_batch(19)
    halves = [tensor if tensor.dtype == torch.int64 else tensor.bfloat16() for tensor in inputs(batch)]
    loss = TripletCenterLoss(5, 6, negatives="nearest", margin=1.0)
    terms_B, _ = loss(*halves)
    assert terms_B.dtype == torch.float32
    widened_B, _ = loss(*(half if half.dtype == torch.int64 else half.float() for half in halves))
    assert torch.equal(terms_B, widened_B)


def test_centers_start_normal_with_their_generator_and_leave_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    draws = [
        TripletCenterLoss(
            8, 4096, negatives="center", margin=0, generator=torch.Generator().manual_seed(seed)
        ).centers_KD.detach()
        for seed in (1, 1, 2)
    ]
    TripletCenterLoss(8, 4096, negatives="center", margin=0)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert draws[0].std().item() == pytest.approx(math.sqrt(2 / 8), rel=0.02)


def test_centers_are_a_parameter_in_the_state_dict() -> None:
    loss = TripletCenterLoss(3, 4, negatives="nearest", margin=1.0)
    assert list(loss.state_dict()) == [name for name, _ in loss.named_parameters()] == ["centers_KD"]


def test_class_means_leave_absent_classes_where_they_are() -> None:
    loss = TripletCenterLoss(3, 2, negatives="center", margin=0)
    before_KD = loss.centers_KD.detach().clone()
    features_ND, labels_N = torch.tensor([[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]), torch.tensor([2, 2, 0])
    means_KD, counts_K = class_means(features_ND, labels_N, 3)
    assert means_KD.tolist() == [[9, 9], [0, 0], [2, 3]]
    assert counts_K.tolist() == [1, 0, 2]
    loss.start_from_class_means(features_ND.bfloat16(), labels_N)
    assert loss.centers_KD.tolist() == [[9, 9], before_KD[1].tolist(), [2, 3]]
    assert loss.centers_KD.requires_grad


def test_every_bad_argument_is_told_at_once() -> None:
    bad: dict[str, Any] = {"negatives": "nearst", "margin": -0.2, "hinge": "x", "synthesis_ratio": 2, "center_step": ""}
    with pytest.raises(FaultsError) as caught:
        TripletCenterLoss(1, 0, **bad)
    assert len(caught.value.faults) == 7
    assert "did you mean 'nearest'" in str(caught.value)


@pytest.mark.parametrize("margin", [math.nan, math.inf])
def test_margin_must_be_a_number(margin: float) -> None:
    with pytest.raises(FaultsError, match="margin is"):
        TripletCenterLoss(2, 2, negatives="nearest", margin=margin)


def test_features_of_another_width_are_refused() -> None:
    loss = TripletCenterLoss(3, 4, negatives="nearest", margin=1.0)
    with pytest.raises(ValueError, match=r"shape \(2, 1\), but the centers need \(B, 4\)"):
        loss(torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64), torch.zeros(2, 3))
