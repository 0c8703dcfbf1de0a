"""Random batches for tests of the metric term, drawn from a named generator.

Shapes: B samples, K classes, D dimensions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor


class Batch(NamedTuple):
    features_BD: Tensor
    labels_B: Tensor
    centers_KD: Tensor
    logits_BK: Tensor
    attention_BD: Tensor


def draw_batch(seed: int, *, b: int = 9, k: int = 5, d: int = 6, dtype: torch.dtype = torch.float64) -> Batch:
    """Draw a batch without ties (almost surely) and attention of mean 1."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    attention_BD = normal(b, d).exp()
    attention_BD = attention_BD / attention_BD.mean(1, keepdim=True)
    labels_B = torch.randint(k, (b,), generator=generator)
    return Batch(normal(b, d), labels_B, normal(k, d), 3 * normal(b, k), attention_BD)


def batches() -> st.SearchStrategy[Batch]:
    sizes = {"b": st.integers(1, 8), "k": st.integers(2, 8), "d": st.integers(1, 40)}
    return st.builds(draw_batch, st.integers(0, 2**31), **sizes)
