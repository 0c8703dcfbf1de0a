"""What a planned number of replicates can detect, and how many it takes: power of the paired t test.

Effects are in standard deviations of paired differences (``_sd``) until a spread is known, from an earlier run or as
stated by the user.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, variance
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from scipy import optimize, stats

from ablation import study_file
from ablation.faults import FaultsError, nearest
from ablation.paths import RunPaths
from ablation.plan import Plan

POWER = 0.8
LEVEL = 0.05


def detectable_effect_sd(replicates: int, comparisons: int, power: float = POWER, level: float = LEVEL) -> float:
    """Return the paired difference, in standard deviations of such differences, found with the given power.

    Paired t over at least 2 ``replicates`` at ``level`` divided by the number of declared comparisons, at least 1:
    Holm's first and strictest step. Source: noncentral t.
    """
    critical = stats.t.isf(level / comparisons / 2, replicates - 1)

    def shortfall(effect_sd: float) -> float:
        return float(stats.nct.sf(critical, replicates - 1, effect_sd * math.sqrt(replicates))) - power

    highest = 1.0
    while shortfall(highest) < 0:
        highest *= 2
    return float(optimize.brentq(shortfall, 0.0, highest))


def replicates_needed(effect_sd: float, comparisons: int, power: float = POWER, level: float = LEVEL) -> int:
    """Return the fewest replicates, at least 2, that detect a paired difference of ``effect_sd`` > 0."""
    return _least(2, lambda replicates: detectable_effect_sd(replicates, comparisons, power, level) <= effect_sd)


def _least(start: int, suffices: Callable[[int], bool]) -> int:
    few, enough = start - 1, start
    while not suffices(enough):
        few, enough = enough, 2 * enough
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if suffices(middle) else (middle, enough)
    return enough


@dataclass(frozen=True)
class Spread:
    """The standard deviation of paired differences between two arms, in the metric's unit, and who says so."""

    sd: float
    source: str


def stated_spread(sd: float) -> Spread:
    """Take a spread as the user states it; raises FaultsError unless it is a number above 0."""
    if not (sd > 0 and math.isfinite(sd)):
        rule = "a number > 0: the standard deviation of differences between two arms, in the metric's unit"
        raise FaultsError([f"--spread is {sd:g}, but must be {rule}"])
    return Spread(sd, "as stated by --spread")


def spread_from(run: Path, plan: Plan) -> Spread:
    """Estimate the spread of ``plan``'s metric from the confirm trials of an earlier run.

    Variances of test differences are pooled over the comparisons that the run declared, by their degrees of freedom;
    a replicate counts where all its confirm trials completed. Raises FaultsError where the run has no such numbers.
    """
    paths, column = RunPaths(run), f"metric.test_{plan.metric}"
    try:
        earlier = study_file.read(paths).plan
        rows = _confirm_rows(paths, column)
    except (FileNotFoundError, ValueError, pa.ArrowException) as error:
        raise FaultsError([f"--spread-from: {error}"]) from error
    values = _replicate_means(rows, column)
    differences = [
        [values[arm, replicate] - values[against, replicate] for replicate in _shared(values, arm, against)]
        for arm, against in earlier.comparisons
    ]
    samples = [sample for sample in differences if len(sample) > 1]
    freedom = sum(len(sample) - 1 for sample in samples)
    pooled = sum(variance(sample) * (len(sample) - 1) for sample in samples) / freedom if freedom else 0.0
    if pooled <= 0:
        lacks = "has no declared comparison with two finished replicates that differ"
        raise FaultsError([f"--spread-from: {run} {lacks}; let it finish, or state a guess with --spread"])
    pairs = sum(map(len, samples))
    return Spread(math.sqrt(pooled), f"as in {run}: {pairs} pairs of {len(samples)} comparisons")


def _confirm_rows(paths: RunPaths, column: str) -> list[dict[str, Any]]:
    if not paths.trials.is_file():
        raise FileNotFoundError(f"{paths.root} has no trials.parquet yet; let its sweep go on")
    names = pq.read_schema(paths.trials).names
    if column not in names:
        known = [name.removeprefix("metric.test_") for name in names if name.startswith("metric.test_")]
        metric = column.removeprefix("metric.test_")
        raise ValueError(f"{paths.root} has no test scores of {metric!r}; {nearest(metric, known)}")
    rows = pq.read_table(paths.trials, columns=["arm", "replicate", "phase", "status", column]).to_pylist()
    return [row for row in rows if row["phase"] == "confirm"]


def _replicate_means(rows: Iterable[Mapping[str, Any]], column: str) -> dict[tuple[str, int], float]:
    found: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        score = row[column] if row["status"] == "completed" else None
        found.setdefault((row["arm"], row["replicate"]), []).append(math.nan if score is None else score)
    means = {key: fmean(scores) for key, scores in found.items()}
    return {key: mean for key, mean in means.items() if math.isfinite(mean)}


def _shared(values: Mapping[tuple[str, int], float], arm: str, against: str) -> list[int]:
    return sorted(replicate for name, replicate in values if name == arm and (against, replicate) in values)
