"""Notice that every trial fails alike: then the next one will, too, and the sweep should pause."""

from __future__ import annotations

from collections.abc import Mapping

from ablation.failures import alike
from ablation.ledger.events import Ended, EpochTrained, Event, Retried, Started
from ablation.ledger.records import Records, TrialState

PATIENCE = 4  # times as many, while a trial that began before them is still under way


class EqualFailures:
    """Count this session's failures by their reasons; ``are_enough`` once many are equal and no trial got further.

    Args:
        most: how many equal failures are enough; 0: never.
        records: what earlier sessions came to.
    """

    def __init__(self, most: int, records: Records) -> None:
        self._most = most
        self._has_success = any(state.outcome == "completed" for state in records.values())
        self._furthest = max((len(state.epochs) for state in records.values()), default=0)
        self._running: dict[str, int] = {}  # the place in the order of starts
        self._starts = 0
        self._failed: dict[str, list[tuple[int, int]]] = {}  # place and epochs of each failure
        self.are_enough = False  # and stays so once it is: the sweep is ending by then

    def note(self, event: Event, records: Mapping[str, TrialState]) -> None:
        """Count an event that ``records`` know of."""
        trial_id = str(event.trial_id)
        match event.what:
            case Started():
                self._starts += 1
                self._running[trial_id] = self._starts
            case EpochTrained(epoch):
                self._furthest = max(self._furthest, epoch)
            case Retried():
                self._running.pop(trial_id, None)
            case Ended():
                position = self._running.pop(trial_id, None)
                state = records[trial_id]
                self._has_success |= state.outcome == "completed"
                if state.outcome == "failed" and position is not None:
                    self._failed.setdefault(alike(state.reason or ""), []).append((position, len(state.epochs)))
                    self.are_enough = self.are_enough or self._find_enough()
            case _:
                pass

    def _find_enough(self) -> bool:
        """Return whether so many trials failed alike, and none got further, that the rest would."""
        if not self._most or self._has_success:
            return False
        return any(self._is_enough(failures) for failures in self._failed.values() if len(failures) >= self._most)

    def _is_enough(self, failures: list[tuple[int, int]]) -> bool:
        if self._furthest > max(epochs for _, epochs in failures):
            return False
        # A trial that began before several of them may be one that works, and is only slower than these fail.
        eldest = min(self._running.values(), default=self._starts)
        outlived = sum(position > eldest for position, _ in failures)
        return outlived < self._most or len(failures) >= PATIENCE * self._most
