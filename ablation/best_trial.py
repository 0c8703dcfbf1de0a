"""Which trials of a run are best, by validation alone, and whose checkpoints are there and whole."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ablation.checkpoint import Checkpoint, DamagedCheckpointError, load, names_like
from ablation.faults import FaultsError, nearest
from ablation.plan import Plan
from ablation.run_dir import RunDir, RunLocation, run_dir
from ablation.store import AnyPath, as_typed, files_below
from ablation.trial import Phase
from ablation.trust import needs_trust
from search_spaces.metrics import Metric

REQUIRED = ("trial_id", "arm", "replicate", "phase", "index", "status", "checkpoint")


@dataclass(frozen=True)
class BestTrial:
    """A completed trial with its validation score.

    Attributes:
        trial_id, arm, replicate, index: which trial; ``index`` is that of its seed within the replicate.
        score: the last epoch's validation value of ``metric``.
        checkpoint: where it lies in the run's file system; None if the trial left none, or it was not kept.
        row: the trial's row of trials.parquet.
    """

    trial_id: str
    arm: str
    replicate: int
    index: int
    score: float
    metric: str
    checkpoint: AnyPath | None
    row: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Selection:
    """Among which trials the best is sought; None: among all.

    Attributes:
        arm: an arm's name.
        metric: one of the space's metrics; default: the study's primary one.
        seed: the last number of a trial's id, its seed's index within the replicate.
        phase: ``confirm``, or ``search`` where that is asked for: search scores are optimistic.
    """

    arm: str | None = None
    metric: str | None = None
    seed: int | None = None
    phase: Phase = "confirm"


ANY = Selection()


class LostCheckpointWarning(UserWarning):
    """A better model's checkpoint is missing or damaged, and another one is used."""


def best_trials(run: RunLocation, selection: Selection = ANY) -> list[BestTrial]:
    """List completed trials by their validation scores, the best first; test scores choose nothing.

    Of a search that grew, trials that confirm what was best last go before those that confirmed what was best earlier.
    Raises FaultsError for what is no run and for an arm, metric or seed that it has not, FileNotFoundError if no such
    trial has finished yet.
    """
    where = run_dir(run)
    plan = where.study().plan
    metric = _metric(plan, selection.metric)
    if selection.phase not in ("confirm", "search"):
        raise FaultsError([f"phase is {selection.phase!r}, but must be 'confirm' or 'search'"])
    rows = [row for row in _rows(where, metric, selection.phase) if row.get(metric.validation_column) is not None]
    if not rows:
        raise FileNotFoundError(f"{where} has no finished {selection.phase} trial yet; let the sweep go on")
    faults = _not_there(rows, selection)
    if faults:
        raise FaultsError(faults)
    chosen = [row for row in rows if selection.arm in (None, row["arm"]) and selection.seed in (None, row["index"])]

    def rank(row: Mapping[str, Any]) -> tuple[int, float]:
        stage = plan.stage_of(row["index"]) if selection.phase == "confirm" else 0
        return stage, metric.upwards(float(row[metric.validation_column]))

    chosen.sort(key=rank, reverse=True)
    return [_best_trial(where, row, metric) for row in chosen]


def best_trial(run: RunLocation, selection: Selection = ANY) -> BestTrial:
    """Find the completed trial with the best validation score, over all arms; raises as ``best_trials`` does."""
    return best_trials(run, selection)[0]


def best_available(run: RunLocation, selection: Selection = ANY) -> tuple[BestTrial, Checkpoint]:
    """Find the best trial whose checkpoint is there and whole, and read it, warning of each better one that is not.

    Raises FileNotFoundError with the commands that make the checkpoints again if none is; and as ``best_trials`` does.
    """
    where = run_dir(run)
    return first_whole(where, best_trials(where, selection))


def first_whole(where: RunDir, trials: list[BestTrial]) -> tuple[BestTrial, Checkpoint]:
    """Read the first whole checkpoint of some trials, as ``best_available`` does."""
    lost = []
    for trial in trials:
        try:
            path, read = _whole(where, trial)
        except (OSError, DamagedCheckpointError) as error:
            lost.append(_loss(where, trial, error))
            continue
        for loss in lost:
            warnings.warn(f"{loss}; {trial.trial_id} is used instead", LostCheckpointWarning, stacklevel=3)
        return replace(trial, checkpoint=path), read
    if all(trial.checkpoint is None for trial in trials):
        is_removed = any(trial.row.get("removed_checkpoint") for trial in trials)
        why = "they were not kept (--keep)" if is_removed else "its model saves none, or it was not kept"
        made = f"{why}; {again(where, trials[0].trial_id)} makes the best one again"
        raise FileNotFoundError(f"{where} has no finished {trials[0].row['phase']} trial with a checkpoint: {made}")
    raise FileNotFoundError("; ".join(lost))


def lost_checkpoints(run: RunLocation) -> list[str]:
    """List the completed confirm trials whose checkpoint should be there and is not, the best first."""
    where = run_dir(run)
    try:
        trials = best_trials(where)
    except (FileNotFoundError, FaultsError):
        return []
    kept = [(trial, trial.checkpoint) for trial in trials if trial.checkpoint is not None]
    there = set(files_below(where.paths.checkpoints, deep=True))
    return [trial.trial_id for trial, path in kept if path not in there and not any(_whole_ones(path))]


def again(run: RunLocation, trial_id: str) -> str:
    """Return the command that makes a trial's checkpoint again."""
    where = run_dir(run)
    trust = ["--trust"] * needs_trust(where.study(), where.paths)
    return shlex.join(["python", "-m", "ablation.rerun", as_typed(where.paths.root), trial_id, "--keep", *trust])


def _metric(plan: Plan, asked: str | None) -> Metric:
    names = [metric.name for metric in plan.space.metrics]
    if asked is not None and asked not in names:
        raise FaultsError([f"metric is {asked!r}; {nearest(asked, names)}"])
    return plan.primary if asked is None else plan.space.metric(asked)


def _rows(where: RunDir, metric: Metric, phase: Phase) -> list[dict[str, Any]]:
    if not where.has(where.paths.trials):
        return []
    rows: list[dict[str, Any]] = where.table(where.paths.trials, None, REQUIRED).to_pylist()
    return [row for row in rows if row["phase"] == phase and row["status"] == "completed"]


def _not_there(rows: list[dict[str, Any]], selection: Selection) -> list[str]:
    """Say which arm or seed that was asked for has no finished trial."""
    arms, seeds = {str(row["arm"]) for row in rows}, sorted({int(row["index"]) for row in rows})
    faults = []
    if selection.arm is not None and selection.arm not in arms:
        rule = f"but must have a finished {selection.phase} trial"
        faults.append(f"arm is {selection.arm!r}, {rule}; {nearest(selection.arm, arms)}")
    if selection.seed is not None and selection.seed not in seeds:
        faults.append(
            f"seed is {selection.seed}, but the finished {selection.phase} trials have {', '.join(map(str, seeds))}"
        )
    return faults


def _best_trial(where: RunDir, row: dict[str, Any], metric: Metric) -> BestTrial:
    trial_id, kept = str(row["trial_id"]), row["checkpoint"]
    return BestTrial(
        trial_id,
        str(row["arm"]),
        int(row["replicate"]),
        int(row["index"]),
        float(row[metric.validation_column]),
        metric.name,
        None if kept is None else where.paths.root / kept,
        row,
    )


def _whole(where: RunDir, trial: BestTrial) -> tuple[AnyPath, Checkpoint]:
    """Read a trial's checkpoint, or another of its last epoch: made again, it has another name.

    Its records say how long epochs took this time. Raises what the first one raised if there is no other.
    """
    folder = where.paths.checkpoint_dir(trial.trial_id)
    path = trial.checkpoint or folder / f"epoch-{int(trial.row['epochs_trained']):05d}-{'0' * 12}.safetensors"
    try:
        return path, load(path)
    except (OSError, DamagedCheckpointError):
        other = next(_whole_ones(path), None)
        if other is None:
            raise
        return other


def _whole_ones(path: AnyPath) -> Iterator[tuple[AnyPath, Checkpoint]]:
    """Yield the other whole checkpoints of the same epoch in a checkpoint's folder."""
    for other in files_below(path.parent, names_like(path.name)):
        if other == path:
            continue
        try:
            yield other, load(other)
        except (OSError, DamagedCheckpointError):
            continue


def _loss(where: RunDir, trial: BestTrial, error: Exception) -> str:
    """Say what is wrong with a trial's checkpoint, and how it comes back."""
    remedy = f"{again(where, trial.trial_id)} makes it again"
    if trial.row.get("removed_checkpoint"):
        return f"the checkpoint of {trial.trial_id} was not kept (--keep); {remedy}"
    if trial.checkpoint is None:
        return f"{trial.trial_id} has no checkpoint; {remedy}"
    reason = "is missing" if isinstance(error, FileNotFoundError) else "cannot be used"
    return f"{trial.checkpoint} of {trial.trial_id} {reason}; {remedy}"
