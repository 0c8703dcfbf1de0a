"""Which failed trials may run again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ablation.failures import KINDS, NO_SURVIVOR, Kind, kind_of
from ablation.ledger.records import TrialState
from ablation.plan import Plan, PlannedTrial


def reopenable(
    plan: Plan, records: Mapping[str, TrialState], kinds: Collection[Kind] = KINDS
) -> tuple[PlannedTrial, ...]:
    """Return the failed trials of these kinds that may run again, in the plan's order.

    A search trial among which a confirmed configuration was chosen stays failed: it would change what was confirmed. A
    confirm trial whose search left nothing to confirm runs again if that search goes on, or by now has left something.
    """
    replicates: dict[tuple[str, int], list[PlannedTrial]] = {}
    for trial in plan.trials():
        replicates.setdefault((trial.arm, trial.replicate), []).append(trial)
    again = (_reopenable_of_one(plan, members, records, kinds) for members in replicates.values())
    found = {trial.trial_id for several in again for trial in several}
    return tuple(trial for trial in plan.trials() if trial.trial_id in found)


def _reopenable_of_one(
    plan: Plan, members: Sequence[PlannedTrial], records: Mapping[str, TrialState], kinds: Collection[Kind]
) -> list[PlannedTrial]:
    states = [(trial, records.get(trial.trial_id) or TrialState(trial.trial_id)) for trial in members]
    search = [(trial, state) for trial, state in states if trial.phase == "search"]
    confirm = [(trial, state) for trial, state in states if trial.phase == "confirm"]
    # A search that grew goes on after what was confirmed by then.
    chosen_among = max((plan.chosen_among(trial) for trial, state in confirm if state.is_proposed), default=0)
    again = [trial for trial, state in search if trial.index >= chosen_among and _is_failed(state, kinds)]
    alive = {trial.index for trial, state in search if not state.has_ended or state.outcome == "completed"}
    alive |= {trial.index for trial in again}

    def may_survive(trial: PlannedTrial) -> bool:
        return any(index < plan.chosen_among(trial) for index in alive)

    return again + [
        trial
        for trial, state in confirm
        if _is_failed(state, kinds) or (state.reason == NO_SURVIVOR and may_survive(trial))
    ]


def _is_failed(state: TrialState, kinds: Collection[Kind]) -> bool:
    return state.outcome == "failed" and kind_of(state.reason or "") in kinds
