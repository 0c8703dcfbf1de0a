"""The table of trials, held against plan, ledger and epochs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pandas as pd

from analysis.audit.cells import columns, equal, same
from analysis.audit.source import KEY, AuditedRun


def plan(run: AuditedRun) -> Iterator[str]:
    """Hold the trials that are listed, their places, seeds and lengths against the plan."""
    budget, stages = run.plan["budget"], run.stages
    planned = {
        f"{arm['name']}/{replicate}/{phase}/{index}"
        for arm in run.plan["arms"]
        for replicate in range(budget["replicates"])
        for phase, count in (("search", budget["trials"]), ("confirm", budget["seeds"] * len(stages)))
        for index in range(count)
    }
    listed = run.trials["trial_id"].tolist()
    yield from (f"trials: {trial} is planned, but not listed" for trial in sorted(planned - set(listed)))
    yield from (f"trials: {trial} is listed, but not planned" for trial in sorted(set(listed) - planned))
    if len(listed) != len(set(listed)):
        yield f"trials: {len(listed) - len(set(listed))} rows are there twice"
    reported = set(run.events["trial_id"].dropna())
    yield from (f"ledger: records {trial}, which is not planned" for trial in sorted(reported - planned))
    named = run.trials.apply(lambda row: f"{row['arm']}/{row['replicate']}/{row['phase']}/{row['index']}", axis=1)
    yield from (f"trials: {row} does not stand where its id says" for row in run.trials["trial_id"][named != listed])
    seeds = run.trials.groupby(["replicate", "phase", "index"])["seed"].nunique()
    if (seeds > 1).any():
        yield f"trials: arms do not share seeds at {seeds[seeds > 1].index.tolist()[:3]}"
    wrong_length = run.trials[run.trials["epochs_planned"] != budget["epochs"]]["trial_id"]
    yield from (f"trials: {trial} is planned for another length" for trial in wrong_length)


def outcomes(run: AuditedRun) -> Iterator[str]:
    """Hold status, attempts and code against what the ledger says."""
    outcome: dict[str, str] = {}
    code: dict[str, str | None] = {}
    started: Counter[str] = Counter()
    for kind, trial, payload in run.events[["kind", "trial_id", "payload"]].itertuples(index=False):
        if kind == "ended" and trial in outcome:
            yield f"ledger: ended twice: {trial}"
        elif kind == "ended":
            outcome[trial] = json.loads(payload)["outcome"]
        elif kind == "reopened":
            outcome.pop(trial, None)
        if kind == "started":
            started[trial] += 1
            code[trial] = json.loads(payload).get("code")
    for row in run.trials.to_dict("records"):
        trial = row["trial_id"]
        expected = outcome.get(trial, "interrupted" if started[trial] else "pending")
        if row["status"] != expected:
            yield f"trials: {trial} is {row['status']}, but the ledger says {expected}"
        listed = row.get("code")
        if (None if pd.isna(listed) else listed) != code.get(trial):
            yield f"trials: {trial} ran with code {listed}, but the ledger says {code.get(trial)}"
        if row["attempts"] != started[trial]:
            yield f"trials: {trial} has {row['attempts']} attempts, but the ledger {started[trial]}"


def checkpoints(run: AuditedRun) -> Iterator[str]:
    """Hold the checkpoints that rows point to, or say are gone, against what the ledger says."""
    named: dict[str, str | None] = {}
    removed: dict[str, str | None] = {}
    for kind, trial, payload in run.events[["kind", "trial_id", "payload"]].itertuples(index=False):
        if kind in ("ended", "reopened"):
            named[trial], removed[trial] = json.loads(payload).get("checkpoint"), None
        elif kind == "checkpoint_removed":
            gone = json.loads(payload)["checkpoint"]
            if gone != named.get(trial):
                yield f"ledger: {trial}'s checkpoint {gone} is removed, but it ended with {named.get(trial)}"
            named[trial], removed[trial] = None, gone
    for row in run.trials.to_dict("records"):
        for column, expected in (("checkpoint", named), ("removed_checkpoint", removed)):
            listed, said = row.get(column), expected.get(row["trial_id"])
            if (None if pd.isna(listed) else listed) != said:
                yield f"trials: {row['trial_id']}'s {column} is {listed}, but the ledger says {said}"


def last_metrics(run: AuditedRun) -> Iterator[str]:
    """Hold each trial's metrics against its last epoch's."""
    last = run.epochs.sort_values("epoch").groupby("trial_id").tail(1).set_index("trial_id")
    trained = last["epoch"].reindex(run.trials["trial_id"]).fillna(0).to_numpy()
    differing = run.trials["trial_id"][run.trials["epochs_trained"].to_numpy() != trained]
    yield from (f"trials: {trial}'s epochs_trained is not what epochs has" for trial in differing)
    for column in columns(run.trials, "metric."):
        expected = last[column].reindex(run.trials["trial_id"]).set_axis(run.trials.index)
        for trial in run.trials["trial_id"][~equal(run.trials[column], expected)]:
            yield f"trials: {trial}'s {column} is not its last epoch's"


def proposals(run: AuditedRun) -> Iterator[str]:
    """Hold configurations against what was proposed; arms that were carried out whole had the same effort."""
    proposed = run.payloads("proposed").set_index("trial_id")
    if proposed.index.duplicated().any():
        yield f"ledger: proposed twice: {proposed.index[proposed.index.duplicated()].tolist()[:3]}"
        return
    configs = [proposed["config"].get(trial, {}) for trial in run.trials["trial_id"]]
    for column in columns(run.trials, "config."):
        reported = _as_written([config.get(column.removeprefix("config.")) for config in configs])
        for trial, listed, value in zip(run.trials["trial_id"], run.trials[column], reported, strict=True):
            if not same(listed, value):
                yield f"trials: {trial}'s {column} is not what was proposed"
    if set(run.trials["status"]).isdisjoint({"pending", "interrupted"}):
        effort = run.trials[run.trials["phase"] == "search"].groupby(KEY).size()
        if effort.nunique() > 1:
            yield f"trials: effort differs between arms: {effort.to_dict()}"


def _as_written(reported: list[Any]) -> list[Any]:
    """Format values as their column has them: values of several kinds, whole and real numbers aside, are text there."""
    kinds = {type(value) for value in reported if value is not None}
    is_text = len(kinds) > 1 and kinds != {int, float}
    return [str(value) if is_text and value is not None else value for value in reported]
