"""Does a study name the better arm, and stay silent if there is none? Thousands of simulated studies.

Each goes through the real plan, search, rungs, records and inference, eight trials at a time, in random order of
arrival; only training is replaced, by val(t) = f·(1 − exp(−t/τ)) + noise of the epoch, with
f = 0.80 + δ of the arm − 0.05·x² + noise of the run. x is what is searched: the search draws u in 0.001..0.999
and x = 0.6·Φ⁻¹(u), so a random x follows N(0, 0.6) cut at ±1.85; the default is x = 0.6. The right answer is the
difference of both curves at the full length, without noise, at x = 0. Noise is independent between the arms.

Prints JSON and exits 1 if a bar is missed, by the exact (Clopper–Pearson) 95 % bounds: the better arm is named
in at least 97 % of studies, equal arms are called different in at most 7 %, no search is without survivor.
Run: ``python -m benchmarks.fairness [--sweeps N] [--seed N] [--set KEY=VALUE ...]``.
"""

from __future__ import annotations

import json
import math
import os
import platform
import random
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from statistics import NormalDist, fmean
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from scipy import stats

from ablation.ledger.events import Event, Happening
from ablation.plan import Plan
from ablation.seeds import derive_seed
from ablation.study.study import Assignment, Study
from ablation.trial import EpochRecord
from analysis import inference
from search_spaces.space import Budget, Choice, Float, Frozen, Space

FAST, SLOW = "baseline", "reference"
LEAST_RIGHT, MOST_FALSE = 0.97, 0.07
AT_A_TIME = 8
SWEEPS_A_TASK = 20
MOST_POOLED = 500
OFFSET = NormalDist(0.0, 0.6)


class Scenario(Frozen):
    """Constants of a simulated study; the bonus δ is the slow arm's."""

    name: str
    fast_tau: float = 4.0
    slow_tau: float = 5.0
    bonus: float = 0.02
    run_sd: float = 0.01
    epoch_sd: float = 0.005
    replicates: int = 5
    trials: int = 6
    epochs: int = 27
    grace_epochs: int = 3
    reduction_factor: int = 3

    @property
    def truth(self) -> float:
        """Slow minus fast arm at the full length, each at its best x."""
        return self.height(SLOW) - self.height(FAST)

    def height(self, arm: str, epoch: int | None = None, final: float | None = None) -> float:
        """Return an arm's curve without its epochs' noise, by default at its end and at its best x."""
        tau = self.slow_tau if arm == SLOW else self.fast_tau
        reached = 1 - math.exp(-(epoch or self.epochs) / tau)
        return (self.best(arm) if final is None else final) * reached

    def best(self, arm: str) -> float:
        """Return what an arm tends to at x = 0."""
        return 0.80 + (self.bonus if arm == SLOW else 0.0)

    def null(self) -> Scenario:
        """Return the scenario with two equal arms."""
        return self.model_copy(update={"slow_tau": self.fast_tau, "bonus": 0.0})


SCENARIOS = (
    Scenario(name="slow starter"),
    Scenario(
        name="noisier and longer",
        fast_tau=8.0,
        slow_tau=14.0,
        bonus=0.04,
        run_sd=0.018,
        epoch_sd=0.01,
        epochs=64,
        grace_epochs=2,
        reduction_factor=4,
    ),
    # Better in the limit and worse at the full length: to say so is right.
    Scenario(name="too slow", slow_tau=8.0, bonus=0.01, grace_epochs=1, reduction_factor=2),
)


class MemoryLedger:
    """Stand-in for a ledger on disk: what a study asks of one."""

    def __init__(self) -> None:
        self.history: list[Event] = []
        self._count = 0

    def append(self, what: Happening, trial_id: str | None = None) -> Event:
        """Give an event the next index."""
        self._count += 1
        return Event(self._count - 1, 1, trial_id, 0.0, what)


class AcrossArms(dict[tuple[str, int, int], list[float]]):
    """Rung values of all arms in one list each, which is what a fair study must not do."""

    def get(self, key: Any, default: Any = None) -> Any:
        """Look a rung up, whatever the arm."""
        return super().get(("", *key[1:]), default)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Look a rung up, whatever the arm, or begin it."""
        return super().setdefault(("", *key[1:]), default)


class Answer(NamedTuple):
    """What a simulated study found."""

    confirmed_R: dict[str, list[float]]  # by arm; NaN if a replicate has no confirmed value
    last_difference: float  # slow minus fast arm: means of all search trials' last values
    best_difference: float  # the same of each arm's best search score
    without_survivor: int


def plan_of(scenario: Scenario, seed: int) -> Plan:
    """Plan a study of two arms that differ in their curves."""
    budget = Budget(**scenario.model_dump(include=set(Budget.model_fields)))
    space = Space(
        name="curves",
        trial="benchmarks.fairness:curve",
        factors={"curve": Choice(values=("slow", "fast"))},
        reference={"curve": "slow"},
        baseline={"curve": "fast"},
        nuisance={"offset_quantile": Float(low=0.001, high=0.999, default=OFFSET.cdf(OFFSET.stdev))},
        metrics=("score",),
        budgets={"standard": budget},
    )
    arms = space.arms()
    return Plan(space=space, metric="score", budget=budget, seed=seed, arms=arms, comparisons=space.declared(arms))


def curve(scenario: Scenario, assignment: Assignment, seed: int) -> Iterator[EpochRecord]:
    """Yield a trial's records; their noise depends on the seed and the trial, in no order."""
    trial = assignment.trial
    noise = random.Random(derive_seed(seed, "noise", trial.trial_id))
    offset = OFFSET.inv_cdf(float(assignment.config["offset_quantile"]))
    final = scenario.best(trial.arm) - 0.05 * offset**2 + noise.gauss(0, scenario.run_sd)
    for epoch in range(1, trial.epochs + 1):
        height = scenario.height(trial.arm, epoch, final)
        metrics = {"val_score": height + noise.gauss(0, scenario.epoch_sd)}
        if trial.phase == "confirm" and epoch == trial.epochs:
            metrics["test_score"] = height + noise.gauss(0, scenario.epoch_sd)
        yield EpochRecord(epoch=epoch, epoch_s=0.0, metrics=metrics)


def simulate(scenario: Scenario, seed: int, *, across_arms: bool = False) -> Answer:
    """Run one study to its end; ``across_arms`` lets rungs compare the arms with each other."""
    study = Study(plan_of(scenario, seed), MemoryLedger())
    if across_arms:
        study.state.rung_values = AcrossArms()
    arrival = random.Random(derive_seed(seed, "arrival"))
    running: list[tuple[str, Iterator[EpochRecord]]] = []
    while True:
        while len(running) < AT_A_TIME and (assignment := study.next_assignment()) is not None:
            study.started(assignment.trial.trial_id)
            running.append((assignment.trial.trial_id, curve(scenario, assignment, seed)))
        if not running:
            return _answer(study)
        index = arrival.randrange(len(running))
        trial_id, records = running[index]
        if not study.report(trial_id, next(records), 0.0, None):
            running.pop(index)


def _answer(study: Study) -> Answer:
    assert study.is_finished
    confirmed: dict[str, list[float]] = {FAST: [], SLOW: []}
    searched: dict[str, list[float]] = {FAST: [], SLOW: []}
    best: dict[str, float] = {FAST: math.nan, SLOW: math.nan}
    survivors = set()
    for trial in study.plan.trials():
        state = study.records[trial.trial_id]
        if trial.phase == "confirm":
            confirmed[trial.arm].append(state.last("test_score"))
            continue
        searched[trial.arm].append(state.last("val_score"))
        if state.outcome == "completed":
            survivors.add((trial.arm, trial.replicate))
            best[trial.arm] = np.fmax(best[trial.arm], state.last("val_score"))
    return Answer(
        confirmed,
        fmean(searched[SLOW]) - fmean(searched[FAST]),
        best[SLOW] - best[FAST],
        len(study.plan.arms) * study.plan.budget.replicates - len(survivors),
    )


def sweep(scenario: Scenario, seeds: list[int], processes: int, *, across_arms: bool = False) -> list[Answer]:
    """Simulate a study for every seed; the answers do not depend on the number of processes."""
    work = partial(_simulate_some, scenario, across_arms)
    tasks = [seeds[start : start + SWEEPS_A_TASK] for start in range(0, len(seeds), SWEEPS_A_TASK)]
    if processes == 1:
        return [answer for task in tasks for answer in work(task)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return [answer for answers in pool.map(work, tasks) for answer in answers]


def _simulate_some(scenario: Scenario, across_arms: bool, seeds: list[int]) -> list[Answer]:
    return [simulate(scenario, seed, across_arms=across_arms) for seed in seeds]


def seeds_of(name: str, seed: int, sweeps: int) -> list[int]:
    """Derive one seed a study."""
    return [derive_seed(seed, "fairness", name, number) for number in range(sweeps)]


def named_right(scenario: Scenario, answers: list[Answer]) -> int:
    """Count the studies whose mean paired difference has the sign of the truth; what has no pair is left out."""
    return int((_paired(answers).difference * scenario.truth > 0).sum())


def called_different(answers: list[Answer]) -> int:
    """Count the studies whose paired t test, with Holm over the one comparison, rejects at 5 %."""
    return sum(bool(inference.holm([p])[1][0]) for p in _paired(answers).p)


def _paired(answers: list[Answer]) -> inference.Paired:
    slow_SR, fast_SR = (np.array([answer.confirmed_R[arm] for answer in answers]) for arm in (SLOW, FAST))
    return inference.paired_difference(slow_SR, fast_SR)


def share(count: int, of: int) -> dict[str, float]:
    """Return a share with its exact two-sided 95 % bounds."""
    bounds = stats.binomtest(count, of).proportion_ci(0.95, method="exact")
    return {"count": count, "of": of, "share": count / of, "low": float(bounds.low), "high": float(bounds.high)}


def measure(scenario: Scenario, sweeps: int, seed: int, processes: int) -> dict[str, Any]:
    """Simulate a scenario and its null; say what was found and which bars are missed."""
    began = time.perf_counter()
    answers = sweep(scenario, seeds_of(scenario.name, seed, sweeps), processes)
    null = sweep(scenario.null(), seeds_of(f"{scenario.name}, null", seed, sweeps), processes)
    pooled = sweep(
        scenario, seeds_of(f"{scenario.name}, pooled", seed, min(sweeps, MOST_POOLED)), processes, across_arms=True
    )
    right = share(named_right(scenario, answers), sweeps)
    false = share(called_different(null), sweeps)
    lost = sum(answer.without_survivor for answer in (*answers, *null))
    wrong = {
        "mean_of_last_search_values": share(sum(not a.last_difference * scenario.truth > 0 for a in answers), sweeps),
        "best_of_search_values": share(sum(not a.best_difference * scenario.truth > 0 for a in answers), sweeps),
        "confirmed_after_asha_across_arms": share(len(pooled) - named_right(scenario, pooled), len(pooled)),
    }
    return {
        "constants": scenario.model_dump(),
        "truth": scenario.truth,
        "sign_right": right,
        "power": share(called_different(answers), sweeps),
        "null_called_different": false,
        "searches_without_survivor": lost,
        "wrong_or_no_sign_otherwise": wrong,
        "studies_with_a_search_without_survivor_across_arms": share(
            sum(answer.without_survivor > 0 for answer in pooled), len(pooled)
        ),
        "wall_s": round(time.perf_counter() - began, 1),
        "missed": [
            bar
            for bar, is_met in (
                (f"sign right in at least {LEAST_RIGHT:.0%}", right["low"] >= LEAST_RIGHT),
                (f"equal arms called different in at most {MOST_FALSE:.0%}", false["high"] <= MOST_FALSE),
                ("every search has a survivor", lost == 0),
            )
            if not is_met
        ],
    }


def main(
    sweeps: Annotated[int, typer.Option(min=1, help="Studies simulated per scenario, and as many of its null.")] = 2000,
    seed: Annotated[int, typer.Option(help="Root of every seed.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="Processes that simulate.")] = os.cpu_count() or 1,
    scenario: Annotated[list[str] | None, typer.Option(help="Only scenarios of these names.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE: another constant, everywhere.")] = None,
) -> None:
    """Measure all scenarios and print JSON."""
    changes = dict(text.split("=", 1) for text in set_ or [])
    asked = [one for one in SCENARIOS if not scenario or one.name in scenario]
    chosen = [Scenario.model_validate({**one.model_dump(), **changes}) for one in asked]
    found = {one.name: measure(one, sweeps, seed, processes) for one in chosen}
    about = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    about |= {name: version(name) for name in ("optuna", "numpy", "scipy")}
    typer.echo(json.dumps({"fairness": found, "seed": seed, "processes": processes, **about}, indent=1))
    if not found or any(each["missed"] for each in found.values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
