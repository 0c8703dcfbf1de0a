"""The best configuration of a study: chosen by validation alone, with the test scores of its own confirm runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from ablation.mean_interval import mean_interval
from analysis import effects
from analysis.load import PlannedStudy

COLUMNS = ("name", "value", "default", "searched")


@dataclass(frozen=True)
class Score:
    """What test scores of the primary metric come to.

    Attributes:
        mean, sd: over ``n`` values; NaN if there are too few.
        low, high: ends of the 95 % interval of the mean.
        n, planned: how many values there are, and how many were planned.
        unit: what one value is: a replicate, its seeds averaged, or one seed of a single replicate.
    """

    mean: float
    sd: float
    low: float
    high: float
    n: int
    planned: int
    unit: Literal["replicate", "seed"]


@dataclass(frozen=True)
class Best:
    """The best configuration, by its confirm trial's validation score at the last epoch.

    Attributes:
        trial_id, arm, replicate: the confirm trial that validation prefers.
        validation: its validation score.
        configuration: name, value, default and searched (the domain in words; empty if it was not searched).
        own: test score of this very configuration, over the confirm runs that trained it.
        procedure: test score of its arm over replicates, each with a search of its own: the luck of tuning included.
        checkpoint: its file within the run directory; None if it left none.
    """

    trial_id: str
    arm: str
    replicate: int
    validation: float
    configuration: pd.DataFrame
    own: Score
    procedure: Score
    checkpoint: str | None


def best(study: PlannedStudy, trials: pd.DataFrame, table: pd.DataFrame) -> Best | None:
    """Choose a study's best configuration among completed confirm trials; None if none has completed.

    Of a search that grew, those that confirm what was best last go before all earlier ones. Test scores choose nothing;
    ties go to the trial that was planned first. ``table`` is what ``effects.replicates`` returned. The same trial as
    ``ablation best`` prints.
    """
    column = study.primary.validation_column
    confirm = trials[trials["phase"] == "confirm"]
    done = confirm[confirm["status"] == "completed"]
    if column not in done or done[column].isna().all():
        return None
    planned = {trial.trial_id: place for place, trial in enumerate(study.plan.trials())}
    ranked = done.assign(
        _stage=done["index"].map(study.plan.stage_of),
        _up=study.primary.sign * done[column].astype(float),
        _place=done["trial_id"].map(planned),
    )
    ranked = ranked.dropna(subset="_up").sort_values(["_stage", "_up", "_place"], ascending=[False, False, True])
    first = ranked.to_dict("records")[0]
    checkpoint = first.get("checkpoint")
    return Best(
        trial_id=str(first["trial_id"]),
        arm=str(first["arm"]),
        replicate=int(first["replicate"]),
        validation=float(first[column]),
        configuration=_configuration(study, first),
        own=_own(study, _same(study, confirm, first), table, study.metric),
        procedure=_over_replicates(study, str(first["arm"]), table, study.metric),
        checkpoint=None if pd.isna(checkpoint) else str(checkpoint),
    )


def _configuration(study: PlannedStudy, row: Mapping[Any, Any]) -> pd.DataFrame:
    """List a trial's hyperparameters: the searched ones first, then factors, then what was fixed."""
    space = study.space
    searched = next((arm.searched for arm in study.arms if arm.name == row["arm"]), ())
    rows = []
    for name in dict.fromkeys([*searched, *space.factors, *space.nuisance, *space.fixed]):
        value = row.get(f"config.{name}")
        if value is None or pd.isna(value):
            continue
        is_searched = name in searched
        default = space.default(name) if is_searched else ""
        rows.append((name, value, default, space.domain(name).in_words() if is_searched else ""))
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def scores(study: PlannedStudy, trials: pd.DataFrame, table: pd.DataFrame, found: Best | None) -> pd.DataFrame:
    """Score the best configuration, and the search that its arm repeats, by every test metric; no rows without one.

    Columns: metric, of ("configuration", and "procedure" if replicates search again), then Score's fields. ``table`` is
    what ``effects.replicates`` returned.
    """
    if found is None:
        return pd.DataFrame()
    confirm = trials[trials["phase"] == "confirm"]
    (first,) = confirm[confirm["trial_id"] == found.trial_id].to_dict("records")
    same, rows = _same(study, confirm, first), []
    for metric in study.metrics:
        rows.append({"metric": metric, "of": "configuration", **asdict(_own(study, same, table, metric))})
        if study.plan.budget.trials and study.plan.budget.replicates > 1:
            procedure = _over_replicates(study, found.arm, table, metric)
            rows.append({"metric": metric, "of": "procedure", **asdict(procedure)})
    return pd.DataFrame(rows)


def confirm_runs(study: PlannedStudy, trials: pd.DataFrame, found: Best) -> pd.DataFrame:
    """List the confirm runs of the best configuration's arm.

    Columns: trial_id, status, is_best (it trained the best configuration), validation (of the primary metric), then
    each test metric by name; NaN if a run has none.
    """
    confirm = trials[trials["phase"] == "confirm"]
    (first,) = confirm[confirm["trial_id"] == found.trial_id].to_dict("records")
    same = set(_same(study, confirm, first)["trial_id"])
    mine = confirm[confirm["arm"] == found.arm]
    runs = mine[["trial_id", "status"]].assign(is_best=mine["trial_id"].isin(same))
    runs["validation"] = _column(mine, study.primary.validation_column)
    return runs.assign(**{name: _column(mine, study.declared[name].test_column) for name in study.metrics})


def _column(trials: pd.DataFrame, name: str) -> pd.Series[float]:
    return trials[name].astype(float) if name in trials else pd.Series(np.nan, trials.index)


def _same(study: PlannedStudy, confirm: pd.DataFrame, first: Mapping[Any, Any]) -> pd.DataFrame:
    """Keep the confirm trials that trained a configuration since the search last grew: without search, all."""
    mine: pd.DataFrame = confirm[confirm["arm"] == first["arm"]]
    if not study.plan.budget.trials:
        return mine
    stage_of = study.plan.stage_of
    mine = mine[mine["index"].map(stage_of) == stage_of(first["index"])]
    alike = pd.Series(True, index=mine.index)
    for name in (name for name in map(str, mine) if name.startswith("config.")):
        alike &= (mine[name] == first[name]) | (mine[name].isna() & pd.isna(first[name]))
    return mine.loc[alike]


def _own(study: PlannedStudy, same: pd.DataFrame, table: pd.DataFrame, metric: str) -> Score:
    """Score a configuration over all replicates that confirmed it; over the seeds of the one if there is but one."""
    replicates, largest = set(same["replicate"]), study.declared[metric].largest(table[metric])
    if len(replicates) > 1:
        kept = table[table["arm"].isin(same["arm"]) & table["replicate"].isin(replicates)]
        return _score(kept[metric], "replicate", largest)
    values = _column(same, study.declared[metric].test_column).where(same["status"] == "completed")
    return _score(values, "seed", largest)


def _over_replicates(study: PlannedStudy, arm: str, table: pd.DataFrame, metric: str) -> Score:
    largest = study.declared[metric].largest(table[metric])
    return _score(effects.values(table, arm, metric), "replicate", largest)


def _score(values: pd.Series[Any], unit: Literal["replicate", "seed"], largest: float) -> Score:
    known = values.astype(float).dropna()
    mean, low, high = (float(number) for number in mean_interval(known, largest))
    sd = float(known.std(ddof=1)) if len(known) > 1 else float("nan")
    return Score(mean, sd, low, high, len(known), len(values), unit)
