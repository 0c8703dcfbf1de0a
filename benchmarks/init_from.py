"""How many epochs does a training need whose weights start at an earlier run's best checkpoint?

Of each repetition, a cold training of the reference on generated faces, and two that start from a run with
``--init-from``: one from a run on other faces of the same kind, and one from the cold run itself, with its own split,
so that no picture that validates has been trained on. Needed is the first epoch that reaches the cold training's best
validation score; one more than there are if none does. Counts, no times: a busy machine gives the same ones.

Prints JSON. Run: ``python -m benchmarks.init_from [--repetitions N] [--epochs N] [--width W] [--size-px S]``.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median
from typing import Annotated, Any

import pyarrow.parquet as pq
import typer

from ablation.resources import Resources
from ablation.run import run

OTHER_FACES = 1000  # added to a repetition's seed


def main(
    repetitions: Annotated[int, typer.Option(help="Trainings of each kind.")] = 10,
    epochs: Annotated[int, typer.Option(help="Length of each training.")] = 12,
    width: Annotated[int, typer.Option(help="Width of the small backbone.")] = 8,
    size_px: Annotated[int, typer.Option(help="Side of the faces.")] = 32,
) -> None:
    """Count the epochs that trainings need from an earlier run's weights to reach a cold one's best score."""
    settings = (f"model.width={width}", f"data.size_px={size_px}")
    rows = []
    for seed in range(repetitions):
        with tempfile.TemporaryDirectory(prefix="ablation-init-from-") as folder, redirect_stdout(sys.stderr):
            rows.append(_repetition(seed, epochs, settings, Path(folder)))
    found = {
        "benchmark": "init_from",
        "repetitions": repetitions,
        "epochs": epochs,
        "settings": settings,
        "within_half": {kind: sum(row[kind] <= epochs / 2 for row in rows) for kind in ("other", "same")},
        "median_needed": {kind: median(row[kind] for row in rows) for kind in ("cold", "other", "same")},
        "mean_last": {kind: mean(row["last"][kind] for row in rows) for kind in ("cold", "other", "same")},
        "rows": rows,
        "python": platform.python_version(),
        "torch": version("torch"),
        "machine": platform.machine(),
    }
    print(json.dumps(found, indent=1))


def _repetition(seed: int, epochs: int, settings: tuple[str, ...], out: Path) -> dict[str, Any]:
    def trained(name: str, faces: int, init_from: Path | None = None) -> list[float]:
        """Train the reference once on the faces of a seed; return its validation accuracy by epoch."""
        done = run(
            "tcl", data=f"synthetic:{faces}", arms="reference", budget="quick", trials=0, replicates=1, epochs=epochs,
            seed=seed, settings=settings, init_from=None if init_from is None else str(init_from),
            name=name, out=out, resources=Resources(executor="in-process"), report=False,
        )  # fmt: skip
        table = pq.read_table(done.epochs, columns=["epoch", "metric.val_accuracy"]).sort_by("epoch")
        scores: list[float] = table["metric.val_accuracy"].to_pylist()
        return scores

    cold = trained("cold", seed)
    trained("source", seed + OTHER_FACES)
    curves = {
        "cold": cold,
        "other": trained("other", seed, out / "source"),
        "same": trained("same", seed, out / "cold"),
    }
    best = max(cold)
    needed = {kind: _needed(curve, best) for kind, curve in curves.items()}
    return {"seed": seed, "cold_best": best, **needed, "last": {kind: curve[-1] for kind, curve in curves.items()}}


def _needed(scores: list[float], goal: float) -> int:
    return next((epoch for epoch, score in enumerate(scores, start=1) if score >= goal), len(scores) + 1)


if __name__ == "__main__":
    typer.run(main)
