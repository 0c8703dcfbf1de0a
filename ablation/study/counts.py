"""Running counts of a study's trials: kept from event to event, since a large study has too many to count each time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ablation.ledger.events import Ended, EpochTrained, Event, Retried, Started
from ablation.ledger.records import TrialState
from ablation.plan import Plan, PlannedTrial


@dataclass
class ArmCounts:
    """Where the trials of one arm stand; ``best`` is the best last validation score of a completed one."""

    searched: int = 0
    confirmed: int = 0
    running: set[str] = field(default_factory=set)
    best: float | None = None


class Counts:
    """What has become of a study's trials so far, over all sessions; ``running`` ones are this session's.

    ``records`` are the study's own, to which its events are applied before they are noted here.
    """

    def __init__(self, plan: Plan, trials: Mapping[str, PlannedTrial], records: Mapping[str, TrialState]) -> None:
        self._trials = trials
        self._records = records
        self.arms = {arm.name: ArmCounts() for arm in plan.arms}
        self.outcomes: Counter[str] = Counter()
        self.epochs = sum(len(state.epochs) for state in records.values())
        self._metric = plan.primary
        for state in records.values():
            if state.has_ended:
                self._end(state)

    def note(self, event: Event) -> None:
        """Count an event that the study has applied."""
        if event.trial_id is None:
            return
        running = self.arms[self._trials[event.trial_id].arm].running
        match event.what:
            case EpochTrained():
                self.epochs += 1
            case Started():
                running.add(event.trial_id)
            case Retried():
                running.discard(event.trial_id)
            case Ended():
                running.discard(event.trial_id)
                self._end(self._records[event.trial_id])
            case _:
                pass

    @property
    def ended(self) -> int:
        """Count the trials that are over."""
        return self.outcomes.total()

    @property
    def running(self) -> int:
        """Count the trials under way."""
        return sum(len(arm.running) for arm in self.arms.values())

    @property
    def best(self) -> tuple[str, float] | None:
        """Return the arm with the best completed trial, and its score."""
        scores = {name: arm.best for name, arm in self.arms.items() if arm.best is not None}
        return max(scores.items(), key=lambda item: self._metric.upwards(item[1])) if scores else None

    def rank(self, name: str) -> float:
        """Return a key that puts an arm with a better best first."""
        best = self.arms[name].best
        return math.inf if best is None else -self._metric.upwards(best)

    def facts(self) -> dict[str, Any]:
        """Return the counts for programs."""
        best = self.best
        return {
            "ended": self.ended,
            **{outcome: self.outcomes[outcome] for outcome in ("completed", "stopped", "diverged", "failed")},
            "running": self.running,
            "epochs": self.epochs,
            "best": None if best is None else {"arm": best[0], self._metric.validation: best[1]},
        }

    def _end(self, state: TrialState) -> None:
        assert state.outcome is not None, "an ended trial has an outcome"
        trial = self._trials[state.trial_id]
        arm = self.arms[trial.arm]
        self.outcomes[state.outcome] += 1
        if trial.phase == "search":
            arm.searched += 1
        else:
            arm.confirmed += 1
        if state.outcome == "completed":
            value = state.last(self._metric.validation)
            arm.best = value if arm.best is None else max(arm.best, value, key=self._metric.upwards)
