"""What a study's events so far add up to, and what follows from them: decisions, proposals, the best of a search.

The life of a trial, by its events:

    pending ─ proposed ─► open ─ started ─► running ─ epoch*, decided* ─► ended
                           ▲                   │                            │
                           ├───── retried ─────┘  its worker was lost       │
                           └───── reopened ─────────────────────────────────┘  it had failed

Epochs that a later attempt repeats with other values are superseded. docs/architecture.md has the rest.

The state changes by events alone. Replaying a ledger computes every decision, and the latest proposals, a second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ablation.ledger import records
from ablation.ledger.events import Decided, Ended, Event, Proposed, Reopened, SessionOpened
from ablation.ledger.records import ConflictError, Records, TrialState
from ablation.plan import Plan, PlannedTrial
from ablation.study import rungs
from ablation.study.samplers import recipe
from ablation.study.searcher import Search
from search_spaces.space import Level

ReplicateKey = tuple[str, int]  # arm, replicate
PROPOSALS_RECHECKED = 500  # the latest ones, at a few milliseconds each
SLOW_PROPOSALS_RECHECKED = {"gp": 20}  # at a second each
DOES_NOT_FOLLOW = "does not follow from what it records before; restore the run directory from a copy"


@dataclass(frozen=True)
class Replicate:
    """One arm's repetition: its search trials, then its confirm trials."""

    search: tuple[PlannedTrial, ...]
    confirm: tuple[PlannedTrial, ...]


class StudyState:
    """Where every planned trial stands.

    Attributes:
        trials: planned trials by id, in the plan's order.
        replicates: the same by arm and replicate.
        records: state of each trial that an event is about.
        rung_values: validation scores by arm, replicate and rung, in the order of their arrival; larger is better.
        decisions: whether a trial (by id) goes on at a rung, if that is decided.
        unbegun: ids of trials without proposal or end, in the plan's order.
        unbegun_confirm: those of them that are confirm trials.
        unended: ids of trials that have not ended.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.trials = {trial.trial_id: trial for trial in plan.trials()}
        self.replicates = _by_replicate(self.trials.values())
        self.records: Records = {}
        self.rung_values: dict[tuple[str, int, int], list[float]] = {}
        self.decisions: dict[tuple[str, int], bool] = {}
        self.unbegun = dict.fromkeys(self.trials)
        self.unbegun_confirm = {trial.trial_id for trial in self.trials.values() if trial.phase == "confirm"}
        self.unended = set(self.trials)
        self._searches: dict[ReplicateKey, Search] = {}

    def of(self, trial_id: str) -> TrialState:
        """Return a trial's state; a blank one if nothing is recorded of it."""
        return self.records.get(trial_id) or TrialState(trial_id)

    def apply(self, event: Event) -> None:
        """Let one event change the records and what follows from them."""
        records.apply(self.records, event)
        trial_id = event.trial_id
        if trial_id is None:
            return
        if isinstance(event.what, Proposed | Ended):
            self.unbegun.pop(trial_id, None)
            self.unbegun_confirm.discard(trial_id)
        match event.what:
            case Ended():
                self.unended.discard(trial_id)
            case Reopened():
                self.unended.add(trial_id)
                if not self.records[trial_id].is_proposed:
                    self.unbegun[trial_id] = None
                    if self.trials[trial_id].phase == "confirm":
                        self.unbegun_confirm.add(trial_id)
            case Decided(rung, value, goes_on):
                self.rung_values.setdefault((*replicate_key(self.trials[trial_id]), rung), []).append(value)
                self.decisions[trial_id, rung] = goes_on
            case _:
                pass

    def replay(self, history: Sequence[Event]) -> None:
        """Take what is recorded, making each decision and the latest proposals a second time.

        Proposals are made again only if the same searcher made them. Raises ConflictError if one comes out
        otherwise, or if the ledger records trials that are not in the plan.
        """
        proposed = [event.seq for event in history if isinstance(event.what, Proposed)]
        most = SLOW_PROPOSALS_RECHECKED.get(self.plan.budget.sampler, PROPOSALS_RECHECKED)
        recheck_from = proposed[-most] if len(proposed) > most else 0
        own, is_same_searcher = recipe(self.plan), False
        for event in history:
            if isinstance(event.what, SessionOpened):
                is_same_searcher = event.what.searcher == own
            if event.trial_id is not None and event.trial_id not in self.trials:
                raise ConflictError(
                    f"the ledger records {event.trial_id}, which is not planned; is it another study's?"
                )
            if isinstance(event.what, Decided):
                self._recheck_decision(self.trials[str(event.trial_id)], event.what)
            if isinstance(event.what, Proposed) and is_same_searcher and event.seq >= recheck_from:
                self._recheck_proposal(self.trials[str(event.trial_id)], event.what)
            self.apply(event)

    def _recheck_decision(self, trial: PlannedTrial, recorded: Decided) -> None:
        if self.decision(trial, recorded.rung, recorded.value) != recorded.goes_on:
            raise ConflictError(f"the ledger's decision on {trial.trial_id} at rung {recorded.rung} {DOES_NOT_FOLLOW}")

    def _recheck_proposal(self, trial: PlannedTrial, recorded: Proposed) -> None:
        if self.proposal(trial) != recorded.proposal:
            raise ConflictError(f"the ledger's proposal for {trial.trial_id} {DOES_NOT_FOLLOW}")

    def values_at(self, trial: PlannedTrial, rung: int) -> Sequence[float]:
        """Return what trials of the same arm and replicate scored at a rung so far."""
        return self.rung_values.get((*replicate_key(trial), rung), ())

    def decision(self, trial: PlannedTrial, rung: int, value: float) -> bool:
        """Decide whether a trial goes on at a rung; a larger value is better."""
        return rungs.goes_on(value, self.values_at(trial, rung), self.plan.budget.reduction_factor)

    def proposal(self, trial: PlannedTrial) -> dict[str, Level]:
        """Propose a trial's hyperparameters: the search's next; to confirm, the best found, or the defaults."""
        replicate = self.replicates[replicate_key(trial)]
        if trial.phase == "search":
            earlier = [self.of(other.trial_id) for other in replicate.search[: trial.index]]
            return self._search_of(trial).propose(trial, earlier)
        if not replicate.search:
            return {name: self.plan.space.default(name) for name in self.plan.arm(trial.arm).searched}
        best = self.best(replicate.search[: self.plan.chosen_among(trial)])
        assert best is not None, "a replicate without survivor hands out no confirm trials"
        return best.proposal

    def _search_of(self, trial: PlannedTrial) -> Search:
        """Keep a replicate's search from its first proposal to its last."""
        key = replicate_key(trial)
        search = self._searches.pop(key, None) or Search(self.plan, self.plan.arm(trial.arm))
        if trial.index + 1 < self.plan.budget.trials:
            self._searches[key] = search
        return search

    def best(self, search: Iterable[PlannedTrial]) -> TrialState | None:
        """Return the best full-budget trial of a search by its last epoch's validation; ties go to the lower index."""
        finished = [self.records[trial.trial_id] for trial in search]
        metric = self.plan.primary
        survivors = [state for state in finished if state.outcome == "completed"]
        return max(survivors, key=lambda state: metric.upwards(state.last(metric.validation)), default=None)


def replicate_key(trial: PlannedTrial) -> ReplicateKey:
    """Return the arm and replicate of a trial."""
    return trial.arm, trial.replicate


def _by_replicate(trials: Iterable[PlannedTrial]) -> dict[ReplicateKey, Replicate]:
    grouped: dict[ReplicateKey, list[PlannedTrial]] = {}
    for trial in trials:
        grouped.setdefault(replicate_key(trial), []).append(trial)
    return {
        key: Replicate(
            search=tuple(trial for trial in members if trial.phase == "search"),
            confirm=tuple(trial for trial in members if trial.phase == "confirm"),
        )
        for key, members in grouped.items()
    }
