"""Reuse what a study found: its best model."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow.parquet as pq

from ablation import checkpoint, study_file
from ablation.paths import RunPaths
from ablation.plan import Plan
from ablation.store import AnyPath, as_typed, files_below, located, opened
from ablation.trial import import_object
from ablation.trust import allow_code, is_shipped

SHOWN_LETTERS = 300


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
    """A confirm trial with its validation score and checkpoint."""

    trial_id: str
    arm: str
    score: float
    metric: str
    checkpoint: AnyPath


class LostCheckpointWarning(UserWarning):
    """A better model's checkpoint is missing or damaged, and another one is used."""


class InputWarning(UserWarning):
    """What a predictor has to say of its inputs beside its predictions."""


def best_trials(run: AnyPath | str) -> list[BestTrial]:
    """List the completed confirm trials by their validation scores, the best first; test scores choose nothing.

    Raises FileNotFoundError if ``run`` is no run directory or has no confirm trial with a checkpoint yet.
    """
    paths = RunPaths(located(run))
    plan = study_file.read(paths).plan
    metric = plan.primary
    done = [row for row in confirmed_rows(paths, plan) if row["checkpoint"] is not None]
    if not done:
        raise FileNotFoundError(
            f"{paths.root} has no finished confirm trial with a checkpoint yet; let the sweep go on"
        )
    column = metric.validation_column
    return [
        BestTrial(row["trial_id"], row["arm"], row[column], metric.name, paths.root / row["checkpoint"]) for row in done
    ]


def confirmed_rows(paths: RunPaths, plan: Plan) -> list[dict[str, Any]]:
    """List the rows of trials.parquet of completed confirm trials by their validation scores, the best first."""
    rows: list[dict[str, Any]] = []
    with suppress(FileNotFoundError), opened(paths.trials) as file:
        rows = pq.read_table(file).to_pylist()
    done = [row for row in rows if row["phase"] == "confirm" and row["status"] == "completed"]
    metric = plan.primary
    return sorted(done, key=lambda row: metric.upwards(float(row[metric.validation_column])), reverse=True)


def best_trial(run: AnyPath | str) -> BestTrial:
    """Find the confirm trial with the best validation score, over all arms; raises as ``best_trials`` does."""
    return best_trials(run)[0]


def best_available(run: AnyPath | str) -> BestTrial:
    """Find the best confirm trial whose checkpoint is there and whole, warning of each better one that is not.

    Raises FileNotFoundError with the commands that make the checkpoints again if none is; and as ``best_trials`` does.
    """
    lost = []
    for best in best_trials(run):
        try:
            checkpoint.check(best.checkpoint)
            found: AnyPath = best.checkpoint
        except (OSError, checkpoint.DamagedCheckpointError) as error:
            # Made again, a checkpoint has another name: its records say how long epochs took this time.
            made_again = restored(best)
            if made_again is None:
                reason = "is missing" if isinstance(error, FileNotFoundError) else "cannot be used"
                remedy = f"{again(run, best.trial_id)} makes it again"
                lost.append(f"{best.checkpoint} of {best.trial_id} {reason}; {remedy}")
                continue
            found = made_again
        for loss in lost:
            warnings.warn(f"{loss}; {best.trial_id} is used instead", LostCheckpointWarning, stacklevel=2)
        return replace(best, checkpoint=found)
    raise FileNotFoundError("; ".join(lost))


def restored(trial: BestTrial) -> AnyPath | None:
    """Return another whole checkpoint of the trial's last epoch, if its folder has one."""
    for path in checkpoint.of_epoch_like(trial.checkpoint):
        with suppress(OSError, checkpoint.DamagedCheckpointError):
            checkpoint.check(path)
            return path
    return None


def lost_checkpoints(run: AnyPath | str) -> list[str]:
    """List the completed confirm trials that have no checkpoint any more, the best first."""
    try:
        trials = best_trials(run)
    except FileNotFoundError:
        return []
    there = set(files_below(RunPaths(located(run)).checkpoints, deep=True))
    return [trial.trial_id for trial in trials if trial.checkpoint not in there and restored(trial) is None]


def again(run: AnyPath | str, trial_id: str) -> str:
    """Return the command that makes a trial's checkpoint again."""
    trust = [] if is_shipped(study_file.read(RunPaths(located(run)))) else ["--trust"]
    return shlex.join(["python", "-m", "ablation.rerun", as_typed(located(run)), trial_id, "--keep", *trust])


def load_best(run: AnyPath | str, *, trust: bool = False) -> Predictor:
    """Load the best confirm trial's model, ready to predict; see ``best_available`` for what is best and raised.

    The study's own code is imported only if it is a shipped study's, or with ``trust``: FaultsError otherwise.
    """
    return load_model(run, best_available(run), trust=trust)


def load_model(run: AnyPath | str, trial: BestTrial, *, trust: bool = False) -> Predictor:
    """Load the model of a run's confirm trial; ``trust`` and raises as ``load_best``.

    Raises ValueError naming the checkpoint if it does not fit the study's network.
    """
    paths = RunPaths(located(run))
    file = study_file.read(paths)
    allow_code(file, paths, trust=trust)
    if file.plan.space.predictor is None:
        raise ValueError("the study's space names no predictor; set Space.predictor to 'package.module:name'")
    try:
        predictor: Predictor = import_object(file.plan.space.predictor)(checkpoint.load(trial.checkpoint))
    except (KeyError, RuntimeError) as error:  # what torch raises for tensors of other names or shapes
        what = " ".join(str(error).split())[:SHOWN_LETTERS]
        raise ValueError(f"{trial.checkpoint} does not fit the study's network ({what}); restore it") from error
    return predictor
