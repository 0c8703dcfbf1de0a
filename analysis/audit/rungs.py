"""ASHA once more, from epochs alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from analysis.audit.source import KEY, AuditedRun


def rungs(run: AuditedRun) -> Iterator[str]:
    """Recompute ASHA from epochs alone: at a rung, in order of seq, a trial stays among the best max(1, n // η).

    A study without early stopping has no rungs: whatever was decided or stopped in it is a fault.
    """
    budget = run.plan["budget"]
    # A trial that diverged in an epoch is not judged there, and one that is still open may not have been yet.
    decided = run.payloads("decided")
    judged = set(zip(decided["trial_id"], decided["rung"], strict=True))
    broken = run.trials[run.trials["status"].isin(["diverged", "interrupted"])]
    unjudged = set(zip(broken["trial_id"], broken["epochs_trained"], strict=True)) - judged
    positions = run.trials.set_index("trial_id")[[*KEY, "phase"]]
    epochs = _first_told(run).join(positions, on="trial_id").sort_values("seq")
    epochs = epochs[epochs["phase"] == "search"]
    expected: dict[str, int] = {}
    has_rungs = budget.get("early_stopping", "asha") == "asha"  # earlier versions knew nothing else
    rung = budget["grace_epochs"] if has_rungs else budget["epochs"]
    while rung < budget["epochs"]:
        for _, arrivals in epochs[epochs["epoch"] == rung].groupby(KEY):
            values: list[float] = []
            for trial, value in zip(arrivals["trial_id"], run.sign * arrivals[run.validation], strict=True):
                if not math.isfinite(value) or (trial, rung) in unjudged:
                    continue
                values.append(value)
                if sum(other > value for other in values) >= max(1, len(values) // budget["reduction_factor"]):
                    expected[trial] = rung
        rung *= budget["reduction_factor"]
    if not has_rungs:
        yield from (f"ledger: decided on {trial}, but nothing is stopped early" for trial in decided["trial_id"])
    for row in run.trials.to_dict("records"):
        stopped = None if pd.isna(row["stopped_at_rung"]) else int(row["stopped_at_rung"])
        trial, status = row["trial_id"], row["status"]
        if status in ("completed", "stopped") and stopped != expected.get(trial):
            yield f"trials: {trial} stopped at {stopped}, but the rungs say {expected.get(trial)}"
        if (status == "stopped") != (stopped is not None) and status in ("stopped", "completed"):
            yield f"trials: {trial} is {status}, with stopped_at_rung {stopped}"
        if status == "completed" and row["epochs_trained"] != row["epochs_planned"]:
            yield f"trials: {trial} is completed after {row['epochs_trained']} of {row['epochs_planned']} epochs"


def _first_told(run: AuditedRun) -> pd.DataFrame:
    """Return epochs as they were when they were judged: where attempts differ, the first one's values and places."""
    reported = run.payloads("epoch")
    first = reported.drop_duplicates(["trial_id", "epoch"])
    again = first[first["seq"].isin(set(first["seq"]) - set(run.epochs["seq"]))]
    metric = run.validation.removeprefix("metric.")
    earlier = again[["trial_id", "epoch", "seq"]].assign(
        **{run.validation: [row.get(metric) for row in again["metrics"]]}
    )
    both = pd.concat([earlier, run.epochs]) if len(earlier) else run.epochs
    return both.drop_duplicates(["trial_id", "epoch"])
