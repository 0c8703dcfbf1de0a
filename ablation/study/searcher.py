"""What to try next in one replicate's search, as a pure function of what is recorded.

Known and random points come from the plan, the others from Optuna, whose sampler is made again for every proposal: so a
restart proposes what an uninterrupted run would have, given the same records. Optuna's study may be kept from one
proposal to the next (``Search``): it holds what is recorded and what follows from it, and building it again is most of
a long search's time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from ablation.ledger import records
from ablation.plan import Plan, PlannedTrial
from ablation.seeds import derive_seed
from ablation.study.samplers import REMEMBERING, sampler_for
from search_spaces.points import grid, known_points
from search_spaces.space import Arm, Choice, Float, Int, Level

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Search:
    """One arm's search in one replicate: proposes its trials' nuisance values, in the order of their indices."""

    def __init__(self, plan: Plan, arm: Arm) -> None:
        self._plan = plan
        self._arm = arm
        self._known = (grid if plan.budget.sampler == "grid" else known_points)(plan.space, arm)
        self._distributions = {name: _distribution(plan.space.domain(name)) for name in arm.searched}
        self._storage = InMemoryStorage()
        self._study: optuna.Study | None = None
        self._reported: list[records.Outcome | None] = []

    def propose(self, trial: PlannedTrial, earlier: Sequence[records.TrialState]) -> dict[str, Level]:
        """Propose the values of a trial of this search, given the states of all earlier ones.

        The known points come first, then random ones up to ``plan.startup_trials``, alike in every arm as far as the
        arms share hyperparameters. After them the plan's sampler proposes, seeded by (study seed, arm, replicate,
        index). An arm whose grid is smaller than another's goes through it again.
        """
        plan, arm = self._plan, self._arm
        if not arm.searched:
            return {}
        if trial.index < len(self._known) or plan.budget.sampler == "grid":
            return dict(self._known[trial.index % len(self._known)])
        if trial.index < plan.startup_trials:
            return {name: _random_value(plan, trial, name) for name in arm.searched}
        study = self._study_up_to_date(trial, earlier)
        study.sampler = sampler_for(plan, trial, self._distributions)
        proposal = dict(study.ask(self._distributions).params)
        self._reported.append(None)  # Optuna's study now holds what it was asked for, as running
        return proposal

    def _study_up_to_date(self, trial: PlannedTrial, earlier: Sequence[records.TrialState]) -> optuna.Study:
        """Bring Optuna's study up to what is recorded: end what has ended since, add what it does not know."""
        changed = self._changed(earlier)
        is_other = len(self._reported) > len(earlier) or any(self._reported[number] is not None for number in changed)
        if self._study is None or is_other:  # asked again, or a trial was reopened
            self._storage, self._reported = InMemoryStorage(), []
            self._study = optuna.create_study(storage=self._storage, direction=self._plan.primary.direction)
            if self._plan.budget.sampler in REMEMBERING:
                self._ask_again(trial, earlier)
            changed = self._changed(earlier)
        for number in changed:
            _end(self._storage, self._id(number), _reported(self._plan, earlier[number], self._distributions))
            self._reported[number] = earlier[number].outcome
        new = earlier[len(self._reported) :]
        self._study.add_trials([_reported(self._plan, state, self._distributions) for state in new])
        self._reported += [state.outcome for state in new]
        return self._study

    def _changed(self, earlier: Sequence[records.TrialState]) -> list[int]:
        known = zip(self._reported, earlier, strict=False)
        return [number for number, (reported, state) in enumerate(known) if reported != state.outcome]

    def _ask_again(self, trial: PlannedTrial, earlier: Sequence[records.TrialState]) -> None:
        """Ask for every earlier proposal of the sampler's as it was asked for once, knowing what was known by then."""
        for index in range(self._plan.startup_trials, len(earlier)):
            asked = earlier[index]
            self.propose(trial.model_copy(update={"index": index}), [_as_of(asked, state) for state in earlier[:index]])
            for name, value in asked.proposal.items():  # another processor may have come to other last digits
                domain = self._distributions[name]
                self._storage.set_trial_param(self._id(index), name, domain.to_internal_repr(value), domain)

    def _id(self, number: int) -> int:
        assert self._study is not None
        study_id = self._storage.get_study_id_from_name(self._study.study_name)
        return self._storage.get_trial_id_from_study_id_trial_number(study_id, number)


def propose(plan: Plan, trial: PlannedTrial, earlier: Sequence[records.TrialState]) -> dict[str, Level]:
    """Propose the nuisance values of one search trial, as ``Search`` would, from the records alone."""
    return Search(plan, plan.arm(trial.arm)).propose(trial, earlier)


def _as_of(asked: records.TrialState, state: records.TrialState) -> records.TrialState:
    """Return a trial's state as it was when another was proposed, if it has ended since."""
    if state.ended_seq is None or asked.proposed_seq is None or state.ended_seq < asked.proposed_seq:
        return state
    return replace(state, outcome=None)


def _end(storage: InMemoryStorage, trial_id: int, ended: FrozenTrial) -> None:
    for epoch, value in ended.intermediate_values.items():
        storage.set_trial_intermediate_value(trial_id, epoch, value)
    storage.set_trial_state_values(trial_id, ended.state, ended.values)


def _random_value(plan: Plan, trial: PlannedTrial, name: str) -> Level:
    source = random.Random(derive_seed(plan.seed, "startup", trial.replicate, trial.index, name))
    domain = plan.space.domain(name)
    match domain:
        case Choice():
            return source.choice(domain.values)
        case Float(log=True):
            drawn = math.exp(source.uniform(math.log(domain.low), math.log(domain.high)))
            return min(max(drawn, domain.low), domain.high)  # exp(log(0.1)) is above 0.1, which Optuna refuses
        case Float():
            return source.uniform(domain.low, domain.high)
        case Int(log=True):
            drawn = math.exp(source.uniform(math.log(domain.low - 0.5), math.log(domain.high + 0.5)))
            return min(max(round(drawn), domain.low), domain.high)
        case Int():
            return source.randint(domain.low, domain.high)


def _distribution(domain: Float | Int | Choice) -> BaseDistribution:
    match domain:
        case Choice():
            return CategoricalDistribution(domain.values)
        case Float():
            return FloatDistribution(domain.low, domain.high, log=domain.log)
        case Int():
            return IntDistribution(domain.low, domain.high, log=domain.log)


def _reported(plan: Plan, state: records.TrialState, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    """Give Optuna a trial: a stopped one is censored (PRUNED with its curve), never a COMPLETE of few epochs."""
    metric = plan.primary.validation
    outcome = {
        "completed": OptunaState.COMPLETE,
        "stopped": OptunaState.PRUNED,
        "diverged": OptunaState.FAIL,
        "failed": OptunaState.FAIL,
        None: OptunaState.RUNNING,
    }[state.outcome]
    # A running trial's curve may yet be reported otherwise by a later attempt, and TPE does not look at it.
    rows = [] if outcome is OptunaState.RUNNING else state.epochs
    curve = {row.epoch: row.metrics[metric] for row in rows if metric in row.metrics}
    return create_trial(
        state=outcome,
        params=dict(state.proposal),
        distributions=distributions,
        value=state.last(metric) if outcome is OptunaState.COMPLETE else None,
        intermediate_values=curve,
    )
