"""A study in progress: which trial comes next, what an epoch decides, how a trial ends. No Ray in here.

Whoever runs trials (Tune's hooks, a plain loop) calls ``next_assignment``, ``started``, ``report`` and ``end``; every
change is an event first, and where the study stands is the fold of events, so going on after a crash is the same code
as going on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from ablation.code_record import CodeRecord
from ablation.failures import KINDS, NO_SURVIVOR, Kind
from ablation.ledger.events import (
    CheckpointRemoved,
    Decided,
    Ended,
    EpochTrained,
    Event,
    Happening,
    Proposed,
    Reopened,
    Retried,
    SessionOpened,
    Started,
)
from ablation.ledger.records import Outcome, Records
from ablation.plan import Plan, PlannedTrial
from ablation.resources import Keep
from ablation.study.contract import are_same, not_finite, plain, refusal_of
from ablation.study.equal_failures import EqualFailures
from ablation.study.kept import Kept
from ablation.study.retry import reopenable
from ablation.study.samplers import recipe
from ablation.study.state import ReplicateKey, StudyState, replicate_key
from ablation.trial import EpochRecord
from search_spaces.space import Levels

CONFIRM_KEPT_PER_SLOT = 1.5
MOST_REASON_LETTERS = 2000


@dataclass(frozen=True)
class Assignment:
    """A trial to run now, with its configuration."""

    trial: PlannedTrial
    config: Levels


class EventLog(Protocol):
    """What a study needs of a ledger."""

    @property
    def history(self) -> list[Event]:
        """Return what happened in earlier sessions, in order."""
        ...

    def append(self, what: Happening, trial_id: str | None = None) -> Event:
        """Add what happened, to a trial or to the study."""
        ...


class Study:
    """Plan and ledger; hands out trials and takes their reports. Raises ConflictError as ``StudyState.replay`` does."""

    def __init__(self, plan: Plan, ledger: EventLog) -> None:
        self.plan = plan
        self.state = StudyState(plan)
        self._followers: list[Callable[[Event], None]] = []
        self.code: CodeRecord | None = None
        self.equal_failures = EqualFailures(0, self.records)
        self.unkept: deque[str] = deque()  # trials whose checkpoints may go once the log has what happened so far
        self._ledger = ledger
        self._trials = self.state.trials
        self.state.replay(ledger.history)
        self._kept = Kept("all", self.state)
        # Trials that were under way come first; ``_is_confirm_next`` chooses between the others.
        self._confirm: deque[PlannedTrial] = deque()
        self._urgent = deque(trial for key, trial in self._trials.items() if self.state.of(key).is_open)
        unbegun = (self._trials[trial_id] for trial_id in self.state.unbegun)
        self._search = deque(trial for trial in unbegun if trial.phase == "search")

    @property
    def records(self) -> Records:
        """State of each trial that an event is about, by its id."""
        return self.state.records

    @contextmanager
    def followed_by(self, note: Callable[[Event], None]) -> Iterator[None]:
        """Call ``note`` with each event from now on, after it was applied, until the block ends."""
        self._followers.append(note)
        try:
            yield
        finally:
            self._followers.remove(note)

    def keep(self, keep: Keep) -> None:
        """Keep these checkpoints of search trials from now on; those of trials that have ended and are not kept go."""
        self._kept = Kept(keep, self.state)
        self._remove(self._kept.unkept())

    def open_session(self, process: int, resources: Mapping[str, Any], code: CodeRecord | None = None) -> None:
        """Begin, or go on, to hand out trials; the ledger notes by whom, with what resources and with which code."""
        self.equal_failures = EqualFailures(resources.get("max_equal_failures", 0), self.records)
        self.code = code
        recorded = None if code is None else code.model_dump()
        self._ledger.append(SessionOpened(process, dict(resources), recipe(self.plan), recorded))
        self._decide_what_was_left()
        for key in self.state.replicates:
            self._confirm_when_searched(key)

    def reopen_failed(self, kinds: Collection[Kind] = KINDS) -> int:
        """Open failed trials of these kinds again, as far as they may be, and return how many."""
        reopened = reopenable(self.plan, self.records, kinds)
        for trial in reopened:
            self._apply(Reopened(), trial.trial_id)
            if self.state.of(trial.trial_id).is_proposed:
                self._urgent.append(trial)
        return len(reopened)

    @property
    def ready(self) -> int:
        """Count the trials that could be handed out now."""
        return len(self._urgent) + len(self._confirm) + len(self._search)

    @property
    def is_finished(self) -> bool:
        """Return whether every planned trial has ended."""
        return not self.state.unended

    def next_assignment(self, slots: int = 1) -> Assignment | None:
        """Hand out the next trial where ``slots`` run at a time; None when one must end first, or none is left."""
        queue = self._urgent or (self._confirm if self._is_confirm_next(slots) else self._search)
        if not queue:
            return None
        trial = queue.popleft()
        if not self.state.of(trial.trial_id).is_proposed:
            proposal = self.state.proposal(trial)
            config = self.plan.space.configuration(self.plan.arm(trial.arm), proposal)
            self._apply(Proposed(proposal, config), trial.trial_id)
        return Assignment(trial, self.records[trial.trial_id].config)

    def _is_confirm_next(self, slots: int) -> bool:
        """Choose between confirm trials that are ready and search trials, if there are both.

        Confirm trials first: replicates complete early. But the last of them fill the slots that would stand empty
        while the last searches end, so a share is kept for then (`benchmarks.slots` has the simulation).
        """
        if not self._confirm or not self._search:
            return bool(self._confirm)
        return len(self.state.unbegun_confirm) > CONFIRM_KEPT_PER_SLOT * slots

    def started(self, trial_id: str, node: str | None = None) -> None:
        """Note that a trial begins, or begins again, to run; ``node`` is the address of its machine in a cluster."""
        digest = None if self.code is None else self.code.digest
        self._apply(Started(self.records[trial_id].attempts + 1, digest, node), trial_id)

    def report(self, trial_id: str, record: EpochRecord, elapsed_s: float, checkpoint: str | None) -> bool:
        """Take one epoch's record and decide whether the trial goes on.

        ``elapsed_s`` is the wall time of the trial so far. A record of an epoch already known is compared: where it
        differs, a newer attempt's (a GPU need not repeat itself to the bit) replaces what was known, decisions
        excepted; the same attempt's ends the trial as failed.
        """
        state = self.records[trial_id]
        if state.has_ended:
            return False
        fault = refusal_of(record, self._trials[trial_id], state, self.plan.primary, self.plan.rungs)
        if fault is not None:
            self.end(trial_id, "failed", fault, elapsed_s)
            return False
        record = plain(record)
        known = state.at(record.epoch)
        if known is None or not are_same(known.metrics, record.metrics):
            trained = EpochTrained(record.epoch, record.epoch_s, record.metrics, record.images, state.attempts)
            self._apply(trained, trial_id)
        return self._decide(self._trials[trial_id], record, elapsed_s, checkpoint)

    def end(
        self,
        trial_id: str,
        outcome: Outcome,
        reason: str | None = None,
        wall_s: float = 0.0,
        checkpoint: str | None = None,
    ) -> None:
        """End a trial permanently and let its replicate move on; what has ended stays as it ended."""
        if self.state.of(trial_id).has_ended:
            return
        recorded = None if reason is None else _recorded(reason)
        self._apply(Ended(outcome, recorded, wall_s, checkpoint), trial_id)
        if self._trials[trial_id].phase == "search":
            self._remove(self._kept.after(trial_id))
        self._confirm_when_searched(replicate_key(self._trials[trial_id]))

    def requeue(self, trial_id: str, reason: str) -> None:
        """Take back a trial that lost its worker."""
        if not self.records[trial_id].has_ended:
            self.retried(trial_id, reason)
            self._urgent.append(self._trials[trial_id])

    def retried(self, trial_id: str, reason: str) -> None:
        """Note that a trial lost its worker and will start again."""
        self._apply(Retried(_recorded(reason)), trial_id)

    def _decide(self, trial: PlannedTrial, record: EpochRecord, elapsed_s: float, checkpoint: str | None) -> bool:
        diverged = not_finite(record.metrics)
        if diverged:
            reason = f"{', '.join(diverged)} not finite in epoch {record.epoch}"
            self.end(trial.trial_id, "diverged", reason, elapsed_s)
            return False
        if record.epoch >= trial.epochs:
            self.end(trial.trial_id, "completed", None, elapsed_s, checkpoint)
            return False
        if trial.phase == "confirm" or record.epoch not in self.plan.rungs:
            return True
        stays = self.state.decisions.get((trial.trial_id, record.epoch))
        if stays is None:
            stays = self._decide_at_rung(trial, record)
        if not stays:
            self.end(trial.trial_id, "stopped", f"at rung {record.epoch}", elapsed_s, checkpoint)
        return stays

    def _decide_at_rung(self, trial: PlannedTrial, record: EpochRecord) -> bool:
        metric = self.plan.primary
        value = metric.upwards(record.metrics[metric.validation])
        stays = self.state.decision(trial, record.epoch, value)
        among = 1 + len(self.state.values_at(trial, record.epoch))
        self._apply(Decided(record.epoch, value, stays, among), trial.trial_id)
        return stays

    def _decide_what_was_left(self) -> None:
        """Decide on epochs that reached the log when their decision no longer did, in the order of their arrival."""
        resumed = [trial for trial in self._urgent if trial.phase == "search" and self.records[trial.trial_id].epochs]
        for trial in sorted(resumed, key=lambda trial: self.records[trial.trial_id].epochs[-1].seq):
            state = self.records[trial.trial_id]
            row = state.epochs[-1]
            if (trial.trial_id, row.epoch) not in self.state.decisions:
                trained_s = sum(epoch.epoch_s for epoch in state.epochs)
                record = EpochRecord(row.epoch, row.epoch_s, row.metrics, row.images)
                if not self._decide(trial, record, trained_s, None):
                    self._urgent.remove(trial)

    def _confirm_when_searched(self, key: ReplicateKey) -> None:
        """Queue a replicate's confirm trials whose search has ended; without a survivor they fail here."""
        replicate, state = self.state.replicates[key], self.state
        waiting = [trial for trial in replicate.confirm if trial.trial_id in state.unbegun]
        queued = {trial.trial_id for trial in self._confirm}
        for trial in waiting:
            search = replicate.search[: self.plan.chosen_among(trial)]
            if any(searched.trial_id in state.unended for searched in search):
                continue
            if search and state.best(search) is None:
                self._apply(Ended("failed", NO_SURVIVOR, 0.0, None), trial.trial_id)
            elif trial.trial_id not in queued:
                self._confirm.append(trial)

    def _remove(self, trial_ids: Iterable[str]) -> None:
        """Note that checkpoints may go; of one that no row points to there is nothing to note."""
        for trial_id in trial_ids:
            checkpoint = self.records[trial_id].checkpoint
            if checkpoint is not None:
                self._apply(CheckpointRemoved(checkpoint), trial_id)
            self.unkept.append(trial_id)

    def _apply(self, what: Happening, trial_id: str) -> None:
        event = self._ledger.append(what, trial_id)
        self.state.apply(event)
        self.equal_failures.note(event, self.records)
        for note in self._followers:
            note(event)


def _recorded(reason: str) -> str:
    """Return a reason as ledger, tables and page have it: text, and only its start if it is long; logs have it all."""
    reason = reason.encode("utf-8", "backslashreplace").decode()  # it may name files whose names are no text
    more = len(reason) - MOST_REASON_LETTERS
    return f"{reason[:MOST_REASON_LETTERS]}… ({more} letters more)" if more > 0 else reason
