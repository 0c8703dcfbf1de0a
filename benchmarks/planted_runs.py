"""Write a study whose confirm scores, losses and search survival are known, through ledger and tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ablation import study_file, tables
from ablation.ledger.events import Decided, Ended, EpochTrained, Happening, Proposed, SessionOpened, Started
from ablation.ledger.log import Ledger
from ablation.paths import RunPaths
from ablation.plan import Plan, PlannedTrial
from ablation.study_file import StudyFile
from analysis.inference import Array
from search_spaces.space import Budget, Choice, Float, Level, Space

KINDS = ("a", "b", "c", "d", "e")
SPACE = Space(
    name="planted",
    description="scores drawn from known laws",
    trial="benchmarks.planted_runs:plant",
    factors={"made.kind": Choice(values=KINDS), "made.size": Choice(values=(1, 2))},
    reference={"made.kind": "a", "made.size": 1},
    baseline={"made.kind": "e", "made.size": 2},
    nuisance={"made.rate": Float(low=0.01, high=1.0, default=0.1, log=True)},
    metrics=("score",),
    budgets={"quick": Budget(replicates=5, trials=4, epochs=2, grace_epochs=1, reduction_factor=2)},
)
ARMS = tuple(arm.name for arm in SPACE.arms())
SHAKY_ARM = "kind=c"
SURVIVES, SHAKY_SURVIVES = 0.6, 0.1  # share of search trials that reach the full budget
FAILS = {"failed": 0.01, "diverged": 0.01, "interrupted": 0.01, "pending": 0.01}  # of confirm trials


@dataclass
class Truth:
    """What was planted: confirm scores as they came to be (NaN if lost), and what became of trials."""

    scores_AR: Array
    is_shaky: bool
    planned: int = 0
    not_completed: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return plain values for a file of its own."""
        scores = [[None if np.isnan(score) else float(score) for score in row] for row in self.scores_AR]
        lost = {"planned": self.planned, "not_completed": self.not_completed}
        return {"arms": ARMS, "scores": scores, "is_shaky": self.is_shaky, **lost}


def plant(run: Path, scores_AR: Array, random: np.random.Generator, is_shaky: bool) -> Truth:
    """Write a run directory whose confirm trials score ``scores_AR``, and say what was planted.

    Some confirm trials are lost, at random, and search trials stop early, at random. Where ``is_shaky``, most search
    trials of one arm diverge.
    """
    plan = _plan(scores_AR.shape[1])
    paths = RunPaths(run)
    study_file.write(_file().model_copy(update={"name": run.name, "plan": plan}), paths)
    truth = Truth(scores_AR.copy(), is_shaky, plan.trial_count)
    with Ledger(paths.ledger) as ledger:
        ledger.append(SessionOpened(process=0, resources={}))
        for trial in plan.trials():
            outcome = _outcome(trial, random, is_shaky)
            if outcome not in ("completed", "stopped"):
                truth.not_completed[trial.trial_id] = outcome
                if trial.phase == "confirm":
                    truth.scores_AR[ARMS.index(trial.arm), trial.replicate] = np.nan
            score = float(scores_AR[ARMS.index(trial.arm), trial.replicate])
            for what in _happenings(plan, trial, outcome, score):
                ledger.append(what, trial.trial_id)
    tables.materialise(paths)
    return truth


def _outcome(trial: PlannedTrial, random: np.random.Generator, is_shaky: bool) -> str:
    if trial.phase == "confirm":
        names = ("completed", *FAILS)
        return str(random.choice(names, p=(1 - sum(FAILS.values()), *FAILS.values())))
    shaky = is_shaky and trial.arm == SHAKY_ARM
    if random.random() < (SHAKY_SURVIVES if shaky else SURVIVES):
        return "completed"
    return "diverged" if shaky else "stopped"


def _happenings(plan: Plan, trial: PlannedTrial, outcome: str, score: float) -> Iterator[Happening]:
    if outcome == "pending":
        return
    proposal: dict[str, Level] = {"made.rate": 0.1}
    yield Proposed(proposal, plan.space.configuration(plan.arm(trial.arm), proposal))
    yield Started(attempt=1)
    last = trial.epochs if outcome == "completed" else 1
    for epoch in range(1, last + 1):
        metrics = {"val_score": score - 0.1 / epoch}
        if trial.phase == "confirm" and epoch == trial.epochs:
            metrics["test_score"] = score
        yield EpochTrained(epoch, epoch_s=1.0, metrics=metrics, images=1)
        if trial.phase == "search" and epoch in plan.rungs:
            yield Decided(epoch, metrics["val_score"], goes_on=outcome == "completed", among=1)
    if outcome != "interrupted":
        reason = None if outcome == "completed" else "planted"
        yield Ended(outcome, reason, wall_s=1.0 * last, checkpoint=None)


@cache
def _plan(replicates: int) -> Plan:
    arms = SPACE.arms()
    budget = SPACE.budgets["quick"].model_copy(update={"replicates": replicates})
    return Plan(space=SPACE, metric="score", budget=budget, arms=arms, comparisons=SPACE.declared(arms))


@cache
def _file() -> StudyFile:
    return study_file.describe("planted", _plan(5), "quick", None, ["benchmarks.planted_truth"])
