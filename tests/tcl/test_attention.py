"""Attention variants: off equals plain, weights are weights, and both start off but can learn.

Shapes: B samples, C channels, H×W positions, D = C dimensions.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ablation.tcl.attention import ATTENTION, AttentionPooling, effective_dimensions, pool_by_logits, unit_mean
from ablation.tcl.backbones import initialise

few = settings(max_examples=25, deadline=None, derandomize=True)
every_variant = pytest.mark.parametrize("name", list(ATTENTION))
CONTRACT = {"none": (False, False), "pixel": (True, False), "element": (False, True), "selective": (True, True)}


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def build(name: str, channels: int = 12) -> AttentionPooling:
    pooling = ATTENTION[name].build(channels)
    initialise(pooling, torch.Generator().manual_seed(1))
    return pooling


def test_every_registered_variant_has_a_contract() -> None:
    assert set(ATTENTION) == set(CONTRACT)


@every_variant
def test_variant_gives_the_parts_it_promises(name: str) -> None:
    pooled = build(name)(normal(3, 12, 4, 5))
    has_map, has_attention = CONTRACT[name]
    assert pooled.features_BD.shape == (3, 12)
    assert (pooled.pixel_map_BHW is not None) == has_map
    assert (pooled.attention_BD is not None) == has_attention
    if pooled.pixel_map_BHW is not None:
        assert pooled.pixel_map_BHW.shape == (3, 4, 5)
        torch.testing.assert_close(pooled.pixel_map_BHW.sum((1, 2)), torch.ones(3))
    if pooled.attention_BD is not None:
        assert pooled.attention_BD.shape == (3, 12)
        assert (pooled.attention_BD >= 0).all()
        torch.testing.assert_close(pooled.attention_BD.mean(1), torch.ones(3))


@every_variant
def test_off_equals_plain(name: str) -> None:
    pooling = build(name)
    pooling.switch_off()
    maps_BCHW = normal(3, 12, 4, 5)
    pooled = pooling(maps_BCHW)
    torch.testing.assert_close(pooled.features_BD, maps_BCHW.mean((2, 3)))
    if pooled.attention_BD is not None:
        assert (pooled.attention_BD == 1).all()


@every_variant
def test_on_differs_from_plain(name: str) -> None:
    maps_BCHW = normal(3, 12, 4, 5)
    pooled = build(name)(maps_BCHW)
    has_map, _ = CONTRACT[name]
    assert torch.allclose(pooled.features_BD, maps_BCHW.mean((2, 3)), atol=1e-6) != has_map
    if pooled.attention_BD is not None:
        assert not (pooled.attention_BD == 1).any()


@every_variant
def test_switched_off_attention_can_learn(name: str) -> None:
    pooling = build(name)
    pooling.switch_off()
    sgd = torch.optim.SGD([*pooling.parameters(), torch.zeros(1, requires_grad=True)], lr=0.1)
    before = [parameter.detach().clone() for parameter in pooling.parameters()]
    for seed in range(3):
        pooled = pooling(normal(3, 12, 4, 5, seed=seed).requires_grad_())
        loss = pooled.features_BD.square().sum()
        if pooled.attention_BD is not None:
            loss = loss + (pooled.attention_BD * normal(3, 12, seed=9)).sum()
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    for old, new in zip(before, pooling.parameters(), strict=True):
        assert not torch.equal(old, new)


@every_variant
def test_attention_is_float32_and_finite_under_bfloat16_autocast(name: str) -> None:
    pooling = build(name)
    for scale in (1.0, 1e4, 1e18):
        with torch.autocast("cpu", torch.bfloat16):
            pooled = pooling((scale * normal(3, 12, 4, 5)).bfloat16())
        for part in vars(pooled).values():
            assert part is None or (part.dtype == torch.float32 and part.isfinite().all())


@every_variant
def test_memory_format_does_not_matter(name: str) -> None:
    pooling, maps_BCHW = build(name), normal(3, 12, 4, 5)
    plain, channels_last = pooling(maps_BCHW), pooling(maps_BCHW.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(vars(plain), vars(channels_last))


@given(dim=st.integers(1, 300), value=st.sampled_from([0.0, -3.7, 1e30]))
@few
def test_equal_logits_give_ones_without_rounding(dim: int, value: float) -> None:
    assert (unit_mean(torch.full((2, dim), value)) == 1).all()


@given(seed=st.integers(0, 2**31), dim=st.integers(1, 64), scale=st.sampled_from([0.1, 10.0, 1e4, 1e30]))
@few
def test_element_attention_has_mean_one_and_no_negative_value(seed: int, dim: int, scale: float) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        attention_BD = unit_mean((scale * normal(5, dim, seed=seed)).to(dtype))
        assert attention_BD.dtype == torch.float32
        assert (attention_BD >= 0).all()
        torch.testing.assert_close(attention_BD.mean(1), torch.ones(5))


@given(seed=st.integers(0, 2**31), height=st.integers(1, 6), width=st.integers(1, 6))
@few
def test_pooling_is_the_weighted_average_that_the_map_shows(seed: int, height: int, width: int) -> None:
    maps_BCHW = normal(2, 3, height, width, seed=seed, dtype=torch.float64)
    logits_BHW = 5 * normal(2, height, width, seed=seed + 1, dtype=torch.float64)
    features_BD, pixel_map_BHW = pool_by_logits(maps_BCHW, logits_BHW)
    assert pixel_map_BHW.sum((1, 2)).tolist() == pytest.approx([1, 1])
    for b in range(2):
        for c in range(3):
            expected = sum(
                pixel_map_BHW[b, h, w].item() * maps_BCHW[b, c, h, w].item()
                for h in range(height)
                for w in range(width)
            )
            assert features_BD[b, c].item() == pytest.approx(expected)


def test_attention_gradients_agree_with_finite_differences() -> None:
    maps_BCHW, logits_BHW = normal(2, 3, 2, 2, dtype=torch.float64), normal(2, 2, 2, dtype=torch.float64)
    logits_BD = normal(2, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(pool_by_logits, (maps_BCHW.requires_grad_(), logits_BHW.requires_grad_()))
    assert torch.autograd.gradcheck(unit_mean, (logits_BD.requires_grad_(),))


def test_effective_dimensions_count_from_one_to_all() -> None:
    ones_BD = torch.ones(2, 8)
    one_hot_BD = 8 * torch.eye(8)[:2]
    half_BD = torch.tensor([[2.0, 2.0, 0.0, 0.0]])
    assert effective_dimensions(ones_BD).item() == 8
    assert effective_dimensions(one_hot_BD).item() == 1
    assert effective_dimensions(half_BD).item() == 2
    assert effective_dimensions(torch.cat([ones_BD, one_hot_BD])).item() == 4.5
