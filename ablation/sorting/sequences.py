"""Sequences to sort, drawn when they are wanted: there is nothing to download and nothing to keep.

Shapes: N sequences, L symbols of a sequence, V different symbols.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ablation.arrays import Int
from ablation.seeds import derive_seed
from ablation.sorting.config import Data

# Sequences and the same sorted.
Pair = tuple[Int[Tensor, "N L"], Int[Tensor, "N L"]]


def draw(seed: int, count: int, data: Data) -> Pair:
    """Draw sequences of symbols in 0..V-1, uniform and independent, and sort each.

    Returns (shuffled_NL, sorted_NL), both int64 on the CPU; a function of the arguments alone.
    """
    generator = torch.Generator().manual_seed(seed)
    shuffled_NL = torch.randint(data.symbols, (count, data.length), generator=generator)
    return shuffled_NL, shuffled_NL.sort(1).values


def train_epoch(data: Data, seed: int, epoch: int) -> Pair:
    """Draw an epoch's training sequences, which no other epoch or seed has."""
    return draw(derive_seed(seed, "train", epoch), data.train_sequences, data)


def validation(data: Data, replicate_seed: int) -> Pair:
    """Draw the validation sequences that all trials of a replicate share."""
    return draw(derive_seed(replicate_seed, "validation"), data.validation_sequences, data)


def test(data: Data) -> Pair:
    """Draw the test sequences: the same in every study of this length and number of symbols."""
    return draw(derive_seed("sorting", "test"), data.test_sequences, data)
