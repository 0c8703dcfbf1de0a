"""A study in progress: which trial comes next, what an epoch decides, how a trial ends. No Ray in here.

Whoever runs trials (Tune's hooks, a plain loop) calls ``next_assignment``, ``started``, ``report`` and ``end``; every
change is an event first, and the records are the fold of events, so going on after a crash is the same code as going
on.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from ablation.engine import rungs
from ablation.engine.searcher import RECIPE, Search
from ablation.ledger import Event, EventKind, Ledger
from ablation.plan import Plan, PlannedTrial
from ablation.records import ConflictError, Outcome, Records, TrialState, apply
from ablation.trial import EpochRecord
from search_spaces.space import Level, Levels

JUDGED = ("train_", "val_", "test_")
PROPOSALS_RECHECKED = 500  # the latest ones, at a few milliseconds each
DOES_NOT_FOLLOW = "does not follow from what it tells before; restore the run directory from a copy"


@dataclass(frozen=True)
class Assignment:
    """A trial to run now: its place and its configuration."""

    trial: PlannedTrial
    config: Levels


@dataclass(frozen=True)
class Replicate:
    """One arm's repetition: its search trials, then its confirm trials."""

    search: tuple[PlannedTrial, ...]
    confirm: tuple[PlannedTrial, ...]


class Study:
    """Plan and records; hands out trials and takes their reports."""

    def __init__(self, plan: Plan, ledger: Ledger) -> None:
        self.plan = plan
        self.records: Records = {}
        self.observer: Callable[[Event], None] | None = None
        self._ledger = ledger
        self._trials = {trial.trial_id: trial for trial in plan.trials()}
        self._replicates = _group(self._trials.values())
        self.rung_values: dict[tuple[str, int, int], list[float]] = {}  # by arm, replicate, rung: as they arrived
        self._decisions: dict[tuple[str, int], bool] = {}
        self._searches: dict[tuple[str, int], Search] = {}
        self._unbegun = dict.fromkeys(self._trials)  # in the plan's order
        self._unended = set(self._trials)
        self._replay(ledger.history)
        # Trials that an earlier session left unfinished come first, then confirm runs, then the search.
        self._urgent = deque(trial for trial in self._trials.values() if self._state(trial.trial_id).is_open)
        self._search = deque(trial for trial_id in self._unbegun if (trial := self._trials[trial_id]).phase == "search")

    def open_session(self, process: int, resources: Mapping[str, Any]) -> None:
        """Begin, or go on, to hand out trials; the ledger notes by whom and with what."""
        self._ledger.append("session_opened", process=process, resources=dict(resources), searcher=RECIPE)
        self._decide_what_was_left()
        for key in self._replicates:
            self._confirm_when_searched(key)

    def reopen_failed(self) -> int:
        """Open failed trials again, and return how many.

        A search trial of a replicate that has been confirmed stays failed: it would change what was to be confirmed.
        """
        reopened = 0
        for replicate in self._replicates.values():
            is_confirmed = any(self._state(trial.trial_id).is_proposed for trial in replicate.confirm)
            for trial in (*(() if is_confirmed else replicate.search), *replicate.confirm):
                if self._state(trial.trial_id).outcome == "failed":
                    self._event("reopened", trial.trial_id)
                    reopened += 1
                    if self._state(trial.trial_id).is_proposed:
                        self._urgent.append(trial)
        return reopened

    @property
    def is_finished(self) -> bool:
        """Tell whether every planned trial has ended."""
        return not self._unended

    @property
    def has_trials_left(self) -> bool:
        """Tell whether there are, or will be, more trials to hand out."""
        return bool(self._urgent or self._unbegun)

    def next_assignment(self) -> Assignment | None:
        """Hand out the next trial; None when one must end first, or none is left."""
        if not self._urgent and not self._search:
            return None
        trial = (self._urgent or self._search).popleft()
        if not self._state(trial.trial_id).is_proposed:
            self._propose(trial)
        return Assignment(trial, self.records[trial.trial_id].config)

    def started(self, trial_id: str) -> None:
        """Note that a trial begins, or begins again, to run."""
        self._event("started", trial_id, attempt=self.records[trial_id].attempts + 1)

    def report(self, trial_id: str, record: EpochRecord, elapsed_s: float, checkpoint: str | None) -> bool:
        """Take one epoch's record and decide whether the trial goes on.

        ``elapsed_s`` is the wall time of the trial so far. A record of an epoch already known is compared: where it
        differs, a newer attempt's (a GPU need not repeat itself to the bit) replaces what was known, decisions
        excepted; the same attempt's ends the trial as failed.
        """
        state = self.records[trial_id]
        if state.has_ended:
            return False
        fault = self._fault(record, state)
        if fault is not None:
            self.end(trial_id, "failed", fault, elapsed_s)
            return False
        record = _plain(record)
        known = state.at(record.epoch)
        is_repeated = known is not None and _same(known.metrics, record.metrics)
        if known is not None and not is_repeated and known.attempt >= state.attempts:
            self.end(trial_id, "failed", f"epoch {record.epoch} was told twice, with other metrics", elapsed_s)
            return False
        if not is_repeated:
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
        if self.records[trial_id].has_ended:
            return
        self._event("ended", trial_id, outcome=outcome, reason=reason, wall_s=wall_s, checkpoint=checkpoint)
        self._confirm_when_searched(_replicate_key(self._trials[trial_id]))

    def hand_out_again(self, trial_id: str, reason: str) -> None:
        """Take back a trial whose worker was gone before it began."""
        if not self.records[trial_id].has_ended:
            self.retried(trial_id, reason)
            self._urgent.append(self._trials[trial_id])

    def retried(self, trial_id: str, reason: str) -> None:
        """Note that a trial lost its worker and will start again."""
        self._event("retried", trial_id, reason=reason)

    def _decide(self, trial: PlannedTrial, record: EpochRecord, elapsed_s: float, checkpoint: str | None) -> bool:
        diverged = [name for name, value in record.metrics.items() if _is_judged(name) and not math.isfinite(value)]
        if diverged:
            reason = f"{', '.join(diverged)} not finite in epoch {record.epoch}"
            self.end(trial.trial_id, "diverged", reason, elapsed_s)
            return False
        if record.epoch >= trial.epochs:
            self.end(trial.trial_id, "completed", None, elapsed_s, checkpoint)
            return False
        if trial.phase == "confirm" or record.epoch not in self.plan.rungs:
            return True
        stays = self._decisions.get((trial.trial_id, record.epoch))
        if stays is None:
            stays = self._decide_at_rung(trial, record)
        if not stays:
            self.end(trial.trial_id, "stopped", f"at rung {record.epoch}", elapsed_s, checkpoint)
        return stays

    def _decide_what_was_left(self) -> None:
        """Decide on epochs that reached the log when their decision no longer did, in the order of their arrival."""
        begun = [trial for trial in self._urgent if trial.phase == "search" and self.records[trial.trial_id].epochs]
        for trial in sorted(begun, key=lambda trial: self.records[trial.trial_id].epochs[-1].seq):
            state = self.records[trial.trial_id]
            row = state.epochs[-1]
            if row.epoch < trial.epochs and (trial.trial_id, row.epoch) not in self._decisions:
                trained_s = sum(epoch.epoch_s for epoch in state.epochs)
                record = EpochRecord(row.epoch, row.epoch_s, row.metrics, row.images)
                if not self._decide(trial, record, trained_s, None):
                    self._urgent.remove(trial)

    def _decide_at_rung(self, trial: PlannedTrial, record: EpochRecord) -> bool:
        value = self._upwards(record.metrics[f"val_{self.plan.metric}"])
        stays = self._decision(trial, record.epoch, value)
        among = 1 + len(self.rung_values.get((*_replicate_key(trial), record.epoch), []))
        self._event("decided", trial.trial_id, rung=record.epoch, value=value, among=among, goes_on=stays)
        return stays

    def _fault(self, record: EpochRecord, state: TrialState) -> str | None:
        if not isinstance(record, EpochRecord) or not isinstance(record.metrics, Mapping):
            return f"run_trial must yield EpochRecords with a mapping of metrics, but yielded {record!r}"
        strange = [name for name in record.metrics if not isinstance(name, str)]
        if strange:
            return f"a metric's name must be text, but is {strange[0]!r}"
        values = {**record.metrics, "epoch": record.epoch, "epoch_s": record.epoch_s, "images": record.images}
        unusable = [name for name, value in values.items() if not isinstance(value, Real)]
        if unusable:
            return f"a record holds numbers, but {unusable[0]} is {values[unusable[0]]!r}"
        endless = [name for name in ("epoch", "epoch_s", "images") if not math.isfinite(values[name])]
        if endless:
            return f"{endless[0]} is {values[endless[0]]}, but must be finite"
        if record.epoch < 1 or record.epoch > len(state.epochs) + 1:
            return f"epoch {record.epoch} was reported after epoch {len(state.epochs)}; epochs must count up by one"
        wanted = [f"val_{self.plan.metric}"]
        planned = self._trials[state.trial_id]
        if planned.phase == "confirm" and record.epoch == planned.epochs:
            wanted.append(f"test_{self.plan.metric}")
        missing = [name for name in wanted if name not in record.metrics]
        if missing:
            return f"the record of epoch {record.epoch} lacks {' and '.join(missing)}"
        early = [name for name in record.metrics if name.startswith("test_")]
        if early and len(wanted) == 1:
            return f"{early[0]} in epoch {record.epoch}: test data are scored at the end of confirm trials only"
        return None

    def _proposal(self, trial: PlannedTrial) -> dict[str, Level]:
        """Propose a trial's hyperparameters from the records as they are."""
        replicate = self._replicates[_replicate_key(trial)]
        if trial.phase == "search":
            earlier = [self._state(other.trial_id) for other in replicate.search[: trial.index]]
            return self._search_of(trial).propose(trial, earlier)
        best = self._best(replicate)
        assert best is not None, "a replicate without survivor hands out no confirm trials"
        return best.proposal

    def _search_of(self, trial: PlannedTrial) -> Search:
        """Keep a replicate's search from its first proposal to its last."""
        key = _replicate_key(trial)
        search = self._searches.pop(key, None) or Search(self.plan, self.plan.arm(trial.arm))
        if trial.index + 1 < self.plan.budget.trials:
            self._searches[key] = search
        return search

    def _decision(self, trial: PlannedTrial, rung: int, value: float) -> bool:
        """Decide at a rung from the records as they are; a larger value is better."""
        earlier = self.rung_values.get((*_replicate_key(trial), rung), [])
        return rungs.goes_on(value, earlier, self.plan.budget.reduction_factor)

    def _propose(self, trial: PlannedTrial) -> None:
        proposal = self._proposal(trial)
        config = self.plan.space.configuration(self.plan.arm(trial.arm), proposal)
        self._event("proposed", trial.trial_id, proposal=proposal, config=config)

    def _confirm_when_searched(self, key: tuple[str, int]) -> None:
        """Queue a replicate's confirm trials, once its search has ended; without a survivor they fail here."""
        replicate = self._replicates[key]
        waiting = [trial for trial in replicate.confirm if trial.trial_id in self._unbegun]
        if not waiting or any(trial.trial_id in self._unended for trial in replicate.search):
            return
        queued = {trial.trial_id for trial in self._urgent}
        if self._best(replicate) is not None:
            self._urgent.extend(trial for trial in waiting if trial.trial_id not in queued)
        else:
            for trial in waiting:
                self._event(
                    "ended", trial.trial_id, outcome="failed", reason="no_survivor", wall_s=0.0, checkpoint=None
                )

    def _best(self, replicate: Replicate) -> TrialState | None:
        """Return the best full-budget search trial by its last epoch's validation; ties go to the lower index."""
        finished = [self.records[trial.trial_id] for trial in replicate.search]
        survivors = [state for state in finished if state.outcome == "completed"]
        return max(survivors, key=lambda state: self._upwards(state.last(f"val_{self.plan.metric}")), default=None)

    def _upwards(self, value: float) -> float:
        return value if self.plan.space.direction == "maximize" else -value

    def _event(self, kind: EventKind, trial_id: str, **payload: Any) -> None:
        event = self._ledger.append(kind, trial_id, **payload)
        self._take(event)
        if self.observer is not None:
            self.observer(event)

    def _take(self, event: Event) -> None:
        """Let one event change the records and what follows from them."""
        apply(self.records, event)
        trial_id = event.trial_id
        if trial_id is None:
            return
        if event.kind in ("proposed", "ended"):
            self._unbegun.pop(trial_id, None)
        if event.kind == "ended":
            self._unended.discard(trial_id)
        if event.kind == "reopened":
            self._unended.add(trial_id)
            if not self.records[trial_id].is_proposed:
                self._unbegun[trial_id] = None
        if event.kind == "decided":
            key = (*_replicate_key(self._trials[trial_id]), event.payload["rung"])
            self.rung_values.setdefault(key, []).append(event.payload["value"])
            self._decisions[trial_id, event.payload["rung"]] = event.payload["goes_on"]

    def _replay(self, history: Sequence[Event]) -> None:
        """Apply what is recorded, making each decision and the latest proposals a second time.

        Proposals are made again only where the same searcher made them. Raises ConflictError where one comes out
        otherwise, or where the ledger tells of trials that are not in the plan.
        """
        proposed = [event.seq for event in history if event.kind == "proposed"]
        recheck_from = proposed[-PROPOSALS_RECHECKED] if len(proposed) > PROPOSALS_RECHECKED else 0
        is_same_searcher = False
        for event in history:
            if event.kind == "session_opened":
                is_same_searcher = event.payload.get("searcher") == RECIPE
            if event.trial_id is not None and event.trial_id not in self._trials:
                raise ConflictError(
                    f"the ledger tells of {event.trial_id}, which is not planned; is it another study's?"
                )
            if event.kind == "decided":
                self._recheck_decision(event)
            if event.kind == "proposed" and is_same_searcher and event.seq >= recheck_from:
                self._recheck_proposal(event)
            self._take(event)

    def _recheck_decision(self, event: Event) -> None:
        trial, told = self._trials[str(event.trial_id)], event.payload
        if self._decision(trial, told["rung"], told["value"]) != told["goes_on"]:
            raise ConflictError(f"the ledger's decision on {event.trial_id} at rung {told['rung']} {DOES_NOT_FOLLOW}")

    def _recheck_proposal(self, event: Event) -> None:
        if self._proposal(self._trials[str(event.trial_id)]) != event.payload["proposal"]:
            raise ConflictError(f"the ledger's proposal for {event.trial_id} {DOES_NOT_FOLLOW}")

    def _state(self, trial_id: str) -> TrialState:
        return self.records.get(trial_id) or TrialState(trial_id)


def _group(trials: Any) -> dict[tuple[str, int], Replicate]:
    grouped: dict[tuple[str, int], list[PlannedTrial]] = {}
    for trial in trials:
        grouped.setdefault(_replicate_key(trial), []).append(trial)
    return {
        key: Replicate(
            search=tuple(trial for trial in members if trial.phase == "search"),
            confirm=tuple(trial for trial in members if trial.phase == "confirm"),
        )
        for key, members in grouped.items()
    }


def _replicate_key(trial: PlannedTrial) -> tuple[str, int]:
    return trial.arm, trial.replicate


def _plain(record: EpochRecord) -> EpochRecord:
    """Turn numbers of any library into Python's own, which JSON knows."""
    metrics = {name: float(value) for name, value in record.metrics.items()}
    return EpochRecord(int(record.epoch), float(record.epoch_s), metrics, int(record.images))


def _is_judged(metric: str) -> bool:
    return metric.startswith(JUDGED)


def _same(known: Mapping[str, float], repeated: Mapping[str, float]) -> bool:
    return known.keys() == repeated.keys() and all(
        known[name] == value or (math.isnan(known[name]) and math.isnan(value)) for name, value in repeated.items()
    )
