"""Do all slots train, also when there are many? Sleeping trials, through this project and through plain Ray Tune.

Both sides run the same number of trials of the same length, in turn: ``python -m ablation.run`` as a user starts it,
and Tune's own loop with ``reuse_actors``. For each size: workers that were asked for (those ended before they trained
count, too), the mean share of slots that train between the first time all were busy and the start of the last trial,
and seconds from Enter to the end; medians over the runs, with the least and the most. Beside it, without Ray, the order
in which a study hands out its trials: simulated time over work ÷ slots, for two shapes.

Prints JSON and exits 1 if more workers than slots (and retries) were asked for, a share is below 0.95, ours is slower
than plain Tune's, or a simulated time is above 1.15. Run: ``python -m benchmarks.slots [--sizes 2,33] [--runs 5]``.
"""

from __future__ import annotations

import heapq
import json
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from pydantic import BaseModel

from ablation.ledger.log import Ledger, read_events
from ablation.machine import usable_cpus
from ablation.plan import Plan
from ablation.study.study import Study
from ablation.trial import EpochRecord, TrialContext
from search_spaces.space import Budget, Choice, Float, Space

ROOT = Path(__file__).parents[1]
LEAST_BUSY = 0.95
MOST_SIMULATED = 1.15
EPOCH_S = 0.2
ARMS, TRIALS, SEEDS = 4, 5, 1
# Some 25 to 70 s of sleep for each size. Where more workers start at once, which takes longer, trials are longer, too;
# with only a few trials a slot, the end would be most of it, where confirm trials wait for the last searches.
REPLICATES_PER_SLOTS = {2: 2, 8: 2, 16: 6, 33: 12}  # of 24 trials each
EPOCHS = {2: 10, 8: 20, 16: 30, 33: 40}
SHAPES = {"13 arms × 6 replicates × 8 trials, 64 slots": (13, 6, 8, 64), "4 × 3 × 6, 8 slots": (4, 3, 6, 8)}


class Sleeper(BaseModel):
    """Settings of a trial that does nothing."""

    kind: int = 0
    lr: float = 0.1
    epoch_s: float = EPOCH_S


def run_trial(config: Sleeper, context: TrialContext) -> Iterator[EpochRecord]:
    """Sleep away each epoch, and print the process and when it slept."""
    value = random.Random(context.seed)
    for epoch in range(1, context.epochs + 1):
        began = time.time()
        time.sleep(config.epoch_s)
        print(json.dumps({"process": os.getpid(), "began": began, "ended": time.time()}), flush=True)
        metrics = {"val_score": value.random()}
        if context.phase == "confirm" and epoch == context.epochs:
            metrics["test_score"] = value.random()
        yield EpochRecord(epoch=epoch, epoch_s=config.epoch_s, metrics=metrics, images=1)


def sleeping_space(arms: int, budget: Budget) -> Space:
    """Return a study of sleeping trials with that many arms."""
    return Space(
        name="sleepers",
        description="trials that sleep",
        trial="benchmarks.slots:run_trial",
        factors={"kind": Choice(values=tuple(range(arms)))},
        reference={"kind": 0},
        baseline={"kind": arms - 1},
        nuisance={"lr": Float(low=0.01, high=1.0, default=0.1)},
        metrics=("score",),
        budgets={"quick": budget},
    )


SPACE = sleeping_space(
    ARMS, Budget(replicates=2, trials=TRIALS, seeds=SEEDS, epochs=4, grace_epochs=4, reduction_factor=2)
)


class Measured(NamedTuple):
    """One sweep: workers that were asked for, share of slots that were busy, wall time, and workers that were lost."""

    workers: int
    busy: float
    seconds: float
    retries: int


def measure_ours(slots: int) -> Measured:
    """Run the study through the command, its trials' epochs as many as plain Tune's."""
    epochs, replicates = EPOCHS[slots], REPLICATES_PER_SLOTS[slots]
    with tempfile.TemporaryDirectory(prefix="slots-") as folder:
        command = ["ablation.run", "--space", "benchmarks.slots:SPACE", "--no-report", "--out", folder]
        command += ["--name", "run", "--replicates", str(replicates), "--epochs", str(epochs)]
        command += ["--cpus-per-trial", str(_cpus_per_trial(slots)), "--max-concurrent", str(slots)]
        seconds, workers = timed(command)
        logs = sorted((Path(folder) / "run/logs").glob("*.txt"))
        trials = [[json.loads(line) for line in log.read_text().splitlines()] for log in logs]
        retries = sum(event.kind == "retried" for event in read_events(Path(folder) / "run/ledger"))
    return _measured(trials, slots, workers, seconds, retries)


def measure_plain(slots: int) -> Measured:
    """Run as many trials of as many epochs through Tune alone."""
    trials = ARMS * REPLICATES_PER_SLOTS[slots] * (TRIALS + SEEDS)
    with tempfile.TemporaryDirectory(prefix="slots-") as folder:
        arguments = [folder, str(slots), str(trials), str(EPOCHS[slots]), str(_cpus_per_trial(slots))]
        seconds, workers = timed(["benchmarks.slots_plain_tune", *arguments])
        lines = [json.loads(line) for path in Path(folder).glob("*.jsonl") for line in path.read_text().splitlines()]
    by_trial: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_trial.setdefault(line["trial"], []).append(line)
    return _measured(list(by_trial.values()), slots, workers, seconds, 0)


def busy_share(trials: list[tuple[float, float]], slots: int) -> float:
    """Return the mean share of slots in use between the first time all are and the start of the last trial.

    ``trials`` are (begin, end) in seconds. 0 if the slots were never all in use.
    """
    changes = sorted([(began, 1) for began, _ in trials] + [(ended, -1) for _, ended in trials])
    running, full_from, used, before = 0, math.nan, 0.0, 0.0
    last = max(began for began, _ in trials)
    for moment, change in changes:
        if not math.isnan(full_from):
            used += running * (min(moment, last) - min(before, last))
        running, before = running + change, moment
        if running == slots and math.isnan(full_from):
            full_from = moment
    if math.isnan(full_from):
        return 0.0
    return used / (slots * (last - full_from)) if last > full_from else 1.0


def simulated(arms: int, replicates: int, trials: int, slots: int, seed: int = 0) -> float:
    """Return a study's simulated time over work ÷ slots: every epoch takes one, ASHA stops by random scores."""
    budget = Budget(replicates=replicates, trials=trials, epochs=9, grace_epochs=1, reduction_factor=3)
    space = sleeping_space(arms, budget)
    plan = Plan(space=space, metric="score", budget=budget, arms=space.arms(), comparisons=space.declared(space.arms()))
    scores, ties, work, now = random.Random(seed), count(), 0, 0.0
    running: list[tuple[float, int, str, int]] = []  # when its next epoch ends, a tie's order, trial, epoch
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder)) as ledger:
        study = Study(plan, ledger)
        study.open_session(process=0, resources={})
        while True:
            while len(running) < slots and (assignment := study.next_assignment(slots)) is not None:
                study.started(assignment.trial.trial_id)
                heapq.heappush(running, (now + 1, next(ties), assignment.trial.trial_id, 1))
            if not running:
                return now / (work / slots)
            now, _, trial_id, epoch = heapq.heappop(running)
            work += 1
            metrics = {"val_score": scores.random(), "test_score": 0.5}
            if "/search/" in trial_id or epoch < budget.epochs:
                del metrics["test_score"]
            if study.report(trial_id, EpochRecord(epoch, 1.0, metrics), now, None):
                heapq.heappush(running, (now + 1, next(ties), trial_id, epoch + 1))


def main(
    sizes: Annotated[str, typer.Option(help="Slots, by commas.")] = ",".join(map(str, EPOCHS)),
    runs: Annotated[int, typer.Option(help="Runs of each side and size.")] = 5,
) -> None:
    """Measure both sides in turn, then simulate; exit 1 if a bar is missed."""
    found, missed = {}, []
    for slots in map(int, filter(None, sizes.split(","))):
        pairs = []
        for _ in range(runs):
            pairs.append((measure_ours(slots), measure_plain(slots)))
            typer.echo(f"{slots} slots: ours {pairs[-1][0]}, plain Tune {pairs[-1][1]}", err=True)
        ours, plain = ([pair[side] for pair in pairs] for side in (0, 1))
        found[slots] = {"ours": _summary(ours), "plain_tune": _summary(plain)}
        missed += [f"{slots} slots: {one.workers} workers" for one in ours if one.workers > slots + one.retries]
        missed += [f"{slots} slots: {one.busy:.3f} busy" for one in ours if one.busy < LEAST_BUSY]
        if _median(ours, "seconds") > _median(plain, "seconds"):
            missed.append(f"{slots} slots: slower than plain Tune")
    tails = {name: round(simulated(*shape), 3) for name, shape in SHAPES.items()}
    missed += [f"{name}: simulated {value}" for name, value in tails.items() if value > MOST_SIMULATED]
    about = {
        "hardware": {"cpus": os.cpu_count(), "machine": platform.machine()},
        "versions": {"python": platform.python_version(), "ray": version("ray"), "optuna": version("optuna")},
    }
    result = {"sizes": found, "simulated_time_over_work_per_slot": tails, "missed": missed, "runs": runs, **about}
    typer.echo(json.dumps(result, indent=1, ensure_ascii=False))
    raise typer.Exit(1 if missed else 0)


def _cpus_per_trial(slots: int) -> float:
    return math.floor(1000 * usable_cpus().count / slots) / 1000


def timed(command: list[str]) -> tuple[float, int]:
    """Run a module with arguments; return the seconds it took and the workers it asked for."""
    with tempfile.TemporaryDirectory(prefix="slots-") as folder:
        file = Path(folder) / "workers"
        began = time.monotonic()
        counted = [sys.executable, "-m", "benchmarks.counted_workers", str(file), *command]
        subprocess.run(counted, cwd=ROOT, check=True, capture_output=True)
        return time.monotonic() - began, int(file.read_text())


def _measured(trials: list[list[dict[str, Any]]], slots: int, workers: int, seconds: float, retries: int) -> Measured:
    spans = [(epochs[0]["began"], epochs[-1]["ended"]) for epochs in trials if epochs]
    return Measured(workers, busy_share(spans, slots), seconds, retries)


def _median(runs: list[Measured], name: str) -> float:
    return float(statistics.median(getattr(run, name) for run in runs))


def _summary(runs: list[Measured]) -> dict[str, Any]:
    return {
        name: {
            "median": round(_median(runs, name), 3),
            "range": [round(bound(getattr(run, name) for run in runs), 3) for bound in (min, max)],
        }
        for name in Measured._fields
    }


if __name__ == "__main__":
    typer.run(main)
