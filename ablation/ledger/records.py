"""What the ledger's events amount to: one record a trial. Live and after a restart, state is this fold of events."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ablation.ledger.events import (
    CheckpointRemoved,
    Decided,
    Ended,
    EpochTrained,
    Event,
    Grown,
    Proposed,
    Reopened,
    Retried,
    SessionOpened,
    Started,
)
from search_spaces.space import Level, Levels

Status = Literal["completed", "stopped", "diverged", "failed", "interrupted", "pending"]
Outcome = Literal["completed", "stopped", "diverged", "failed"]


class ConflictError(RuntimeError):
    """A trial reported two different things of the same epoch."""


@dataclass
class EpochRow:
    """One epoch of one trial, as the ledger has it."""

    epoch: int
    seq: int
    epoch_s: float
    images: int
    metrics: Mapping[str, float]
    attempt: int = 1


@dataclass
class TrialState:
    """All that is known of one trial so far; ``…_seq`` are places in the ledger."""

    trial_id: str
    proposal: dict[str, Level] = field(default_factory=dict)
    config: Levels = field(default_factory=dict)
    is_proposed: bool = False
    proposed_seq: int | None = None
    ended_seq: int | None = None
    attempts: int = 0
    code: str | None = None  # digest of the code that the latest attempt ran with
    superseded: int = 0  # epochs that a later attempt reported otherwise
    epochs: list[EpochRow] = field(default_factory=list)
    stopped_at_rung: int | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    wall_s: float = 0.0
    checkpoint: str | None = None
    removed_checkpoint: str | None = None  # what the trial ended with, and the run does not keep

    @property
    def has_ended(self) -> bool:
        """Return whether the trial is over."""
        return self.outcome is not None

    @property
    def is_open(self) -> bool:
        """Return whether the trial was handed out and is not over."""
        return self.is_proposed and not self.has_ended

    def last(self, metric: str) -> float:
        """Return a metric's value in the last epoch; NaN if there is none."""
        return self.epochs[-1].metrics.get(metric, math.nan) if self.epochs else math.nan

    def at(self, epoch: int) -> EpochRow | None:
        """Return the row of an epoch, 1-based, if it was reached."""
        return self.epochs[epoch - 1] if epoch <= len(self.epochs) else None


Records = dict[str, TrialState]


def fold(events: Iterable[Event]) -> Records:
    """Replay events into records.

    >>> trained = EpochTrained(1, 2.5, {"val_accuracy": 0.75})
    >>> happened = [Proposed({}, {}), Started(1), trained, Retried("its worker was killed"), Started(2)]
    >>> trial = "reference/0/search/0"
    >>> state = fold(Event(seq, 1, trial, 0.0, what) for seq, what in enumerate(happened))[trial]
    >>> state.attempts, state.last("val_accuracy"), state.is_open
    (2, 0.75, True)
    """
    records: Records = {}
    for event in events:
        apply(records, event)
    return records


def apply(records: Records, event: Event) -> None:
    """Let one event change the records; raises ConflictError on an epoch out of line."""
    if event.trial_id is None:
        return
    state = records.setdefault(event.trial_id, TrialState(event.trial_id))
    match event.what:
        case Proposed(proposal, config):
            state.proposal, state.config = dict(proposal), dict(config)
            state.is_proposed, state.proposed_seq = True, event.seq
        case Started():
            state.attempts += 1
            state.code = event.what.code
        case EpochTrained():
            _apply_epoch(state, event.what, event.seq)
        case Decided(rung, goes_on=False):
            state.stopped_at_rung = rung
        case Ended(outcome, reason, wall_s, checkpoint):
            state.outcome, state.reason, state.ended_seq = outcome, reason, event.seq
            state.wall_s, state.checkpoint = wall_s, checkpoint
        case CheckpointRemoved(checkpoint):
            state.checkpoint, state.removed_checkpoint = None, checkpoint
        case Reopened():
            state.outcome = state.reason = state.ended_seq = None
            state.checkpoint = state.removed_checkpoint = None
        case Decided() | Retried() | SessionOpened() | Grown():
            pass


def _apply_epoch(state: TrialState, trained: EpochTrained, seq: int) -> None:
    row = EpochRow(trained.epoch, seq, trained.epoch_s, trained.images, trained.metrics, trained.attempt)
    known = len(state.epochs)
    is_repeat = 1 <= row.epoch <= known and row.attempt > state.epochs[row.epoch - 1].attempt
    if row.epoch != known + 1 and not is_repeat:
        raise ConflictError(f"{state.trial_id}: epoch {row.epoch} follows epoch {known}")
    # The newest attempt wins, and what the one before reported of later epochs belongs to another curve.
    state.superseded += known - row.epoch + 1
    del state.epochs[row.epoch - 1 :]
    state.epochs.append(row)
