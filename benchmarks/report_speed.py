"""How long do loading a study's tables and building its report take, from 100 to 10,000 trials of 100 epochs?

Makes run directories with planted curves (ledger, tables and artifacts, no training), then, each in a process of its
own: loads the tables several times, by turns, where pandas and pyarrow are imported already; builds the report, whose
memory is measured too; and imports what a report needs, by turns with an interpreter that imports nothing.

Prints JSON, with the two bars and whether they hold: both tables in at most 0.5 s of wall time, by the median, at each
size; an import in at most 1.5 s. Run: ``python -m benchmarks.report_speed [--trials 100,10000] [--epochs 100]
[--metrics 13]``.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from ablation.ledger.parts import SCHEMA, digest
from ablation.paths import RunPaths
from analysis import load
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
# Importing this module imports pandas and pyarrow: what is measured is loading alone.
LOAD = "import json, sys; from benchmarks.report_speed import load_tables; print(json.dumps(load_tables(sys.argv[1])))"
# The package's own __init__ is empty; ``build`` has all that a report needs.
IMPORTED = ("analysis.report", "analysis.report.build")
ROUNDS = 7
MOST_LOAD_S = 0.5
MOST_IMPORT_S = 1.5


def make_run(root: Path, trials: int, epochs: int, metrics: int = 13) -> int:
    """Write a finished run of about ``trials`` trials under ``root``; return how many there are.

    An epoch has ``metrics`` metrics, four of them curves, the others noise.
    """
    arms = SPACE.arms()
    replicates = max(2, round(trials / len(arms) / (SEARCHES + 1)))
    budget = Budget(replicates=replicates, trials=SEARCHES, epochs=epochs, grace_epochs=6, reduction_factor=3)
    random = np.random.default_rng(0)
    paths = RunPaths(root)
    root.mkdir(parents=True)
    paths.study.write_text(json.dumps(_study(arms, budget)))
    table = _trials(arms, budget, random)
    curves = _curves(table, metrics, random)
    last = curves.groupby("trial_id", sort=False).tail(1).set_index("trial_id").filter(like="metric.")
    table = table.join(last, on="trial_id")
    for metric in SPACE.metrics:
        done = (table["phase"] == "confirm").to_numpy()
        table[metric.test_column] = (table[metric.validation_column] - 0.01).where(done)
    log = _write_ledger(paths.ledger, table, curves)
    seq = log[log["kind"] == "epoch"].sort_values(["trial_id", "seq"], kind="stable")["seq"].to_numpy()
    curves = curves.sort_values(["trial_id", "epoch"], kind="stable").assign(seq=seq)
    counts = {str(status): int(count) for status, count in table["status"].value_counts().items()}
    digests = {path.name: _put(path, frame) for path, frame in ((paths.trials, table), (paths.epochs, curves))}
    paths.summary.write_text(json.dumps({"planned": len(table), **counts, "sha256": digests}))
    for trial_id in table.loc[table["phase"] == "confirm", "trial_id"]:
        _write_confusion(paths.artifact_dir(trial_id), random)
    return len(table)


def _put(path: Path, frame: pd.DataFrame) -> str:
    """Write a table as a sweep does, and return the digest that summary.json has of it."""
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, compression="zstd")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _study(arms: tuple[Arm, ...], budget: Budget) -> dict[str, Any]:
    plan = {"space": SPACE.model_dump(mode="json"), "design": "one-at-a-time", "metric": "accuracy", "seed": 0}
    plan |= {"budget": budget.model_dump(mode="json"), "arms": [arm.model_dump(mode="json") for arm in arms]}
    plan |= {"comparisons": [list(pair) for pair in SPACE.declared(arms)]}
    data = {"uri": "made", "fingerprint": "0" * 16, "class_names": [f"class {i}" for i in range(CLASSES)]}
    rungs = [epoch for epoch in (6, 18, 54) if epoch < budget.epochs]
    about = {"schema_version": 2, "name": "made", "created_utc": "2030-01-01T00:00:00+00:00", "command": ["made"]}
    about |= {"git_commit": None, "hardware": {}, "versions": {}, "budget_name": "made", "search_is_random": False}
    return about | {"data": data, "plan": plan, "rungs": rungs}


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


def _curves(table: pd.DataFrame, metrics: int, random: np.random.Generator) -> pd.DataFrame:
    repeats = table["epochs_trained"].to_numpy()
    trial_id = table["trial_id"].to_numpy().repeat(repeats)
    epoch = np.concatenate([np.arange(1, count + 1) for count in repeats])
    final = (0.7 + random.normal(0, 0.02, len(table))).repeat(repeats)
    value = final * (1 - np.exp(-epoch / 10)) + random.normal(0, 0.005, len(epoch))
    frame = pd.DataFrame({"trial_id": trial_id, "epoch": epoch, "seq": 0, "epoch_s": 0.5})
    # ``seq`` is the ledger's to give.
    named = {"val_accuracy": value, "val_recall": value - 0.05, "train_loss": 1 - value, "lr": 0.1 / epoch}
    named |= {f"other_{index}": random.normal(size=len(epoch)) for index in range(metrics - len(named))}
    return frame.assign(**{f"metric.{name}": column for name, column in named.items()})


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


def load_tables(run: str) -> dict[str, dict[str, list[float]]]:
    """Load both tables by turns; return wall and processor seconds of each and of both, one value a round."""
    found: dict[str, dict[str, list[float]]] = {
        name: {"wall_s": [], "cpu_s": []} for name in ("trials", "epochs", "both")
    }
    for _ in range(ROUNDS):
        spent = {}
        for name, read in (("trials", load.trials), ("epochs", load.epochs)):
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            read(run)
            spent[name] = time.perf_counter() - wall_s, time.process_time() - cpu_s
        spent["both"] = spent["trials"][0] + spent["epochs"][0], spent["trials"][1] + spent["epochs"][1]
        for name, both_s in spent.items():
            for clock, value in zip(found[name], both_s, strict=True):
                found[name][clock].append(value)
    return found


def measure_load(run: Path) -> dict[str, Any]:
    """Load the tables in a fresh process and hold both together against the bar."""
    command = [sys.executable, "-c", LOAD, str(run)]
    asked = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = {
        name: {clock: _summary(values) for clock, values in clocks.items()}
        for name, clocks in json.loads(asked.stdout).items()
    }
    return found | _verdict(found["both"]["wall_s"]["median"], MOST_LOAD_S)


def measure_imports() -> dict[str, Any]:
    """Import modules by turns, each in a fresh process, all of whose time counts."""
    statements = {"nothing": "pass", **{module: f"import {module}" for module in IMPORTED}}
    spent: dict[str, dict[str, list[float]]] = {module: {"wall_s": [], "cpu_s": []} for module in statements}
    for _ in range(ROUNDS):
        for module, statement in statements.items():
            for clock, value in zip(spent[module], _run(statement), strict=True):
                spent[module][clock].append(value)
    found: dict[str, Any] = {
        module: {clock: _summary(values) for clock, values in clocks.items()} for module, clocks in spent.items()
    }
    for module in IMPORTED:
        found[module] |= _verdict(found[module]["wall_s"]["median"], MOST_IMPORT_S)
    return found


def _run(code: str, *arguments: str) -> tuple[float, float]:
    """Run Python code in a fresh process; return its wall and processor seconds."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    wall_s, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _summary(values: list[float]) -> dict[str, float]:
    found = {"median": statistics.median(values), "lowest": min(values), "highest": max(values), "first": values[0]}
    return {name: round(value, 3) for name, value in found.items()}


def _verdict(median_s: float, most_s: float) -> dict[str, Any]:
    return {"at_most_s": most_s, "is_met": median_s <= most_s}


def measure(run: Path) -> dict[str, float]:
    """Build a report in a fresh process; return its wall and CPU seconds, peak memory, and the page's size."""
    wall_s, cpu_s = _run(BUILD, str(run))
    peak_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    page_mb = RunPaths(run).page.stat().st_size / 1e6
    found = {"wall_s": wall_s, "cpu_s": cpu_s, "peak_gb": peak_gb, "page_mb": page_mb}
    return {name: round(value, 2) for name, value in found.items()}


def main(
    trials: Annotated[str, typer.Option(help="Numbers of trials, smallest first.")] = "100,10000",
    epochs: Annotated[int, typer.Option(help="Epochs of a full trial.")] = 100,
    metrics: Annotated[int, typer.Option(min=4, help="Metrics of an epoch; the study tcl has 13.")] = 13,
) -> None:
    """Measure loading and report of each size; memory is the largest so far, so sizes go upwards."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for number in map(int, trials.split(",")):
            run = Path(scratch) / str(number)
            made = make_run(run, number, epochs, metrics)
            size = {"trials": made, "epochs": epochs, "metrics": metrics}
            found.append({**size, **measure(run), "load": measure_load(run)})
    about: dict[str, Any] = {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    about |= {name: version(name) for name in ("pandas", "pyarrow")}
    about |= {"load_average": [round(value, 1) for value in os.getloadavg()]}
    typer.echo(json.dumps({"reports": found, "imports": measure_imports(), **about}, indent=1))


if __name__ == "__main__":
    typer.run(main)
