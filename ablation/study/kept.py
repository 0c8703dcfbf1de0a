"""Which search trials that have ended keep their checkpoints: none, the best of each arm, or all.

A confirm trial's always stay: its row points there, and the best model is one of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from ablation.ledger.records import TrialState
from ablation.resources import Keep
from ablation.study.state import StudyState


class Kept:
    """Follow the ends of search trials; what has ended by now is taken in first."""

    def __init__(self, keep: Keep, study: StudyState) -> None:
        self._keep = keep
        self._study = study
        self._order = {trial_id: place for place, trial_id in enumerate(study.trials)}
        self._best: dict[str, str] = {}  # id by arm
        for trial_id in self._ended():
            self._note(trial_id)

    def unkept(self) -> list[str]:
        """List the search trials that have ended and are not kept."""
        return [trial_id for trial_id in self._ended() if not self._keeps(trial_id)]

    def after(self, trial_id: str) -> list[str]:
        """Take in the end of a search trial; return what is not kept any more: itself, or what was the best."""
        before = self._best.get(self._study.trials[trial_id].arm)
        self._note(trial_id)
        return [one for one in (before, trial_id) if one is not None and not self._keeps(one)]

    def _keeps(self, trial_id: str) -> bool:
        return self._keep == "all" or self._best.get(self._study.trials[trial_id].arm) == trial_id

    def _ended(self) -> Iterator[str]:
        for trial_id, state in self._study.records.items():
            if state.has_ended and self._study.trials[trial_id].phase == "search":
                yield trial_id

    def _note(self, trial_id: str) -> None:
        """Let a trial that was trained in full be its arm's best if it is; of equals the first of the plan."""
        state, arm = self._study.records[trial_id], self._study.trials[trial_id].arm
        if self._keep == "best-per-arm" and state.outcome == "completed" and state.removed_checkpoint is None:
            rivals = [self._study.records[self._best[arm]]] if arm in self._best else []
            self._best[arm] = max([*rivals, state], key=self._rank).trial_id

    def _rank(self, state: TrialState) -> tuple[float, int]:
        metric = self._study.plan.primary
        return metric.upwards(state.last(metric.validation)), -self._order[state.trial_id]
