"""Reuse what a study found: load its best model, or an arm's replicates together, and predict."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ablation import checkpoint
from ablation.best_trial import (
    BestTrial,
    LostCheckpointWarning,
    Selection,
    best_available,
    best_trials,
    first_whole,
)
from ablation.checkpoint import Checkpoint
from ablation.faults import FaultsError
from ablation.run_dir import RunDir, RunLocation, run_dir
from ablation.store import AnyPath, located
from ablation.study_file import StudyFile
from ablation.trial import Phase, import_object
from ablation.trust import allow_code, shipped_predictors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SHOWN_LETTERS = 300
PHASES: tuple[Phase, ...] = ("confirm", "search")
# A checkpoint that is not of the study's network makes a predictor raise any of them; torch raises RuntimeError.
MISFITS = (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError)


@dataclass(frozen=True)
class Prediction:
    """What a model says of one input.

    Attributes:
        path: the input's file; None if it was an array.
        probabilities: by class name, in the order of the classes; they sum to 1.
    """

    path: Path | None
    probabilities: dict[str, float]

    @property
    def label(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])


class BrokenInputsError(FaultsError):
    """Inputs that cannot be read: what is wrong with each, by its index among those given."""

    def __init__(self, broken: Mapping[int, str]) -> None:
        self.broken = dict(broken)
        super().__init__(self.broken.values())


class InputWarning(UserWarning):
    """What a predictor has to say of its inputs beside its predictions."""


@runtime_checkable
class Predictor(Protocol):
    """A model ready to predict, as a space's ``predictor`` builds it from a checkpoint.

    It may also have ``embed`` and ``attention``, which return an array with a row per input, ``exportable``
    (``ablation.export``), and the class method ``start`` (``--init-from``).
    """

    def predict(self, paths: Sequence[Any]) -> list[Prediction]:
        """Predict each file or array; raises BrokenInputsError naming all that cannot be read."""
        ...


@dataclass(frozen=True)
class BestModel:
    """The model of a trial, or of several whose probabilities are averaged, ready to use.

    Attributes:
        trials: where it comes from, the best first.
        predictors: what the space's ``predictor`` made of each checkpoint, in the same order.
        config: the best trial's configuration by dotted name.
        scores: the best trial's metrics after its last epoch, such as ``val_accuracy`` and ``test_accuracy``.
        provenance: run, trial, data, code and versions that it comes from, as JSON.
    """

    trials: tuple[BestTrial, ...]
    predictors: tuple[Predictor, ...]
    config: Mapping[str, Any]
    scores: Mapping[str, float]
    provenance: Mapping[str, Any]

    def predict(self, inputs: Iterable[Any] | str | os.PathLike[str]) -> list[Prediction]:
        """Predict files or arrays; several models give the mean of their probabilities.

        What an array may be is the predictor's to say. Raises BrokenInputsError naming every input that cannot be read.
        """
        given = _listed(inputs)
        if not given:
            return []
        first, *others = self.predictors
        found = first.predict(given)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)  # of the same inputs, and said already
            votes = [found, *(predictor.predict(given) for predictor in others)]
        return [_mean(several) for several in zip(*votes, strict=True)]

    def embed(self, inputs: Iterable[Any] | str | os.PathLike[str]) -> npt.NDArray[np.float32]:
        """Return the best trial's embedding of each input; raises TypeError if its model has none."""
        embedding_ND: npt.NDArray[np.float32] = self._ask("embed", inputs)
        return embedding_ND

    def attention(self, inputs: Iterable[Any] | str | os.PathLike[str]) -> npt.NDArray[np.float32]:
        """Return the best trial's attention map of each input; raises TypeError if its model has none."""
        maps: npt.NDArray[np.float32] = self._ask("attention", inputs)
        return maps

    def _ask(self, what: str, inputs: Iterable[Any] | str | os.PathLike[str]) -> Any:
        method = getattr(self.predictors[0], what, None)
        if method is None:
            raise TypeError(f"{type(self.predictors[0]).__name__} has no {what}; write the method to have one")
        return method(_listed(inputs))


def load_best(
    run: RunLocation,
    arm: str | None = None,
    metric: str | None = None,
    seed: int | None = None,
    *,
    phase: Phase = "confirm",
    ensemble: bool = False,
    trust: bool = False,
) -> BestModel:
    """Load the model of the trial that validation prefers.

    Args:
        run: a run directory, or an address such as ``s3://bucket/runs/name``.
        arm: only trials of this arm.
        metric: by this metric of the space; default: the study's primary one.
        seed: only trials of this seed, the last number of a ``trial_id``.
        phase: ``search`` for a search trial, whose score is optimistic; it has a checkpoint only until it ends.
        ensemble: all replicates of the arm, or of the best trial's, the best seed of each.
        trust: import code that the run names, if it is no shipped study.

    A checkpoint that is missing or damaged gives way to the next best with a LostCheckpointWarning that says how it
    comes back. Raises FaultsError for bad input and for code that is not trusted, FileNotFoundError if there is no
    model (yet), ValueError if the study has no predictor or the checkpoint does not fit it.
    """
    where, selection = run_dir(run), Selection(arm, metric, seed, phase)
    found = _replicates(where, selection) if ensemble else [best_available(where, selection)]
    return build_model(where, found, trust=trust)


def build_model(where: RunDir, found: Sequence[tuple[BestTrial, Checkpoint]], *, trust: bool = False) -> BestModel:
    """Make a model of trials and their checkpoints, the best first; ``trust`` and raises as ``load_best``."""
    file = where.study()
    allow_code(file, where.paths, trust=trust)
    if file.plan.space.predictor is None:
        raise ValueError("the study's space names no predictor; set Space.predictor to 'package.module:name'")
    build = import_object(file.plan.space.predictor)
    trials = tuple(trial for trial, _ in found)
    predictors = tuple(_fitting(build, read, str(trial.checkpoint)) for trial, read in found)
    row = trials[0].row
    return BestModel(
        trials,
        predictors,
        config=_part_of(row, "config."),
        scores=_part_of(row, "metric."),
        provenance=_provenance(where, file, trials),
    )


def load_checkpoint(path: AnyPath | str, *, trust: bool = False) -> BestModel:
    """Load the model of one checkpoint, by path or address; ``trust`` and raises as ``load_best``.

    Its run says what the model is. A checkpoint that was taken out of its run must be a shipped study's.
    """
    file = located(path).absolute()
    read = checkpoint.load(file)
    where = run_dir(file.parent.parent.parent)  # RUN/checkpoints/TRIAL/FILE
    if not where.has(where.paths.study):
        return _without_run(read, file)
    for phase in PHASES:
        with suppress(FileNotFoundError):
            for trial in best_trials(where, Selection(phase=phase)):
                if where.paths.checkpoint_dir(trial.trial_id).name == file.parent.name:
                    return build_model(where, [(replace(trial, checkpoint=file), read)], trust=trust)
    raise FaultsError([f"{path} is of no completed trial of {where}; give another checkpoint, or the run"])


def _without_run(read: Checkpoint, file: AnyPath) -> BestModel:
    """Make a model of a checkpoint alone, which must fit a shipped study's predictor."""
    for name in sorted(shipped_predictors()):
        with suppress(ValueError):
            predictor = _fitting(import_object(name), read, str(file))
            last = read.records[-1].metrics if read.records else {}
            trial_id = str(read.about.get("trial_id", "unknown"))
            trial = BestTrial(trial_id, trial_id.partition("/")[0], 0, 0, math.nan, "", file)
            provenance = {"trial_id": trial_id, "checkpoint": str(file), "epochs": read.epoch}
            return BestModel((trial,), (predictor,), read.about.get("config", {}), dict(last), provenance)
    raise FaultsError([f"{file} lies in no run directory, and fits no shipped study; leave it where it was made"])


def _replicates(where: RunDir, selection: Selection) -> list[tuple[BestTrial, Checkpoint]]:
    """Read the best whole checkpoint of each replicate of an arm, the best replicate first."""
    trials = best_trials(where, selection)
    by_replicate: dict[int, list[BestTrial]] = {}
    for trial in trials:
        if trial.arm == trials[0].arm:
            by_replicate.setdefault(trial.replicate, []).append(trial)
    found, lost = [], []
    for several in by_replicate.values():
        try:
            found.append(first_whole(where, several))
        except FileNotFoundError as error:
            lost.append(str(error))
    if not found:
        raise FileNotFoundError("; ".join(lost))
    for loss in lost:
        left = f"{loss}; the mean is over {len(found)} of {len(by_replicate)} replicates"
        warnings.warn(left, LostCheckpointWarning, stacklevel=3)
    return found


def _fitting(build: Any, read: Checkpoint, name: str) -> Predictor:
    try:
        predictor: Predictor = build(read)
    except FaultsError:
        raise
    except MISFITS as error:
        what = " ".join(str(error).split())[:SHOWN_LETTERS]
        raise ValueError(
            f"{name} does not fit the study's network ({type(error).__name__}: {what}); restore it"
        ) from error
    return predictor


def _mean(several: Sequence[Prediction]) -> Prediction:
    if len(several) == 1:
        return several[0]
    first, count = several[0], len(several)
    mean = {name: sum(one.probabilities[name] for one in several) / count for name in first.probabilities}
    return Prediction(first.path, mean)


def _listed(inputs: Iterable[Any] | str | os.PathLike[str]) -> list[Any]:
    """Return inputs as a list, with paths as Path; one path is a list of one."""
    several = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
    return [Path(one) if isinstance(one, str | os.PathLike) else one for one in several]


def _part_of(row: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    found = {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}
    return {name: value for name, value in found.items() if value is not None}


def _provenance(where: RunDir, file: StudyFile, trials: Sequence[BestTrial]) -> dict[str, Any]:
    """Say where a model comes from, as JSON."""
    best = trials[0]
    return {
        "run": str(where),
        "study": file.plan.space.name,
        "trial_id": best.trial_id,
        "arm": best.arm,
        "trials": [trial.trial_id for trial in trials],
        "checkpoints": [str(trial.checkpoint) for trial in trials],
        "seed": best.row["seed"],
        "epochs": best.row["epochs_trained"],
        "code": best.row["code"],
        "data": file.data,
        "command": list(file.command),
        "created_utc": file.created_utc,
        "git_commit": file.git_commit,
        "git_is_dirty": file.git_is_dirty,
        "versions": dict(file.versions),
    }
