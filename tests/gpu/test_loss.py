"""Strategies, metric term and attention on the device against loops in float64.

Shapes: B samples, K classes, D dimensions, C channels, H×W positions.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from ablation.tcl.attention import ATTENTION, pool_by_logits, unit_mean
from ablation.tcl.backbones import initialise
from ablation.tcl.loss import TripletCenterLoss
from ablation.tcl.negatives import NEGATIVES
from tests.gpu.device import DEVICE, needs_device
from tests.support.metric_term_cases import Batch, draw_batch
from tests.support.metric_term_oracle import ORACLES, term, unit

pytestmark = needs_device
STRATEGIES = ("center", *NEGATIVES)
every_strategy = pytest.mark.parametrize("name", STRATEGIES)
every_hinge = pytest.mark.parametrize("hinge", ["embedding", "element"])
SIZES: tuple[dict[str, Any], ...] = ({}, {"b": 64, "k": 7, "d": 128}, {"b": 1, "k": 2, "d": 1})


def there(batch: Batch, dtype: torch.dtype = torch.float64) -> Batch:
    return Batch(*(tensor.to(DEVICE, dtype if tensor.is_floating_point() else None) for tensor in batch))


def build(name: str, batch: Batch, **options: object) -> TripletCenterLoss:
    loss = TripletCenterLoss(*batch.centers_KD.shape, negatives=name, **{"margin": 1.0, **options})  # type: ignore[arg-type]
    loss = loss.to(batch.centers_KD)
    with torch.no_grad():
        loss.centers_KD.copy_(batch.centers_KD)
    return loss


@pytest.mark.parametrize("name", list(NEGATIVES))
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_negatives_are_the_loops_negatives(name: str, sizes: dict[str, Any]) -> None:
    batch = draw_batch(1, **sizes)
    f, y, c, z, a = (tensor.tolist() for tensor in batch)
    expected = [ORACLES[name](f[i], y[i], c, z[i], a[i], 0.5) for i in range(len(y))]
    moved = there(batch)
    found = NEGATIVES[name](
        moved.features_BD,
        moved.labels_B,
        moved.centers_KD,
        moved.logits_BK,
        moved.attention_BD,
        synthesis_ratio=0.5,
    )
    assert torch.equal(found.cpu(), torch.tensor(expected, dtype=torch.float64))


@every_strategy
@every_hinge
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("sizes", SIZES[:2], ids=str)
def test_terms_and_diagnostics_agree_with_loops(name: str, hinge: str, normalize: bool, sizes: dict[str, Any]) -> None:
    batch = draw_batch(2, **sizes)
    f, y, c, z, a = (tensor.tolist() for tensor in batch)
    if normalize:
        f, c = [unit(v) for v in f], [unit(v) for v in c]
    expected, d_neg = [], 0.0
    for i, label in enumerate(y):
        negative = None if name == "center" else ORACLES[name](f[i], label, c, z[i], a[i], 0.5)
        expected.append(term(f[i], c[label], negative, a[i], 1.0, hinge))
        d_neg += term(f[i], negative, None, a[i], 0, hinge) / len(y) if negative else math.nan
    moved = there(batch)
    loss = build(name, moved, hinge=hinge, normalize_embedding=normalize)
    terms_B, diagnostics = loss(moved.features_BD, moved.labels_B, moved.logits_BK, moved.attention_BD)
    torch.testing.assert_close(terms_B.cpu(), torch.tensor(expected, dtype=torch.float64))
    assert diagnostics["d_neg"].item() == pytest.approx(d_neg, nan_ok=True)


@every_strategy
@every_hinge
@pytest.mark.parametrize("step", ["batch-mean", "class-mean"])
def test_gradients_in_float32_are_those_of_float64_on_the_cpu(name: str, hinge: str, step: str) -> None:
    found = {}
    for device, dtype in (("cpu", torch.float64), (DEVICE, torch.float32)):
        batch = draw_batch(3, b=64, k=7, d=128)
        batch = Batch(*(t.to(device, dtype if t.is_floating_point() else None) for t in batch))
        loss = build(name, batch, hinge=hinge, center_step=step)
        leaves = batch.features_BD.requires_grad_(), batch.attention_BD.requires_grad_()
        sides = loss.two_sided(batch.features_BD, batch.labels_B, batch.logits_BK, batch.attention_BD)
        torch.autograd.backward(sides.network_terms_B.mean() + sides.center_terms_B.mean())
        assert loss.centers_KD.grad is not None
        found[dtype] = [*(leaf.grad for leaf in leaves), loss.centers_KD.grad]
    for narrow, exact in zip(found[torch.float32], found[torch.float64], strict=True):
        assert narrow is not None and exact is not None
        error = (narrow.cpu().double() - exact).norm() / exact.norm()
        assert error < 1e-5


@every_strategy
def test_distances_stay_float32_under_bfloat16_autocast(name: str) -> None:
    batch = there(draw_batch(4, d=64), torch.float32)
    loss = build(name, batch, normalize_embedding=True)
    with torch.autocast(DEVICE, torch.bfloat16):
        under_autocast = loss.two_sided(batch.features_BD, batch.labels_B, batch.logits_BK)
    plainly = loss.two_sided(batch.features_BD, batch.labels_B, batch.logits_BK)
    assert torch.equal(under_autocast.network_terms_B, plainly.network_terms_B)
    assert torch.equal(under_autocast.center_terms_B, plainly.center_terms_B)


def test_attention_agrees_with_loops() -> None:
    generator = torch.Generator().manual_seed(5)
    maps_BCHW = torch.randn(3, 4, 2, 3, generator=generator, dtype=torch.float64)
    logits_BHW = torch.randn(3, 2, 3, generator=generator, dtype=torch.float64)
    features_BC, map_BHW = pool_by_logits(maps_BCHW.to(DEVICE), logits_BHW.to(DEVICE))
    weights_BD = unit_mean(maps_BCHW.flatten(1).to(DEVICE))
    for b in range(3):
        total = sum(math.exp(value) for value in logits_BHW[b].flatten().tolist())
        for h in range(2):
            for w in range(3):
                assert map_BHW[b, h, w].item() == pytest.approx(math.exp(logits_BHW[b, h, w].item()) / total)
        for c in range(4):
            places = [(h, w) for h in range(2) for w in range(3)]
            pooled = sum(maps_BCHW[b, c, h, w].item() * math.exp(logits_BHW[b, h, w].item()) / total for h, w in places)
            assert features_BC[b, c].item() == pytest.approx(pooled)
        exponentials = [math.exp(value) for value in maps_BCHW[b].flatten().tolist()]
        mean = sum(exponentials) / len(exponentials)
        assert weights_BD[b].tolist() == pytest.approx([value / mean for value in exponentials])


@pytest.mark.parametrize("name", list(ATTENTION))
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_every_attention_pools_as_on_the_cpu(name: str, memory_format: torch.memory_format) -> None:
    pooling = ATTENTION[name].build(32).double()
    initialise(pooling, torch.Generator().manual_seed(1))
    maps_BCHW = torch.randn(5, 32, 4, 3, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    expected = pooling(maps_BCHW)
    found = pooling.to(DEVICE)(maps_BCHW.to(DEVICE, memory_format=memory_format))
    for there_, here in zip(vars(found).values(), vars(expected).values(), strict=True):
        assert (there_ is None) == (here is None)
        if there_ is not None:
            torch.testing.assert_close(there_.cpu(), here)
