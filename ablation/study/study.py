"""A study in progress: which trial comes next, what an epoch decides, how a trial ends. No Ray in here.

Whoever runs trials (Tune's hooks, a plain loop) calls ``next_assignment``, ``started``, ``report`` and ``end``; every
change is an event first, and where the study stands is the fold of events, so going on after a crash is the same code
as going on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ablation.code_record import CodeRecord
from ablation.ledger.log import Event, Ledger
from ablation.ledger.parts import EventKind
from ablation.ledger.records import Outcome, Records
from ablation.plan import Plan, PlannedTrial
from ablation.study.contract import are_same, not_finite, plain, refusal_of
from ablation.study.equal_failures import EqualFailures
from ablation.study.searcher import RECIPE
from ablation.study.state import ReplicateKey, Standing, replicate_key
from ablation.trial import EpochRecord
from search_spaces.space import Levels

CONFIRM_KEPT_PER_SLOT = 1.5
MOST_REASON_LETTERS = 2000


@dataclass(frozen=True)
class Assignment:
    """A trial to run now: its place and its configuration."""

    trial: PlannedTrial
    config: Levels


class Study:
    """Plan and ledger; hands out trials and takes their reports. Raises ConflictError as ``Standing.replay`` does."""

    def __init__(self, plan: Plan, ledger: Ledger) -> None:
        self.plan = plan
        self.standing = Standing(plan)
        self.observer: Callable[[Event], None] | None = None
        self.code: CodeRecord | None = None
        self.equal_failures = EqualFailures(0, self.records)
        self._ledger = ledger
        self._trials = self.standing.trials
        self.standing.replay(ledger.history)
        # Trials that were begun before come first; ``_is_confirm_next`` chooses between the others.
        self._confirm: deque[PlannedTrial] = deque()
        self._urgent = deque(trial for key, trial in self._trials.items() if self.standing.state(key).is_open)
        unbegun = (self._trials[trial_id] for trial_id in self.standing.unbegun)
        self._search = deque(trial for trial in unbegun if trial.phase == "search")

    @property
    def records(self) -> Records:
        """State of each trial that an event has told of, by its id."""
        return self.standing.records

    def open_session(self, process: int, resources: Mapping[str, Any], code: CodeRecord | None = None) -> None:
        """Begin, or go on, to hand out trials; the ledger notes by whom, with what resources and with which code."""
        self.equal_failures = EqualFailures(resources.get("max_equal_failures", 0), self.records)
        self.code = code
        noted: dict[str, Any] = {} if code is None else {"code": code.model_dump()}
        self._ledger.append("session_opened", process=process, resources=dict(resources), searcher=RECIPE, **noted)
        self._decide_what_was_left()
        for key in self.standing.replicates:
            self._confirm_when_searched(key)

    def reopen_failed(self) -> int:
        """Open failed trials again, and return how many.

        A search trial of a replicate that has been confirmed stays failed: it would change what was to be confirmed.
        """
        reopened, state = 0, self.standing.state
        for replicate in self.standing.replicates.values():
            is_confirmed = any(state(trial.trial_id).is_proposed for trial in replicate.confirm)
            for trial in (*(() if is_confirmed else replicate.search), *replicate.confirm):
                if state(trial.trial_id).outcome == "failed":
                    self._event("reopened", trial.trial_id)
                    reopened += 1
                    if state(trial.trial_id).is_proposed:
                        self._urgent.append(trial)
        return reopened

    @property
    def is_finished(self) -> bool:
        """Tell whether every planned trial has ended."""
        return not self.standing.unended

    @property
    def has_trials_left(self) -> bool:
        """Tell whether there are, or will be, more trials to hand out."""
        return bool(self._urgent or self.standing.unbegun)

    def next_assignment(self, slots: int = 1) -> Assignment | None:
        """Hand out the next trial where ``slots`` run at a time; None when one must end first, or none is left."""
        queue = self._urgent or (self._confirm if self._is_confirm_next(slots) else self._search)
        if not queue:
            return None
        trial = queue.popleft()
        if not self.standing.state(trial.trial_id).is_proposed:
            proposal = self.standing.proposal(trial)
            config = self.plan.space.configuration(self.plan.arm(trial.arm), proposal)
            self._event("proposed", trial.trial_id, proposal=proposal, config=config)
        return Assignment(trial, self.records[trial.trial_id].config)

    def _is_confirm_next(self, slots: int) -> bool:
        """Choose between confirm trials that are ready and search trials, where there are both.

        Confirm trials first: replicates complete early. But the last of them fill the slots that would stand empty
        while the last searches end, so a share is kept for then (`benchmarks.slots` has the simulation).
        """
        if not self._confirm or not self._search:
            return bool(self._confirm)
        return len(self.standing.unbegun_confirm) > CONFIRM_KEPT_PER_SLOT * slots

    def started(self, trial_id: str) -> None:
        """Note that a trial begins, or begins again, to run."""
        noted = {} if self.code is None else {"code": self.code.digest}
        self._event("started", trial_id, attempt=self.records[trial_id].attempts + 1, **noted)

    def report(self, trial_id: str, record: EpochRecord, elapsed_s: float, checkpoint: str | None) -> bool:
        """Take one epoch's record and decide whether the trial goes on.

        ``elapsed_s`` is the wall time of the trial so far. A record of an epoch already known is compared: where it
        differs, a newer attempt's (a GPU need not repeat itself to the bit) replaces what was known, decisions
        excepted; the same attempt's ends the trial as failed.
        """
        state = self.records[trial_id]
        if state.has_ended:
            return False
        fault = refusal_of(record, self._trials[trial_id], state, self.plan.metric)
        if fault is not None:
            self.end(trial_id, "failed", fault, elapsed_s)
            return False
        record = plain(record)
        known = state.at(record.epoch)
        if known is None or not are_same(known.metrics, record.metrics):
            self._event("epoch", trial_id, **vars(record), attempt=state.attempts)
        return self._decide(self._trials[trial_id], record, elapsed_s, checkpoint)

    def end(
        self,
        trial_id: str,
        outcome: Outcome,
        reason: str | None = None,
        wall_s: float = 0.0,
        checkpoint: str | None = None,
    ) -> None:
        """End a trial for good and let its replicate move on; what has ended stays as it ended."""
        if self.standing.state(trial_id).has_ended:
            return
        if reason is not None:  # it goes into a table, and may name files whose names are no text
            reason = _cut(reason.encode("utf-8", "backslashreplace").decode())
        self._event("ended", trial_id, outcome=outcome, reason=reason, wall_s=wall_s, checkpoint=checkpoint)
        self._confirm_when_searched(replicate_key(self._trials[trial_id]))

    def requeue(self, trial_id: str, reason: str) -> None:
        """Take back a trial whose worker was gone before it began."""
        if not self.records[trial_id].has_ended:
            self.retried(trial_id, reason)
            self._urgent.append(self._trials[trial_id])

    def retried(self, trial_id: str, reason: str) -> None:
        """Note that a trial lost its worker and will start again."""
        self._event("retried", trial_id, reason=reason)

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
        stays = self.standing.decisions.get((trial.trial_id, record.epoch))
        if stays is None:
            stays = self._decide_at_rung(trial, record)
        if not stays:
            self.end(trial.trial_id, "stopped", f"at rung {record.epoch}", elapsed_s, checkpoint)
        return stays

    def _decide_at_rung(self, trial: PlannedTrial, record: EpochRecord) -> bool:
        value = self.standing.upwards(record.metrics[f"val_{self.plan.metric}"])
        stays = self.standing.decision(trial, record.epoch, value)
        among = 1 + len(self.standing.values_at(trial, record.epoch))
        self._event("decided", trial.trial_id, rung=record.epoch, value=value, among=among, goes_on=stays)
        return stays

    def _decide_what_was_left(self) -> None:
        """Decide on epochs that reached the log when their decision no longer did, in the order of their arrival."""
        begun = [trial for trial in self._urgent if trial.phase == "search" and self.records[trial.trial_id].epochs]
        for trial in sorted(begun, key=lambda trial: self.records[trial.trial_id].epochs[-1].seq):
            state = self.records[trial.trial_id]
            row = state.epochs[-1]
            if (trial.trial_id, row.epoch) not in self.standing.decisions:
                trained_s = sum(epoch.epoch_s for epoch in state.epochs)
                record = EpochRecord(row.epoch, row.epoch_s, row.metrics, row.images)
                if not self._decide(trial, record, trained_s, None):
                    self._urgent.remove(trial)

    def _confirm_when_searched(self, key: ReplicateKey) -> None:
        """Queue a replicate's confirm trials, once its search has ended; without a survivor they fail here."""
        replicate, standing = self.standing.replicates[key], self.standing
        waiting = [trial for trial in replicate.confirm if trial.trial_id in standing.unbegun]
        if not waiting or any(trial.trial_id in standing.unended for trial in replicate.search):
            return
        if standing.best(replicate) is None:
            for trial in waiting:
                nothing = {"outcome": "failed", "reason": "no_survivor", "wall_s": 0.0, "checkpoint": None}
                self._event("ended", trial.trial_id, **nothing)
            return
        queued = {trial.trial_id for trial in self._confirm}
        self._confirm.extend(trial for trial in waiting if trial.trial_id not in queued)

    def _event(self, kind: EventKind, trial_id: str, **payload: Any) -> None:
        event = self._ledger.append(kind, trial_id, **payload)
        self.standing.take(event)
        self.equal_failures.note(event, self.records)
        if self.observer is not None:
            self.observer(event)


def _cut(reason: str) -> str:
    """Keep the start of a long reason: it goes into ledger, tables and page, and a trial's log has all of it."""
    more = len(reason) - MOST_REASON_LETTERS
    return f"{reason[:MOST_REASON_LETTERS]}… ({more} letters more)" if more > 0 else reason
