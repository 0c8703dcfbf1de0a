"""What the ledger's events amount to: one record a trial. Live and after a restart, state is this fold of events."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ablation.ledger.log import Event
from search_spaces.space import Level, Levels

Status = Literal["completed", "stopped", "diverged", "failed", "interrupted", "pending"]
Outcome = Literal["completed", "stopped", "diverged", "failed"]


class ConflictError(RuntimeError):
    """A trial told two different things of the same epoch."""


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
    """All that is known of one trial so far."""

    trial_id: str
    proposal: dict[str, Level] = field(default_factory=dict)
    config: Levels = field(default_factory=dict)
    is_proposed: bool = False
    attempts: int = 0
    code: str | None = None  # digest of the code that the latest attempt ran with
    superseded: int = 0  # epochs that a later attempt told otherwise
    epochs: list[EpochRow] = field(default_factory=list)
    stopped_at_rung: int | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    wall_s: float = 0.0
    checkpoint: str | None = None

    @property
    def has_ended(self) -> bool:
        """Tell whether the trial is over for good."""
        return self.outcome is not None

    @property
    def is_open(self) -> bool:
        """Tell whether the trial was handed out and is not over."""
        return self.is_proposed and not self.has_ended

    def last(self, metric: str) -> float:
        """Return a metric's value in the last epoch; NaN where there is none."""
        return self.epochs[-1].metrics.get(metric, math.nan) if self.epochs else math.nan

    def at(self, epoch: int) -> EpochRow | None:
        """Return the row of an epoch, 1-based, if it was reached."""
        return self.epochs[epoch - 1] if epoch <= len(self.epochs) else None


Records = dict[str, TrialState]


def fold(events: Iterable[Event]) -> Records:
    """Replay events into records."""
    records: Records = {}
    for event in events:
        apply(records, event)
    return records


def apply(records: Records, event: Event) -> None:
    """Let one event change the records; raises ConflictError on an epoch out of line."""
    if event.trial_id is None:
        return
    state = records.setdefault(event.trial_id, TrialState(event.trial_id))
    payload: Mapping[str, Any] = event.payload
    match event.kind:
        case "proposed":
            state.proposal, state.config = dict(payload["proposal"]), dict(payload["config"])
            state.is_proposed = True
        case "started":
            state.attempts += 1
            state.code = payload.get("code")
        case "epoch":
            row = EpochRow(seq=event.seq, **payload)
            known = len(state.epochs)
            is_repeat = 1 <= row.epoch <= known and row.attempt > state.epochs[row.epoch - 1].attempt
            if row.epoch != known + 1 and not is_repeat:
                raise ConflictError(f"{event.trial_id}: epoch {row.epoch} follows epoch {known}")
            # The newest attempt wins, and what the one before told of later epochs belongs to another curve.
            state.superseded += known - row.epoch + 1
            del state.epochs[row.epoch - 1 :]
            state.epochs.append(row)
        case "decided" if not payload["goes_on"]:
            state.stopped_at_rung = payload["rung"]
        case "ended":
            state.outcome, state.reason = payload["outcome"], payload["reason"]
            state.wall_s, state.checkpoint = payload["wall_s"], payload["checkpoint"]
        case "reopened":
            state.outcome = state.reason = state.checkpoint = None
        case "decided" | "retried" | "session_opened" | "grown":
            pass
