"""What must hold after every fault: nothing lost, nothing twice, nothing left over, rungs as the epochs say."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any

import pandas as pd

from ablation import study_file, tables
from ablation.ledger.log import read_events
from ablation.paths import RunPaths
from ablation.rerun import rerun
from ablation.store import AnyPath, files_below
from ablation.study.state import StudyState
from analysis.audit.checks import audit


def table(path: AnyPath) -> pd.DataFrame:
    """Read one of a run's tables, wherever it lies."""
    return pd.read_parquet(io.BytesIO(path.read_bytes()))


def rung_faults(paths: RunPaths) -> list[str]:
    """Compare the rungs of a scheduler that resumes now with those that epochs.parquet alone implies."""
    tables.materialise(paths)
    events = read_events(paths.ledger)
    plan = study_file.plan_now(study_file.read(paths), events)
    state = StudyState(plan)
    state.replay(events)
    live = state.rung_values
    expected = rungs_from_epochs(table(paths.epochs), plan.rungs, plan.metric)
    judged = {(event.trial_id, event.payload["rung"]) for event in events if event.kind == "decided"}
    # The last epoch on disk may not have its decision yet: it is made when the trial goes on.
    faults = []
    for key in sorted(live.keys() | expected.keys()):
        from_epochs = [value for trial, value in expected.get(key, []) if (trial, key[2]) in judged]
        if live.get(key, []) != from_epochs:
            faults.append(f"rung {key}: the scheduler has {live.get(key)}, but the epochs say {from_epochs}")
    return faults


def rungs_from_epochs(epochs: pd.DataFrame, rungs: tuple[int, ...], metric: str) -> dict[Any, list[tuple[str, float]]]:
    """Derive each rung's (trial, value) in the order of arrival, by pandas from the table alone."""
    found: dict[Any, list[tuple[str, float]]] = {}
    for row in epochs[epochs["epoch"].isin(rungs)].sort_values("seq").to_dict("records"):
        arm, replicate, phase, _ = row["trial_id"].rsplit("/", 3)
        if phase == "search":
            key = (arm, int(replicate), row["epoch"])
            found.setdefault(key, []).append((row["trial_id"], row[f"metric.val_{metric}"]))
    return found


def final_faults(paths: RunPaths) -> list[str]:
    """List everything that is wrong with a run that should have ended whole."""
    trials, epochs = table(paths.trials), table(paths.epochs)
    summary = json.loads(paths.summary.read_bytes())
    plan = study_file.read(paths).plan
    faults = audit(paths.root) + rung_faults(paths)
    lost = {trial.trial_id for trial in plan.trials()} - set(trials["trial_id"])
    faults += [f"lost: {trial}" for trial in sorted(lost)]
    faults += [f"twice: {key}" for key in epochs[epochs.duplicated(["trial_id", "epoch"])]["trial_id"]]
    left = trials[trials["status"].isin(["pending", "interrupted"])]
    faults += [f"zombie: {row.trial_id} is {row.status}" for row in left.itertuples()]
    if summary["superseded_epochs"]:
        faults.append(f"{summary['superseded_epochs']} epochs were reported otherwise by a later attempt")
    kept = {path.parent.name for path in files_below(paths.checkpoints, deep=True)}
    faults += [f"left over: checkpoints/{name}" for name in sorted(kept) if "__search__" in name]
    return faults


def rerun_faults(paths: RunPaths, count: int, seed: int) -> tuple[int, list[str]]:
    """Run interrupted trials again without interruption; return how many, and which differ in any bit."""
    trials = table(paths.trials)
    interrupted = trials[(trials["attempts"] > 1) & trials["status"].isin(["completed", "stopped"])][
        "trial_id"
    ].tolist()
    chosen = random.Random(seed).sample(sorted(interrupted), min(count, len(interrupted)))
    return len(chosen), list(_differing(paths, chosen))


def _differing(paths: RunPaths, trial_ids: list[str]) -> Iterator[str]:
    for trial_id in trial_ids:
        with redirect_stdout(io.StringIO()):  # what the trial prints
            agreement = rerun(paths.root, trial_id, trust=True)
        if not agreement.is_exact:
            yield f"{trial_id} differs when run again: {agreement.worst}"
