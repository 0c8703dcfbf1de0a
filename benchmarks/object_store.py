"""Does a run that lies in an object store far away take longer? One sweep on the disk, the same one in a store.

A trial sleeps for three epochs of five seconds and saves a checkpoint after each, so that nothing but the engine and
the way to the store can make a difference; none is stopped early, so that both sweeps are equally long. Trials are
short, since most of what a store costs comes with a trial's start and end. The store is moto's server on loopback,
behind a line on which every answer takes 50 ms longer. What is compared is the time from the first trial's start to
the last one's end, by the ledger.

Prints JSON and exits 1 if the store makes the sweep more than 5 % slower. Needs the tests' environment.
Run: ``python -m benchmarks.object_store [--epoch-s 5 --round-trip-ms 50 --checkpoint-kib 300]``.
"""

from __future__ import annotations

import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from pydantic import BaseModel

from ablation import checkpoint
from ablation.ledger.log import read_events
from ablation.paths import RunPaths
from ablation.store import AnyPath, as_typed, located
from ablation.trial import EpochRecord, TrialContext
from search_spaces.space import Budget, Choice, Float, Space
from tests.support.object_store import BUCKET, line_to, served, settings

MOST_SLOWDOWN = 0.05
AT_A_TIME = 4


class Config(BaseModel):
    """What a trial that sleeps is asked."""

    kind: str = "plain"
    rate: float = 0.1
    epoch_s: float = 5.0
    checkpoint_kib: int = 300


def run_trial(config: Config, context: TrialContext) -> Iterator[EpochRecord]:
    """Sleep through each epoch, save, and report a number that depends on seed and epoch alone."""
    identity = checkpoint.identity(config.model_dump(), context.seed, context.epochs)
    found = checkpoint.newest(context.checkpoint_dir, identity, "numpy")
    records = [] if found is None else list(found.records)
    yield from records
    noise = random.Random(context.seed)
    height = noise.random()
    weights = np.random.default_rng(context.seed).integers(0, 256, 1024 * config.checkpoint_kib, dtype=np.uint8)
    while len(records) < context.epochs:
        time.sleep(config.epoch_s)
        epoch = len(records) + 1
        metrics = {"val_score": height + 0.01 * epoch}
        if context.phase == "confirm" and epoch == context.epochs:
            metrics["test_score"] = height
        records.append(EpochRecord(epoch, config.epoch_s, metrics, images=1))
        kept = checkpoint.Checkpoint(epoch, identity, tuple(records), {"weights": weights}, {})
        checkpoint.save(context.checkpoint_dir, kept)
        yield records[-1]


SPACE = Space(
    name="asleep",
    description="what a store far away costs",
    trial="benchmarks.object_store:run_trial",
    factors={"kind": Choice(values=("plain", "other"))},
    reference={"kind": "plain"},
    baseline={"kind": "other"},
    nuisance={"rate": Float(low=0.01, high=1.0, default=0.1)},
    fixed={"epoch_s": 5.0, "checkpoint_kib": 300},
    metrics=("score",),
    budgets={"quick": Budget(replicates=2, trials=4, epochs=3, grace_epochs=3, reduction_factor=3)},
)


def sweep(out: AnyPath, epoch_s: float, checkpoint_kib: int, environment: dict[str, str]) -> dict[str, Any]:
    """Run the study in a process of its own, and say how long its trials took."""
    fixed = ("--set", f"epoch_s={epoch_s}", "--set", f"checkpoint_kib={checkpoint_kib}")
    share = ("--cpus-per-trial", str((os.cpu_count() or 1) / AT_A_TIME), "--max-concurrent", str(AT_A_TIME))
    command = [sys.executable, "-m", "ablation.run", "--space", "benchmarks.object_store:SPACE", "--no-report"]
    done = subprocess.run(
        [*command, *fixed, *share, "--out", as_typed(out), "--name", "one"],
        env={**os.environ, **environment, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    return measured(RunPaths(out / "one"), epoch_s)


def measured(paths: RunPaths, epoch_s: float) -> dict[str, Any]:
    """Say what a sweep took, and what its trials took beside their epochs."""
    events = read_events(paths.ledger)
    started = {event.trial_id: event.unix_s for event in events if event.kind == "started"}
    ended = {event.trial_id: event.unix_s for event in events if event.kind == "ended"}
    epochs = sum(event.kind == "epoch" for event in events)
    beside_s = sum(ended[trial] - began for trial, began in started.items()) - epochs * epoch_s
    return {
        "sweep_s": round(max(ended.values()) - min(started.values()), 2),
        "trials": len(started),
        "epochs": epochs,
        "beside_epochs_s_a_trial": round(beside_s / len(started), 3),
    }


def main(
    epoch_s: Annotated[float, typer.Option(min=0.1, help="How long an epoch takes.")] = 5.0,
    round_trip_ms: Annotated[float, typer.Option(min=0, help="How much later the store answers.")] = 50.0,
    checkpoint_kib: Annotated[int, typer.Option(min=1, help="Size of a checkpoint.")] = 300,
) -> None:
    """Run the sweep on the disk, then in the store."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        here = sweep(folder / "runs", epoch_s, checkpoint_kib, {})
        with served() as endpoint, line_to(endpoint, round_trip_ms / 1000) as line:
            environment = {**settings(line.endpoint), "ABLATION_CACHE": str(folder / "cache")}
            os.environ.update(environment)
            there = sweep(located(f"{BUCKET}/runs"), epoch_s, checkpoint_kib, environment)
    slowdown = there["sweep_s"] / here["sweep_s"] - 1
    about: dict[str, Any] = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    about |= {name: version(name) for name in ("pyarrow", "ray")}
    about |= {"load_average": [round(load, 1) for load in os.getloadavg()]}
    asked = {"epoch_s": epoch_s, "round_trip_ms": round_trip_ms, "checkpoint_kib": checkpoint_kib}
    verdict = {"slowdown": round(slowdown, 4), "at_most": MOST_SLOWDOWN, "is_met": slowdown <= MOST_SLOWDOWN}
    typer.echo(json.dumps({"object_store": {"disk": here, "store": there}, **asked, **verdict, **about}, indent=1))
    if slowdown > MOST_SLOWDOWN:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
