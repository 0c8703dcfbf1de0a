"""What to try next in one replicate's search: Optuna as a pure function of what is recorded.

A sampler is made again for every proposal, so a restart proposes what an uninterrupted run would have, given the same
records. Optuna's study may be kept from one proposal to the next (``Search``): it holds what is recorded and nothing
else, and building it again is most of a long search's time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from ablation.ledger import records
from ablation.plan import Plan, PlannedTrial
from ablation.seeds import derive_seed
from search_spaces.space import Arm, Choice, Float, Int, Level

optuna.logging.set_verbosity(optuna.logging.WARNING)

SAMPLER = {"multivariate": True, "constant_liar": True}
# Recorded with every session: proposals are only made again by the searcher that made them.
RECIPE = {"optuna": optuna.__version__, "sampler": "TPESampler", "arguments": SAMPLER}


class Search:
    """One arm's search in one replicate: proposes its trials' nuisance values, in the order of their indices."""

    def __init__(self, plan: Plan, arm: Arm) -> None:
        self._plan = plan
        self._arm = arm
        self._distributions = {name: _distribution(plan.space.domain(name)) for name in arm.searched}
        self._storage = InMemoryStorage()
        self._study: optuna.Study | None = None
        self._reported: list[records.Outcome | None] = []

    def propose(self, trial: PlannedTrial, earlier: Sequence[records.TrialState]) -> dict[str, Level]:
        """Propose the values of a trial of this search, given the states of all earlier ones.

        The first ``plan.startup_trials`` are the defaults, then random points, alike in every arm as far as the arms
        share hyperparameters. After them TPE proposes, seeded by (study seed, arm, replicate, index).
        """
        plan, arm = self._plan, self._arm
        if not arm.searched:
            return {}
        if trial.index == 0:
            return {name: plan.space.default(name) for name in arm.searched}
        if trial.index < plan.startup_trials:
            return {name: _random_value(plan, trial, name) for name in arm.searched}
        study = self._study_up_to_date(earlier, _Sampler(plan, trial, self._distributions))
        proposal = dict(study.ask(self._distributions).params)
        self._reported.append(None)  # Optuna's study now holds what it was asked for, as running
        return proposal

    def _study_up_to_date(self, earlier: Sequence[records.TrialState], sampler: TPESampler) -> optuna.Study:
        """Bring Optuna's study up to what is recorded: end what has ended since, add what it does not know."""
        changed = [
            number
            for number, (reported, state) in enumerate(zip(self._reported, earlier, strict=False))
            if reported != state.outcome
        ]
        is_other = len(self._reported) > len(earlier) or any(self._reported[number] is not None for number in changed)
        if self._study is None or is_other:  # asked again, or a trial was reopened
            self._storage, self._reported, changed = InMemoryStorage(), [], []
            self._study = optuna.create_study(
                storage=self._storage, sampler=sampler, direction=self._plan.primary.direction
            )
        self._study.sampler = sampler
        for number in changed:
            study_id = self._storage.get_study_id_from_name(self._study.study_name)
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(study_id, number)
            _end(self._storage, trial_id, _reported(self._plan, earlier[number], self._distributions))
            self._reported[number] = earlier[number].outcome
        new = earlier[len(self._reported) :]
        self._study.add_trials([_reported(self._plan, state, self._distributions) for state in new])
        self._reported += [state.outcome for state in new]
        return self._study


def propose(plan: Plan, trial: PlannedTrial, earlier: Sequence[records.TrialState]) -> dict[str, Level]:
    """Propose the nuisance values of one search trial, as ``Search`` would, from the records alone."""
    return Search(plan, plan.arm(trial.arm)).propose(trial, earlier)


class _Sampler(TPESampler):
    """TPE, seeded for one proposal and given the search space, which it would else gather from every earlier trial."""

    def __init__(self, plan: Plan, trial: PlannedTrial, distributions: dict[str, BaseDistribution]) -> None:
        super().__init__(
            seed=derive_seed(plan.seed, trial.arm, trial.replicate, trial.index) % 2**32,
            n_startup_trials=plan.startup_trials,
            multivariate=SAMPLER["multivariate"],
            constant_liar=SAMPLER["constant_liar"],
        )
        self._distributions = distributions

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the distributions that leave a choice, sorted by name, as Optuna does."""
        return {name: domain for name, domain in sorted(self._distributions.items()) if not domain.single()}


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
            return math.exp(source.uniform(math.log(domain.low), math.log(domain.high)))
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
