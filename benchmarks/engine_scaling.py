"""Does a trial cost the engine more, the more trials there were? Ten thousand no-op trials over twelve arms.

They go through plan, search, rungs, records and a ledger on disk, eight at a time, without Ray; only training is
replaced, by numbers. All that the engine does in the driver's thread is credited to the trial it does it for, and
every tenth trial's end waits for a flush, since these trials are too short for the ledger's own thread, which goes on
beside. A proposal by TPE takes longer the longer its search is, so two shapes of the same size are measured:
600 searches of 16 trials (the largest budget of the shipped study, grown by replicates), to which the bar applies,
and 24 searches of 416 trials, the longest that a plan of that size can hold, since it has two replicates at least.

Prints JSON and exits 1 if the median time of the last thousand trials is above 1.5 times that of the second
thousand. Run: ``python -m benchmarks.engine_scaling [--replicates R --trials T]``.
"""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from ablation.ledger.log import Ledger, read_events
from ablation.plan import Plan, PlannedTrial
from ablation.seeds import derive_seed
from ablation.study.study import Study
from ablation.trial import EpochRecord
from search_spaces.space import Budget, Choice, Float, Int, Space

MOST_GROWTH = 1.5
AT_A_TIME = 8
TRIALS_A_FLUSH = 10
WINDOW = 1000
SHAPES = {"600 searches of 16": (50, 16), "24 searches of 416": (2, 416)}
JUDGED = "600 searches of 16"


class Spent(NamedTuple):
    """What a trial cost the driver: wall time, and processor time of the whole process, in seconds."""

    wall_s: float
    cpu_s: float


class Carried(NamedTuple):
    """What a study of no-op trials took."""

    spent: list[Spent]  # in the order in which trials ended
    wall_s: float
    events: int
    parts: int


def plan_of(replicates: int, trials: int, arms: int = 12, seed: int = 0) -> Plan:
    """Plan a study of twelve arms with four hyperparameters."""
    levels = tuple(f"v{number}" for number in range(arms))
    budget = Budget(replicates=replicates, trials=trials, epochs=9, grace_epochs=1, reduction_factor=3)
    space = Space(
        name="no-op",
        trial="benchmarks.engine_scaling:records",
        factors={"variant": Choice(values=levels)},
        reference={"variant": levels[0]},
        baseline={"variant": levels[-1]},
        nuisance={
            "rate": Float(low=1e-4, high=1e-1, default=1e-2, log=True),
            "weight": Float(low=0.0, high=1.0, default=0.5),
            "width": Int(low=8, high=128, default=32, log=True),
            "kind": Choice(values=("plain", "other")),
        },
        metrics=("score",),
        budgets={"standard": budget},
    )
    return Plan(
        space=space,
        metric="score",
        budget=budget,
        seed=seed,
        arms=space.arms(),
        comparisons=space.declared(space.arms()),
    )


def records(trial: PlannedTrial) -> Iterator[EpochRecord]:
    """Yield a trial's records at once; their values depend on its id alone."""
    noise = random.Random(derive_seed("no-op", trial.trial_id))
    height = noise.random()
    for epoch in range(1, trial.epochs + 1):
        metrics = {"val_score": height + 0.1 * noise.random() + 0.01 * epoch, "train_loss": noise.random()}
        if trial.phase == "confirm" and epoch == trial.epochs:
            metrics["test_score"] = height
        yield EpochRecord(epoch=epoch, epoch_s=0.01, metrics=metrics, images=10)


def now() -> Spent:
    """Read both clocks."""
    return Spent(time.perf_counter(), time.process_time())


def carry_out(plan: Plan, directory: Path, read: Callable[[], Spent] = now, study_type: type[Study] = Study) -> Carried:
    """Run a plan's trials to their end, noting what each costs by the clocks that ``read`` reads."""
    began = time.perf_counter()
    ended: list[Spent] = []
    with Ledger(directory) as ledger:
        study = study_type(plan, ledger)
        study.open_session(process=0, resources={})
        running: deque[tuple[str, Iterator[EpochRecord], Spent]] = deque()
        while True:
            while len(running) < AT_A_TIME:
                mark = read()
                assignment = study.next_assignment()
                if assignment is None:
                    break
                study.started(assignment.trial.trial_id)
                running.append((assignment.trial.trial_id, records(assignment.trial), _between(mark, read())))
            if not running:
                break
            trial_id, values, spent = running.popleft()
            mark = read()
            goes_on = study.report(trial_id, next(values), 0.1, None)
            if not goes_on and len(ended) % TRIALS_A_FLUSH == 0:
                ledger.flush()
            added = _between(mark, read())
            spent = Spent(spent.wall_s + added.wall_s, spent.cpu_s + added.cpu_s)
            if goes_on:
                running.append((trial_id, values, spent))
            else:
                ended.append(spent)
        assert study.is_finished
    wall_s = time.perf_counter() - began
    return Carried(ended, wall_s, len(read_events(directory)), len(list(directory.glob("*.parquet"))))


def growth(carried: Carried) -> dict[str, Any]:
    """Compare the second thousand trials, in the order in which they ended, with the last."""
    second, last = carried.spent[WINDOW : 2 * WINDOW], carried.spent[-WINDOW:]
    found: dict[str, Any] = {}
    for unit in Spent._fields:
        early_ms, late_ms = ([1e3 * getattr(spent, unit) for spent in part] for part in (second, last))
        found[unit.replace("_s", "_ms")] = {
            "second_thousand": _spread(early_ms),
            "last_thousand": _spread(late_ms),
            "ratio_of_medians": round(statistics.median(late_ms) / statistics.median(early_ms), 3),
            "ratio_of_means": round(statistics.fmean(late_ms) / statistics.fmean(early_ms), 3),
        }
    return found


def _spread(values: list[float]) -> dict[str, float]:
    low, median, high = statistics.quantiles(values, n=4)
    found = {"median": median, "quartile_low": low, "quartile_high": high, "mean": statistics.fmean(values)}
    return {name: round(value, 3) for name, value in (found | {"highest": max(values)}).items()}


def _by_tenth(values: list[float]) -> list[float]:
    edges = [len(values) * tenth // 10 for tenth in range(11)]
    return [round(statistics.fmean(values[start:end]), 3) for start, end in pairwise(edges)]


def _between(mark: Spent, end: Spent) -> Spent:
    return Spent(end.wall_s - mark.wall_s, end.cpu_s - mark.cpu_s)


def measure(replicates: int, trials: int) -> dict[str, Any]:
    """Carry out a study of that shape in a scratch folder and say what it took."""
    plan = plan_of(replicates, trials)
    with tempfile.TemporaryDirectory() as scratch:
        carried = carry_out(plan, Path(scratch))
    count = len(carried.spent)
    return {
        "trials": count,
        "arms": len(plan.arms),
        "replicates": replicates,
        "trials_a_search": trials,
        "events": carried.events,
        "parts": carried.parts,
        "trials_per_s": round(count / carried.wall_s, 1),
        "events_per_s": round(carried.events / carried.wall_s, 1),
        "per_trial": growth(carried),
        "mean_wall_ms_by_tenth": _by_tenth([1e3 * spent.wall_s for spent in carried.spent]),
        "mean_cpu_ms_by_tenth": _by_tenth([1e3 * spent.cpu_s for spent in carried.spent]),
    }


def _count(replicates: int, trials: int) -> int:
    return plan_of(replicates, trials).trial_count


def main(
    replicates: Annotated[int | None, typer.Option(min=2, help="One shape of your own: replicates an arm.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials a search, with --replicates.")] = 16,
) -> None:
    """Measure both shapes, or one of your own, to which the bar then applies."""
    shapes = SHAPES if replicates is None else {JUDGED: (replicates, trials)}
    few = [shape for shape in shapes.values() if _count(*shape) < 3 * WINDOW]
    if few:
        rule = f"a last thousand after the second takes {3 * WINDOW}; give more replicates"
        raise typer.BadParameter(f"{replicates} replicates of {trials} are {_count(*few[0])} trials, but {rule}")
    found = {name: measure(*shape) for name, shape in shapes.items()}
    ratio = found[JUDGED]["per_trial"]["wall_ms"]["ratio_of_medians"]
    about: dict[str, Any] = {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    about |= {name: version(name) for name in ("optuna", "pyarrow")}
    about |= {"load_average": [round(load, 1) for load in os.getloadavg()]}
    verdict = {"judged": JUDGED, "ratio": ratio, "at_most": MOST_GROWTH, "is_met": ratio <= MOST_GROWTH}
    typer.echo(json.dumps({"engine_scaling": found, **verdict, **about}, indent=1))
    if ratio > MOST_GROWTH:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
