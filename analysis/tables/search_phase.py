"""What the searches did, with stopped trials censored and scores compared at equal epochs only.

Everything here is description: validation scores of a search are the maxima of noisy draws, and no claim rests on
them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.effects import arm_names
from analysis.load import PlannedStudy
from search_spaces.domains import Choice, Domain, Float, Int

EDGE = 0.05  # of a range's (logarithmic) width, counted as its end
GRID = 200  # points of a curve over epochs spent


def comparison_epoch(study: PlannedStudy) -> int:
    """Name the epoch at which all search trials can be compared: the first rung, where nothing is censored yet."""
    return int(study.rungs[0]) if study.rungs else study.plan.budget.epochs


def scores_at(study: PlannedStudy, trials: pd.DataFrame, epochs: pd.DataFrame, epoch: int) -> pd.DataFrame:
    """List each search trial's primary validation score after ``epoch``; trials that did not reach it are absent.

    Columns: trial_id, arm, replicate, index, status, score, then ``config.*`` of every searched hyperparameter.
    """
    configs = [name for name in (f"config.{name}" for name in domains(study)) if name in trials]
    search = trials.loc[
        trials["phase"] == "search", ["trial_id", "arm", "replicate", "index", "status", *configs]
    ].copy()
    column = study.primary.validation_column
    if column not in epochs:
        return search.iloc[:0].assign(score=np.nan)
    rows = epochs[epochs["epoch"] == epoch]
    reached = dict(zip(rows["trial_id"].astype(str), rows[column], strict=True))
    search.insert(5, "score", search["trial_id"].map(reached).astype(float))
    known: pd.DataFrame = search[np.isfinite(search["score"])]
    return known.reset_index(drop=True)


def domains(study: PlannedStudy) -> dict[str, Domain]:
    """Return the domain of every hyperparameter that some arm searches, in the space's order."""
    searched = {name for arm in study.arms for name in arm.searched}
    every = {**study.space.factors, **study.space.nuisance}
    return {name: domain for name, domain in every.items() if name in searched}


def survival_curve(study: PlannedStudy, trials: pd.DataFrame) -> pd.DataFrame:
    """Follow the share of each arm's search trials still training, epoch by epoch (Kaplan and Meier, 1958).

    Stopped, diverged and failed trials leave after their last epoch; interrupted ones are censored there. Columns:
    arm, epoch (from 0), at_risk, share. Pending trials are not counted.
    """
    started = trials[(trials["phase"] == "search") & (trials["status"] != "pending")]
    longest = study.plan.budget.epochs
    rows, by_arm = [], dict(list(started.groupby("arm")))
    for arm in arm_names(study, trials):
        if arm not in by_arm:
            continue
        mine = by_arm[arm]
        reached = mine["epochs_trained"].fillna(0).astype(int).to_numpy()
        left = mine["status"].isin(["stopped", "diverged", "failed"]).to_numpy()
        gone = np.bincount(reached[left], minlength=longest + 1)
        at_risk = len(reached) - np.concatenate([[0], np.cumsum(np.bincount(reached, minlength=longest + 1))[:-1]])
        share = np.cumprod(1 - gone / np.maximum(at_risk, 1))
        rows.append(pd.DataFrame({"arm": arm, "epoch": range(longest + 1), "at_risk": at_risk, "share": share}))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["arm", "epoch", "at_risk", "share"])


def best_so_far(study: PlannedStudy, trials: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """Follow the best validation score of completed trials against the epochs that an arm's replicate has spent.

    Only full-length scores count: a stopped trial spends epochs and raises nothing. Means over replicates, from
    where each has a completed trial. Columns: arm, epochs_spent, best, replicates.
    """
    column, sign = study.primary.validation_column, study.primary.sign
    search = trials.loc[trials["phase"] == "search", ["trial_id", "arm", "replicate", "status", "epochs_planned"]]
    if column not in epochs:
        return pd.DataFrame(columns=["arm", "epochs_spent", "best", "replicates"])
    index = search.groupby(["arm", "replicate"], sort=False).ngroup()
    known = pd.DataFrame({"search": index, "done": search["epochs_planned"].where(search["status"] == "completed", 0)})
    known.index = pd.Index(search["trial_id"])
    rows = epochs[["epoch", "seq", column]].assign(search=epochs["trial_id"].map(known["search"]).astype(float))
    final = (rows["epoch"] == epochs["trial_id"].map(known["done"]).astype(float)) & np.isfinite(rows[column])
    rows["value"] = (sign * rows[column]).where(final, -np.inf)
    rows = rows[rows["search"].notna()].sort_values("seq", kind="stable")
    rows["best"] = rows.groupby("search")["value"].cummax()
    rows["arm"] = rows["search"].map(dict(zip(index, search["arm"], strict=True))).astype("category")
    parts = []
    for arm, mine in rows.groupby("arm", sort=False, observed=True):
        curves = [replicate["best"].to_numpy() for _, replicate in mine.groupby("search")]
        longest = max(map(len, curves))
        grid = np.unique(np.linspace(1, longest, min(GRID, longest)).astype(int))
        best = np.mean([curve[np.minimum(grid, len(curve)) - 1] for curve in curves], axis=0)
        known = np.isfinite(best)
        part = {"arm": arm, "epochs_spent": grid[known], "best": sign * best[known], "replicates": len(curves)}
        parts.append(pd.DataFrame(part))
    order = {name: index for index, name in enumerate(arm_names(study, trials))}
    parts.sort(key=lambda part: order[part["arm"].iloc[0]] if len(part) else 0)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["arm", "epochs_spent", "best"])


def tuning_gain(study: PlannedStudy, trials: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """Compare each replicate's chosen search trial with the default configuration's, at the last epoch both reached.

    Columns: arm, replicate, epoch (of the comparison), default, tuned, gain (in favour of tuning, whatever the
    metric's direction), default_status, default_won. Replicates that did not try the defaults after the space's first
    points are left out. The chosen score is the best of several noisy ones, so the gain is too high on average.
    """
    column, sign = study.primary.validation_column, study.primary.sign
    columns = ["arm", "replicate", "epoch", "default", "tuned", "gain", "default_status", "default_won"]
    if column not in epochs or column not in trials:
        return pd.DataFrame(columns=columns)
    search = trials[trials["phase"] == "search"]
    done = search[(search["status"] == "completed") & np.isfinite(search[column])]
    done = done.assign(rank=-sign * done[column]).sort_values(["rank", "index"])
    chosen = {
        (row["arm"], row["replicate"]): row for row in done.drop_duplicates(["arm", "replicate"]).to_dict("records")
    }
    known = search[search["index"] <= len(study.space.first_points)].sort_values(
        "index", ascending=False, kind="stable"
    )
    tried = [row for row in known.to_dict("records") if _is_default(study, row)]
    defaults = {(row["arm"], row["replicate"]): row for row in tried}  # the first of them stays
    paired = [(row, chosen[key]) for key, row in defaults.items() if key in chosen]
    wanted = {trial["trial_id"] for pair in paired for trial in pair}
    shared = {int(min(trial["epochs_trained"], best["epochs_trained"])) for trial, best in paired}
    rows = epochs[epochs["epoch"].isin(shared) & epochs["trial_id"].isin(wanted)]
    curves = dict(zip(zip(rows["trial_id"].astype(str), rows["epoch"], strict=True), rows[column], strict=True))
    found = []
    for trial, best in paired:
        epoch = int(min(trial["epochs_trained"], best["epochs_trained"]))
        if epoch:
            default, tuned = (float(curves[(row["trial_id"], epoch)]) for row in (trial, best))
            if not np.isfinite(default + tuned):  # it failed in an epoch without validation
                continue
            gain, won = sign * (tuned - default), int(best["index"]) == int(trial["index"])
            found.append((trial["arm"], trial["replicate"], epoch, default, tuned, gain, trial["status"], won))
    return pd.DataFrame(found, columns=columns)


def edges(study: PlannedStudy, chosen: pd.DataFrame) -> pd.DataFrame:
    """Count chosen values within EDGE of a range's end, on the scale that the search used.

    ``chosen`` is what ``effort.chosen`` returns. Columns: arm, name, end ("low" or "high"), at_edge, replicates,
    bound; one row if at least one replicate chose there. Unordered choices have no ends.
    """
    known, rows = domains(study), []
    for (arm, name), mine in chosen.groupby(["arm", "name"], sort=False):
        domain = known[str(name)]
        if isinstance(domain, Choice):
            continue
        positions = unit_scale(domain, mine["value"].to_numpy(dtype=float))
        for end, near in (("low", positions <= EDGE), ("high", positions >= 1 - EDGE)):
            if near.any():
                rows.append((arm, name, end, int(near.sum()), len(mine), getattr(domain, end)))
    return pd.DataFrame(rows, columns=["arm", "name", "end", "at_edge", "replicates", "bound"])


def unit_scale(domain: Float | Int, values: np.ndarray) -> np.ndarray:
    """Place values of a numeric range in 0..1, logarithmically if the range is logarithmic."""
    low, high = float(domain.low), float(domain.high)
    if high == low:
        return np.full(values.shape, 0.5)
    if domain.log:
        return np.asarray(np.log(values / low) / math.log(high / low))
    return np.asarray((values - low) / (high - low))


def _is_default(study: PlannedStudy, trial: Mapping[Any, Any]) -> bool:
    searched = {arm.name: arm.searched for arm in study.arms}.get(trial["arm"], ())
    return all(_is(trial.get(f"config.{name}"), study.start(name)) for name in searched)


def _is(value: object, level: object) -> bool:
    # Levels of several kinds, such as False and "ema", share a column as text.
    return value == level or (isinstance(value, str) and value == str(level))
