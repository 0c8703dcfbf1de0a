"""Reuse what a study found: its best model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow.parquet as pq

from ablation import checkpoint, study_file
from ablation.paths import RunPaths
from ablation.trial import load


@dataclass(frozen=True)
class Prediction:
    """What a model says of one input."""

    path: Path
    probabilities: dict[str, float]

    @property
    def label(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])


class Predictor(Protocol):
    """A model ready to predict, as a space's ``predictor`` builds it from a checkpoint."""

    def predict(self, paths: Sequence[Path]) -> list[Prediction]:
        """Predict each file."""
        ...


@dataclass(frozen=True)
class BestTrial:
    """The confirm trial that validation prefers, over all arms."""

    trial_id: str
    arm: str
    score: float
    metric: str
    checkpoint: Path


def best_trial(run: Path | str) -> BestTrial:
    """Find the confirm trial with the best validation score; test scores choose nothing.

    Raises FileNotFoundError where ``run`` is no run directory or has no confirm trial with a checkpoint yet.
    """
    paths = RunPaths(Path(run))
    plan = study_file.read(paths).plan
    metric = f"metric.val_{plan.metric}"
    rows: list[dict[str, Any]] = []
    if paths.trials.is_file():
        rows = pq.read_table(paths.trials).to_pylist()
    done = [
        row
        for row in rows
        if row["phase"] == "confirm" and row["status"] == "completed" and row["checkpoint"] is not None
    ]
    if not done:
        raise FileNotFoundError(
            f"{paths.root} has no finished confirm trial with a checkpoint yet; let the sweep go on"
        )
    pick = max if plan.space.direction == "maximize" else min
    best = pick(done, key=lambda row: row[metric])
    return BestTrial(best["trial_id"], best["arm"], best[metric], plan.metric, paths.root / best["checkpoint"])


def load_best(run: Path | str) -> Predictor:
    """Load the best confirm trial's model, ready to predict; see ``best_trial`` for what is best and what is raised."""
    plan = study_file.read(RunPaths(Path(run))).plan
    return load_predictor(best_trial(run).checkpoint, plan.space.predictor)


def load_predictor(path: Path, import_path: str | None) -> Predictor:
    """Load one checkpoint with a space's predictor."""
    if import_path is None:
        raise ValueError("the study's space names no predictor; set Space.predictor to 'package.module:name'")
    predictor: Predictor = load(import_path)(checkpoint.load(path))
    return predictor
