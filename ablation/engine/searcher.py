"""What to try next in one replicate's search: Optuna as a pure function of what is recorded.

The study is built anew for every proposal and thrown away, so a restart proposes what an uninterrupted run would
have, given the same records, and nothing can drift apart. Searches are short (tens of trials): building one takes
milliseconds.
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
from optuna.trial import FrozenTrial, TrialState, create_trial

from ablation import records
from ablation.plan import Plan, PlannedTrial
from ablation.seeds import derive_seed
from search_spaces.space import Choice, Float, Int, Level

optuna.logging.set_verbosity(optuna.logging.WARNING)


def propose(plan: Plan, trial: PlannedTrial, earlier: Sequence[records.TrialState]) -> dict[str, Level]:
    """Propose the nuisance values of a search trial, given the states of the earlier ones of its replicate.

    The first ``plan.startup_trials`` are the defaults, then random points, alike in every arm as far as the arms share
    hyperparameters. After them TPE proposes, seeded by (study seed, arm, replicate, index).
    """
    arm = plan.arm(trial.arm)
    if not arm.searched:
        return {}
    if trial.index == 0:
        return {name: plan.space.default(name) for name in arm.searched}
    if trial.index < plan.startup_trials:
        return {name: _random_value(plan, trial, name) for name in arm.searched}
    distributions = {name: _distribution(plan.space.domain(name)) for name in arm.searched}
    study = optuna.create_study(direction=plan.space.direction, sampler=_sampler(plan, trial))
    study.add_trials([_told(plan, state, distributions) for state in earlier])
    return dict(study.ask(distributions).params)


def _sampler(plan: Plan, trial: PlannedTrial) -> optuna.samplers.TPESampler:
    return optuna.samplers.TPESampler(
        seed=derive_seed(plan.seed, trial.arm, trial.replicate, trial.index) % 2**32,
        n_startup_trials=plan.startup_trials,
        multivariate=True,
        constant_liar=True,
    )


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


def _told(plan: Plan, state: records.TrialState, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    """Tell Optuna of a trial: a stopped one is censored (PRUNED with its curve), never a COMPLETE of few epochs."""
    metric = f"val_{plan.metric}"
    outcome = {
        "completed": TrialState.COMPLETE,
        "stopped": TrialState.PRUNED,
        "diverged": TrialState.FAIL,
        "failed": TrialState.FAIL,
        None: TrialState.RUNNING,
    }[state.outcome]
    return create_trial(
        state=outcome,
        params=dict(state.proposal),
        distributions=distributions,
        value=state.last(metric) if outcome is TrialState.COMPLETE else None,
        intermediate_values={row.epoch: row.metrics[metric] for row in state.epochs if metric in row.metrics},
    )
