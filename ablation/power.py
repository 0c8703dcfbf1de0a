"""What a number of replicates can detect, and how many it takes: power of the paired t test, for plan and report.

A plan's effects are in standard deviations of paired differences until a spread is known, from an earlier run or as
stated by the user. The formulas are our own: ``TTestPower.solve_power`` of statsmodels 0.14 fails at few replicates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from statistics import fmean, variance
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import special

from ablation.faults import FaultsError, nearest
from ablation.paths import RunPaths
from ablation.store import AnyPath, located, opened
from search_spaces.metrics import Metric, names_with_test

if TYPE_CHECKING:
    from ablation.plan import Plan

ALPHA = 0.05
POWER = 0.80
MOST_REPLICATES = 100_000
_HALVINGS = 60  # to the last digit of float64


def power_of_paired_t(difference: float, sd: float, n: int, alpha: float = ALPHA) -> float:
    """Compute the chance that a two-sided paired t test at ``alpha`` finds a true ``difference``.

    ``sd`` is the standard deviation of single differences, in the unit of ``difference``. Give ``alpha`` divided by
    the number of declared comparisons for Holm's first and strictest step.
    Raises ValueError if ``n`` < 2 or ``sd`` <= 0. Source: noncentral t.

    >>> round(power_of_paired_t(difference=1.0, sd=1.0, n=10), 3)
    0.803
    """
    _check(n, sd)
    return power_of_t(abs(difference) / sd * n**0.5, n - 1, alpha)


def detectable_difference(sd: float, n: int, alpha: float = ALPHA, power: float = POWER) -> float:
    """Compute the smallest true difference that ``n`` pairs find with ``power``, in the unit of ``sd``.

    Raises ValueError if ``n`` < 2 or ``sd`` <= 0.

    >>> round(detectable_difference(sd=1.0, n=3, alpha=0.05 / 12), 2)
    11.34
    """
    _check(n, sd)
    return sd * noncentrality(n - 1, alpha, power) / math.sqrt(n)


def replicates_needed(difference: float, sd: float, alpha: float = ALPHA, power: float = POWER) -> int:
    """Find the fewest pairs that detect a true ``difference`` with ``power``.

    Raises ValueError if no 100,000 pairs would do, as for a difference of 0.

    >>> replicates_needed(difference=1.0, sd=1.0)
    10
    """
    wanted = f"difference is {difference} at sd {sd}"
    return fewest(lambda n: power_of_paired_t(difference, sd, n, alpha) >= power, wanted)


def fewest(is_enough: Callable[[int], bool], wanted: str) -> int:
    """Find the smallest n from 2 up that is enough, where every larger one is, too.

    Raises ValueError, which says what was ``wanted``, if 100,000 are not.
    """
    few, enough = 1, 2
    while not is_enough(enough):
        few, enough = enough, 2 * enough
        if enough > MOST_REPLICATES:
            raise ValueError(
                f"{wanted}, but must be within reach of {MOST_REPLICATES} replicates; ask for a larger one"
            )
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if is_enough(middle) else (middle, enough)
    return enough


def power_of_t(noncentrality: float, df: float, alpha: float = ALPHA) -> float:
    """Compute the chance that a two-sided t test at ``alpha`` rejects: a true difference in standard errors."""
    edge = special.stdtrit(df, 1 - alpha / 2)
    wrong_side = special.nctdtr(df, noncentrality, -edge)  # NaN if it is too small to be computed
    return float(1 - special.nctdtr(df, noncentrality, edge) + np.nan_to_num(wrong_side))


@cache
def noncentrality(df: float, alpha: float, power: float) -> float:
    """Find the true difference, in standard errors, that a two-sided t test at ``alpha`` finds with ``power``."""
    low, high = 0.0, 1.0
    while power_of_t(high, df, alpha) < power:
        high *= 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if power_of_t(middle, df, alpha) < power else (low, middle)
    return high


def _check(n: int, sd: float) -> None:
    if n < 2:
        raise ValueError(f"n is {n}, but a spread needs at least 2 pairs; plan more replicates")
    if not sd > 0:
        raise ValueError(f"sd is {sd}, but must be > 0; the spread of single differences is meant")


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


def spread_from(run: AnyPath | str, plan: Plan) -> Spread:
    """Estimate the spread of ``plan``'s metric from the confirm trials of an earlier run.

    Variances of test differences are pooled over the comparisons that the run declared, by their degrees of freedom;
    a replicate counts where all its confirm trials completed. Raises FaultsError if the run has no such numbers.
    """
    # Here, since a report that wants the power alone needs none of the plan's classes.
    from ablation import study_file

    paths, column = RunPaths(located(run)), plan.primary.test_column
    try:
        earlier = study_file.read(paths).plan
        rows = _confirm_rows(paths, plan.primary)
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


@dataclass(frozen=True)
class SpreadAsked:
    """What --spread and --spread-from give; None if they are left out.

    Attributes:
        stated: a standard deviation of differences between arms, in units of the metric.
        run: the directory of a run to take it from.
    """

    stated: float | None
    run: AnyPath | str | None

    def faults(self, is_for_plan: bool) -> list[str]:
        """Say what is wrong with them, before there is a plan."""
        faults = []
        if not is_for_plan and (self.stated is not None or self.run is not None):
            faults.append("--spread and --spread-from are for --plan; add it, or leave them out")
        if self.stated is not None and self.run is not None:
            faults.append("--spread and --spread-from both give a spread; keep one")
        try:
            if self.stated is not None:
                stated_spread(self.stated)
        except FaultsError as error:
            faults += error.faults
        return faults

    def spread(self, plan: Plan) -> Spread | None:
        """Return the spread, if one is given; raises FaultsError if the run has none for this plan."""
        if self.run is not None:
            return spread_from(self.run, plan)
        return None if self.stated is None else stated_spread(self.stated)


def _confirm_rows(paths: RunPaths, metric: Metric) -> list[dict[str, Any]]:
    if not paths.trials.is_file():
        raise FileNotFoundError(f"{paths.root} has no trials.parquet yet; let its sweep go on")
    with opened(paths.trials) as file:
        names = pq.read_schema(file).names
    if metric.test_column not in names:
        raise ValueError(
            f"{paths.root} has no test scores of {metric.name!r}; {nearest(metric.name, names_with_test(names))}"
        )
    with opened(paths.trials) as file:
        rows = pq.read_table(file, columns=["arm", "replicate", "phase", "status", metric.test_column]).to_pylist()
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
