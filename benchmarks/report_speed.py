"""How long does the report of a study take, and how much memory, from 100 trials to 10,000 trials of 100 epochs?

Makes run directories with planted curves (ledger, tables and artifacts, no training) and builds each report in a
process of its own. Prints JSON. Run: ``python -m benchmarks.report_speed [--trials 100,10000] [--epochs 100]``.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from ablation.parts import SCHEMA, digest
from ablation.paths import RunPaths
from search_spaces.space import Arm, Budget, Choice, Float, Space

SPACE = Space(
    name="made",
    description="planted curves",
    trial="made.up:run_trial",
    factors={"part.kind": Choice(values=tuple("abcdef")), "part.size": Choice(values=(1.0, 2.0, 4.0, 8.0))},
    reference={"part.kind": "a", "part.size": 4.0},
    baseline={"part.kind": "b", "part.size": 1.0},
    nuisance={name: Float(low=1e-4, high=1.0, default=0.01, log=True) for name in ("o.rate", "o.decay", "o.weight")},
    metrics=("accuracy", "recall"),
    budgets={},
)
SEARCHES = 7  # search trials to one confirm trial
CLASSES = 7
BUILD = "import sys; from analysis.report.build import build; build(sys.argv[1])"


def make_run(root: Path, trials: int, epochs: int) -> int:
    """Write a finished run of about ``trials`` trials under ``root``; return how many there are."""
    arms = SPACE.arms()
    replicates = max(2, round(trials / len(arms) / (SEARCHES + 1)))
    budget = Budget(replicates=replicates, trials=SEARCHES, epochs=epochs, grace_epochs=6, reduction_factor=3)
    random = np.random.default_rng(0)
    paths = RunPaths(root)
    root.mkdir(parents=True)
    paths.study.write_text(json.dumps(_study(arms, budget)))
    table = _trials(arms, budget, random)
    curves = _curves(table, random)
    last = curves.groupby("trial_id", sort=False).tail(1).set_index("trial_id").filter(like="metric.")
    table = table.join(last, on="trial_id")
    for name in SPACE.metrics:
        done = (table["phase"] == "confirm").to_numpy()
        table[f"metric.test_{name}"] = (table[f"metric.val_{name}"] - 0.01).where(done)
    table.to_parquet(paths.trials, index=False)
    log = _write_ledger(paths.ledger, table, curves)
    seq = log[log["kind"] == "epoch"].sort_values(["trial_id", "seq"], kind="stable")["seq"].to_numpy()
    curves = curves.sort_values(["trial_id", "epoch"], kind="stable").assign(seq=seq)
    curves.to_parquet(paths.epochs, index=False)
    counts = table["status"].value_counts()
    paths.summary.write_text(json.dumps({"planned": len(table), **{str(k): int(v) for k, v in counts.items()}}))
    for trial_id in table.loc[table["phase"] == "confirm", "trial_id"]:
        _write_confusion(paths.artifact_dir(trial_id), random)
    return len(table)


def _study(arms: tuple[Arm, ...], budget: Budget) -> dict[str, Any]:
    plan = {"space": SPACE.model_dump(mode="json"), "design": "one-at-a-time", "metric": "accuracy", "seed": 0}
    plan |= {"budget": budget.model_dump(mode="json"), "arms": [arm.model_dump(mode="json") for arm in arms]}
    plan |= {"comparisons": [list(pair) for pair in SPACE.declared(arms)]}
    data = {"uri": "made", "fingerprint": "0" * 16, "class_names": [f"class {i}" for i in range(CLASSES)]}
    rungs = [epoch for epoch in (6, 18, 54) if epoch < budget.epochs]
    about = {"schema_version": 1, "name": "made", "created_utc": "2030-01-01T00:00:00+00:00", "command": ["made"]}
    return about | {"data": data, "plan": plan, "rungs": rungs, "search_is_random": False, "versions": {}}


def _trials(arms: tuple[Arm, ...], budget: Budget, random: np.random.Generator) -> pd.DataFrame:
    rows = [
        {"trial_id": f"{arm.name}/{replicate}/{phase}/{index}", "arm": arm.name, "replicate": replicate}
        | {"phase": phase, "index": index, "seed": 1000 * replicate + index}
        for arm in arms
        for replicate in range(budget.replicates)
        for phase, count in (("search", budget.trials), ("confirm", 1))
        for index in range(count)
    ]
    table = pd.DataFrame(rows)
    stopped = (table["phase"] == "search") & (table["index"] % 3 == 2)
    table["status"] = np.where(stopped, "stopped", "completed")
    table["reason"] = pd.Series(None, index=table.index, dtype=object)
    table["epochs_planned"] = budget.epochs
    # Most trials are drawn whole: the benchmark is about many epochs.
    table["epochs_trained"] = np.where(stopped & (table["replicate"] % 2 == 0), 6, budget.epochs)
    table["status"] = table["status"].where(table["epochs_trained"] < budget.epochs, "completed")
    table["stopped_at_rung"] = np.where(table["status"] == "stopped", 6.0, np.nan)
    table["attempts"] = 1
    table["wall_s"] = 0.5 * table["epochs_trained"]
    for name in SPACE.nuisance:
        values = np.exp(random.uniform(np.log(1e-4), 0.0, len(table)))
        table[f"config.{name}"] = np.where(table["index"] == 0, 0.01, values)
    return table


def _curves(table: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    repeats = table["epochs_trained"].to_numpy()
    trial_id = table["trial_id"].to_numpy().repeat(repeats)
    epoch = np.concatenate([np.arange(1, count + 1) for count in repeats])
    final = (0.7 + random.normal(0, 0.02, len(table))).repeat(repeats)
    value = final * (1 - np.exp(-epoch / 10)) + random.normal(0, 0.005, len(epoch))
    frame = pd.DataFrame({"trial_id": trial_id, "epoch": epoch, "seq": 0, "epoch_s": 0.5})
    # ``seq`` is the ledger's to give.
    metrics = {"val_accuracy": value, "val_recall": value - 0.05, "train_loss": 1 - value, "lr": 0.1 / epoch}
    return frame.assign(**{f"metric.{name}": column for name, column in metrics.items()})


def _write_ledger(folder: Path, table: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Write one part with the events that a sweep of four slots would have left, payloads included; return them."""
    slot_s = table["wall_s"].groupby(np.arange(len(table)) % 4)
    end = 1.9e9 + slot_s.cumsum().to_numpy()
    start = end - table["wall_s"].to_numpy()
    middle = curves["trial_id"].map(pd.Series(start, index=table["trial_id"])).to_numpy() + 0.5 * curves["epoch"]
    payload = [json.dumps({"epoch": int(epoch), "metrics": {"val_accuracy": 0.5}}) for epoch in curves["epoch"]]
    parts: list[tuple[str, Iterable[Any], Iterable[float], list[str]]] = [
        ("session_opened", [None], [1.9e9 - 10], ["{}"])
    ]
    parts += [("started", table["trial_id"], start, ["{}"] * len(table))]
    parts += [("epoch", curves["trial_id"], middle, payload), ("ended", table["trial_id"], end, ["{}"] * len(table))]
    frames = [
        pd.DataFrame({"kind": kind, "trial_id": list(ids), "unix_s": list(times), "payload": texts})
        for kind, ids, times, texts in parts
    ]
    log = pd.concat(frames, ignore_index=True).sort_values("unix_s", kind="stable", ignore_index=True)
    log = log.assign(seq=range(len(log)), session=1)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pandas(log[SCHEMA.names], schema=SCHEMA, preserve_index=False), sink)
    content = sink.getvalue().to_pybytes()
    folder.mkdir()
    (folder / f"0001-{0:09d}-{len(log) - 1:09d}-{digest(content)}.parquet").write_bytes(content)
    return log


def _write_confusion(folder: Path, random: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    label, predicted = np.divmod(np.arange(CLASSES**2), CLASSES)
    count = random.integers(0, 20, CLASSES**2) + 200 * (label == predicted)
    pq.write_table(pa.table({"label": label, "predicted": predicted, "count": count}), folder / "confusion.parquet")


def measure(run: Path) -> dict[str, float]:
    """Build a report in a fresh process; return its wall and CPU seconds, peak memory, and the page's size."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", BUILD, str(run)], check=True)
    wall_s, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    page_mb = RunPaths(run).page.stat().st_size / 1e6
    found = {"wall_s": wall_s, "cpu_s": cpu_s, "peak_gb": after.ru_maxrss / 1e6, "page_mb": page_mb}
    return {name: round(value, 2) for name, value in found.items()}


def main(
    trials: Annotated[str, typer.Option(help="Numbers of trials, smallest first.")] = "100,10000",
    epochs: Annotated[int, typer.Option(help="Epochs of a full trial.")] = 100,
) -> None:
    """Measure the report of each size; memory is the largest so far, so sizes go upwards."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for number in map(int, trials.split(",")):
            run = Path(scratch) / str(number)
            made = make_run(run, number, epochs)
            found.append({"trials": made, "epochs": epochs, **measure(run)})
    about = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    typer.echo(json.dumps({"reports": found, **about}, indent=1))


if __name__ == "__main__":
    typer.run(main)
