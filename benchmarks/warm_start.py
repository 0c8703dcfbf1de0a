"""How many trials does a search need that starts warm? Repetitions of a cold and a warm search, without training.

A trial scores 0.8 − Σ (x_i − o_i)² / 3 + noise of the run, for three hyperparameters in 0..1 with optima o of the
repetition. The warm search starts at what the cold one found best, as ``--warm-start`` has it, on the same optima with
noise of its own; the related one on optima that moved by 0.05 each. Needed is the first trial that reaches the cold
search's best validation score; one more than there are if none does.

The score to reach is the largest of many noisy ones, so it is too good for its own hyperparameters: with noise,
a warm search that begins at the right point may still not reach it.

Prints JSON. Run: ``python -m benchmarks.warm_start [--repetitions N] [--trials N] [--noise SD]``.
"""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer

from ablation.plan import Plan
from ablation.planning.warm_start import with_defaults
from ablation.study.study import Study
from ablation.trial import EpochRecord
from benchmarks.fairness import MemoryLedger
from search_spaces.space import Budget, Choice, Float, Space

NAMES = ("a", "b", "c")
MOVED_BY = 0.05


def main(
    repetitions: Annotated[int, typer.Option(help="Pairs of a cold and a warm search.")] = 10,
    trials: Annotated[int, typer.Option(help="Trials of a search.")] = 16,
    noise: Annotated[float, typer.Option(help="Standard deviation of a run's score.")] = 0.002,
) -> None:
    """Count the trials that warm searches need to reach the cold one's best score."""
    rows = [_repetition(seed, trials, noise) for seed in range(repetitions)]
    found = {
        "benchmark": "warm_start",
        "repetitions": repetitions,
        "trials": trials,
        "noise_sd": noise,
        "warm_within_half": sum(row["warm"] <= trials / 2 for row in rows),
        "related_within_half": sum(row["related"] <= trials / 2 for row in rows),
        "median_needed": {name: median(row[name] for row in rows) for name in ("cold", "warm", "related")},
        "rows": rows,
        "python": platform.python_version(),
        "optuna": version("optuna"),
        "machine": platform.machine(),
    }
    print(json.dumps(found, indent=1))


def _repetition(seed: int, trials: int, noise: float) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    optima = dict(zip(NAMES, rng.uniform(0.1, 0.9, len(NAMES)), strict=True))
    moved = {name: value + MOVED_BY * rng.choice((-1, 1)) for name, value in optima.items()}
    cold = _search(_space(trials), seed, optima, noise)
    best = max(cold, key=lambda one: one[1])
    warm_space = with_defaults(_space(trials), best[0])
    goal = best[1]
    return {
        "seed": seed,
        "cold": _needed(cold, goal),
        "warm": _needed(_search(warm_space, seed + 1000, optima, noise), goal),
        "related": _needed(_search(warm_space, seed + 2000, moved, noise), goal),
        "cold_best": goal,
    }


def _space(trials: int) -> Space:
    return Space(
        name="bowl",
        trial="benchmarks.warm_start:bowl",
        factors={"kind": Choice(values=("one", "other"))},
        reference={"kind": "one"},
        baseline={"kind": "other"},
        nuisance={name: Float(low=0.0, high=1.0, default=0.5) for name in NAMES},
        metrics=("score",),
        budgets={"quick": Budget(replicates=1, trials=trials, epochs=1, grace_epochs=1, reduction_factor=3)},
    )


def bowl() -> None:
    """Stand where a space names its trial; nothing calls it."""


def _search(space: Space, seed: int, optima: dict[str, float], noise: float) -> list[tuple[dict[str, Any], float]]:
    """Run one search, a trial after the other; return each trial's hyperparameters and score, in order."""
    arms = space.arms()[:1]
    plan = Plan(space=space, metric="score", budget=space.budgets["quick"], seed=seed, arms=arms, comparisons=())
    study = Study(plan, MemoryLedger())
    study.open_session(process=0, resources={})
    found: list[tuple[dict[str, Any], float]] = []
    while (assignment := study.next_assignment()) is not None and assignment.trial.phase == "search":
        trial = assignment.trial
        study.started(trial.trial_id)
        proposal = {name: float(assignment.config[name]) for name in NAMES}
        distance = sum((proposal[name] - optima[name]) ** 2 for name in NAMES) / len(NAMES)
        score = 0.8 - distance + np.random.default_rng([seed, trial.index]).normal(0, noise)
        study.report(trial.trial_id, EpochRecord(1, 0.0, {"val_score": float(score)}), 0.0, None)
        found.append((proposal, float(score)))
    return found


def _needed(found: list[tuple[dict[str, Any], float]], goal: float) -> int:
    return next((index for index, (_, score) in enumerate(found, start=1) if score >= goal), len(found) + 1)


if __name__ == "__main__":
    typer.run(main)
