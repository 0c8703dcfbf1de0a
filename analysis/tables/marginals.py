"""Factor marginals and two-way interactions of designs that cross factors, on complete sub-grids only.

Conditions merge combinations without meaning, so a crossed design is rarely whole. What is averaged here is always
balanced: the same combinations of the other factors at each level, within each replicate. Description only.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pandas as pd

from ablation.mean_interval import mean_interval
from analysis import inference
from analysis.effects import matrix
from analysis.inference import Array
from analysis.question import Question

MARGINAL_COLUMNS = (
    *("factor", "level", "home", "blocks", "n", "mean", "mean_low", "mean_high"),
    *("difference", "low", "high"),
)
INTERACTION_COLUMNS = (
    *("factor", "level", "home", "other", "other_level", "other_home", "blocks", "n"),
    *("interaction", "low", "high"),
)

Level = Hashable
Block = tuple[tuple[str, Level], ...]


@dataclass(frozen=True)
class Grid:
    """The largest complete sub-grid of a factor: ``arms[level][block]``, and the names of arms left out of it."""

    levels: tuple[Level, ...]
    blocks: tuple[Block, ...]
    left_out: tuple[str, ...]


def marginals(study: Question, table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, tuple[str, ...]]]:
    """Average the primary metric over the other factors at each level, and compare levels within replicates.

    Returns the table (factor, level, home, blocks, n, mean, mean_low, mean_high, difference, low, high), and by factor
    the arms left out because their combination was not planned at every level. ``home`` is the reference's level where
    the grid has it, else the grid's first; ``blocks`` counts the combinations averaged. Only factors crossed with two
    or more combinations of the others are there. A replicate without a value in any arm of the grid is left out.
    """
    values = _values(study, table)
    rows, left_out = [], {}
    for factor in study.factors:
        cells = _cells(study, (factor,))
        grid = _largest_grid(study, factor, {(key[0], block): arm for (key, block), arm in cells.items()})
        if grid is None:
            continue
        means_LR = np.stack([_mean(values, [cells[(level,), b] for b in grid.blocks]) for level in grid.levels])
        means_LR = np.where(np.isnan(means_LR).any(axis=0), np.nan, means_LR)
        home = _home(study, factor, grid.levels)
        means = mean_interval(means_LR, study.primary.largest(table[study.metric]))
        found = inference.paired_difference(means_LR, np.broadcast_to(means_LR[home], means_LR.shape))
        for index, level in enumerate(grid.levels):
            row = (factor, str(level), str(grid.levels[home]), len(grid.blocks), int(found.n[index]))
            mean = (float(number[index]) for number in means)
            ends = (found.difference, found.low, found.high)
            rows.append((*row, *mean, *(float(end[index]) if index != home else np.nan for end in ends)))
        left_out[factor] = grid.left_out
    return pd.DataFrame(rows, columns=list(MARGINAL_COLUMNS)), left_out


def interactions(study: Question, table: pd.DataFrame) -> pd.DataFrame:
    """Estimate how far the effect of one factor's level depends on another factor's level.

    Columns: factor, level, home, other, other_level, other_home, blocks, n, interaction, low, high. The interaction is
    (level − home) at ``other_level`` minus (level − home) at ``other_home``, averaged over the ``blocks`` combinations
    of the remaining factors for which all four arms were planned, then over replicates with a value in all of them.
    """
    values = _values(study, table)
    rows = []
    for factor, other in combinations(study.factors, 2):
        cells = _cells(study, (factor, other))
        levels, other_levels = (_seen(study, cells, index, name) for index, name in enumerate((factor, other)))
        if len(levels) < 2 or len(other_levels) < 2:
            continue
        home, other_home = levels[_home(study, factor, levels)], other_levels[_home(study, other, other_levels)]
        for level, second in product(levels, other_levels):
            if level == home or second == other_home:
                continue
            corners = [(level, second), (home, second), (level, other_home), (home, other_home)]
            blocks = [b for b in _blocks(cells) if all((corner, b) in cells for corner in corners)]
            if not blocks:
                continue
            a, b, c, d = (_mean(values, [cells[corner, block] for block in blocks]) for corner in corners)
            found = inference.paired_difference(a - b, c - d)
            names = (factor, str(level), str(home), other, str(second), str(other_home))
            ends = (float(found.difference), float(found.low), float(found.high))
            rows.append((*names, len(blocks), int(found.n), *ends))
    return pd.DataFrame(rows, columns=list(INTERACTION_COLUMNS))


def _cells(study: Question, factors: Sequence[str]) -> dict[tuple[tuple[Level, ...], Block], str]:
    """Place each arm that has levels of all ``factors`` by these and by the rest of its levels."""
    cells: dict[tuple[tuple[Level, ...], Block], str] = {}
    for arm in study.arms:
        if all(factor in arm.levels for factor in factors):
            rest = tuple(sorted((name, level) for name, level in arm.levels.items() if name not in factors))
            cells[tuple(arm.levels[factor] for factor in factors), rest] = arm.name
    return cells


def _largest_grid(study: Question, factor: str, cells: Mapping[tuple[Level, Block], str]) -> Grid | None:
    """Find the complete sub-grid with most arms; of equals the one with more levels. None below two by two."""
    levels_of: dict[Block, frozenset[Level]] = {}
    for level, block in cells:
        levels_of[block] = levels_of.get(block, frozenset()) | {level}
    # The levels of the largest grid are those that its blocks have in common: an intersection of some blocks' levels.
    candidates: set[frozenset[Level]] = set()
    for seen in set(levels_of.values()):
        candidates |= {seen} | {seen & other for other in candidates}
    best: tuple[tuple[int, int], frozenset[Level], list[Block]] | None = None
    order = study.factors[factor].values
    for levels in sorted(candidates, key=lambda found: sorted(order.index(level) for level in found)):
        blocks = [block for block, seen in levels_of.items() if levels <= seen]
        size = (len(levels) * len(blocks), len(levels))
        if len(levels) >= 2 and len(blocks) >= 2 and (best is None or size > best[0]):
            best = size, levels, blocks
    if best is None:
        return None
    _, levels, blocks = best
    inside = {(level, block) for level in levels for block in blocks}
    left_out = tuple(arm for index, arm in cells.items() if index not in inside)
    lacking = tuple(arm.name for arm in study.arms if factor not in arm.levels)
    return Grid(tuple(level for level in order if level in levels), tuple(blocks), (*left_out, *lacking))


def _blocks(cells: Mapping[tuple[tuple[Level, ...], Block], str]) -> list[Block]:
    return list(dict.fromkeys(block for _, block in cells))


def _seen(
    study: Question, cells: Mapping[tuple[tuple[Level, ...], Block], str], index: int, factor: str
) -> tuple[Level, ...]:
    present = {key[index] for key, _ in cells}
    return tuple(level for level in study.factors[factor].values if level in present)


def _home(study: Question, factor: str, levels: Sequence[Level]) -> int:
    reference = study.reference_levels.get(factor)
    return levels.index(reference) if reference in levels else 0


def _values(study: Question, table: pd.DataFrame) -> dict[str, Array]:
    names = [arm.name for arm in study.arms]
    return dict(zip(names, matrix(table, names, study.metric)[0], strict=True))


def _mean(values: Mapping[str, Array], arms: Sequence[str]) -> Array:
    """Average arms within each replicate: ``values_R``, NaN if any of them has no value."""
    return np.asarray(np.mean([values[arm] for arm in arms], axis=0))
