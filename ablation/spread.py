"""The spread of paired differences that a plan reckons with: as stated, or as an earlier run had it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, variance
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ablation.faults import FaultsError, nearest
from ablation.paths import RunPaths
from ablation.store import AnyPath, located, opened
from ablation.variance_components import Components, variance_components
from search_spaces.metrics import Metric, names_with_test

if TYPE_CHECKING:
    from ablation.plan import Plan

KEYS = ("arm", "replicate", "index")  # of a confirm run


@dataclass(frozen=True)
class Spread:
    """The standard deviation of paired differences between two arms, in the metric's unit, and who says so.

    Attributes:
        sd: of the differences of replicates, as many confirm runs as they had.
        source: who says so, in words.
        between_sd: its part that more confirm runs do not lessen: search, and what else a replicate's runs share.
        within_sd: its part by the seed of a confirm run; both None if replicates had one each.
    """

    sd: float
    source: str
    between_sd: float | None = None
    within_sd: float | None = None

    def of_seeds(self, seeds: int) -> float:
        """Return the standard deviation if a replicate has ``seeds`` confirm runs; as it is, if it is not split."""
        if self.between_sd is None or self.within_sd is None:
            return self.sd
        return math.sqrt(self.between_sd**2 + self.within_sd**2 / seeds)


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
    parts = _components(rows, column, earlier.comparisons)
    split = (
        ()
        if parts is None or parts.between + parts.within <= 0
        else (math.sqrt(parts.between), math.sqrt(parts.within))
    )
    return Spread(math.sqrt(pooled), f"as in {run}: {pairs} pairs of {len(samples)} comparisons", *split)


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
        rows = pq.read_table(file, columns=[*KEYS, "phase", "status", metric.test_column]).to_pylist()
    return [row for row in rows if row["phase"] == "confirm"]


def _replicate_means(rows: Iterable[Mapping[str, Any]], column: str) -> dict[tuple[str, int], float]:
    found: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        score = row[column] if row["status"] == "completed" else None
        found.setdefault((row["arm"], row["replicate"]), []).append(math.nan if score is None else score)
    means = {key: fmean(scores) for key, scores in found.items()}
    return {key: mean for key, mean in means.items() if math.isfinite(mean)}


def _components(
    rows: Iterable[Mapping[str, Any]], column: str, comparisons: Iterable[tuple[str, str]]
) -> Components | None:
    """Split the variance of differences between two arms' runs of the same replicate and seed; None if it cannot be."""
    scores = {tuple(row[key] for key in KEYS): row[column] for row in rows if row["status"] == "completed"}
    places = sorted({(replicate, index) for _, replicate, index in scores})
    shape = (1 + max((place[0] for place in places), default=0), 1 + max((place[1] for place in places), default=0))
    differences = []
    for arm, against in comparisons:
        difference_RS = np.full(shape, np.nan)
        for place in places:
            pair = scores.get((arm, *place)), scores.get((against, *place))
            if pair[0] is not None and pair[1] is not None:
                difference_RS[place] = pair[0] - pair[1]
        differences.append(difference_RS)
    return variance_components(np.stack(differences)) if differences else None


def _shared(values: Mapping[tuple[str, int], float], arm: str, against: str) -> list[int]:
    return sorted(replicate for name, replicate in values if name == arm and (against, replicate) in values)
