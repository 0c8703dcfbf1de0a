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

    A search trial of a replicate that has been confirmed stays failed: it would change what was to be confirmed. A
    confirm trial whose search left nothing to confirm runs again if that search goes on, or by now has left something.
    """
    replicates: dict[tuple[str, int], list[PlannedTrial]] = {}
    for trial in plan.trials():
        replicates.setdefault((trial.arm, trial.replicate), []).append(trial)
    found = {trial.trial_id for members in replicates.values() for trial in _reopenable_of_one(members, records, kinds)}
    return tuple(trial for trial in plan.trials() if trial.trial_id in found)


def _reopenable_of_one(
    members: Sequence[PlannedTrial], records: Mapping[str, TrialState], kinds: Collection[Kind]
) -> list[PlannedTrial]:
    states = [(trial, records.get(trial.trial_id) or TrialState(trial.trial_id)) for trial in members]
    search = [(trial, state) for trial, state in states if trial.phase == "search"]
    confirm = [(trial, state) for trial, state in states if trial.phase == "confirm"]
    is_confirmed = any(state.is_proposed for _, state in confirm)
    again = [] if is_confirmed else [trial for trial, state in search if _is_failed(state, kinds)]
    may_survive = bool(again) or any(not state.has_ended or state.outcome == "completed" for _, state in search)
    return again + [
        trial for trial, state in confirm if _is_failed(state, kinds) or (state.reason == NO_SURVIVOR and may_survive)
    ]


def _is_failed(state: TrialState, kinds: Collection[Kind]) -> bool:
    return state.outcome == "failed" and kind_of(state.reason or "") in kinds
