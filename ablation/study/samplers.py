"""Optuna's samplers, each made for one proposal: seeded by its place in the study, and given the search space."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, TPESampler
from optuna.trial import FrozenTrial

from ablation.machine import hardware
from ablation.plan import Plan, PlannedTrial
from ablation.seeds import derive_seed

# What a sampler was asked before is part of what it proposes next: it keeps that beside the trials it was asked for.
REMEMBERING = ("cmaes",)
TPE = {"multivariate": True, "constant_liar": True}
GP = {"n_startup_trials": 1}  # completed trials, before which it draws at random; the first points come from elsewhere


def recipe(plan: Plan) -> dict[str, Any]:
    """Return all that makes proposals come out otherwise: recorded with every session, since replay makes them again.

    Those of a Gaussian process and of CMA-ES go through linear algebra, whose last digits depend on the processor.
    """
    made = {"optuna": optuna.__version__}
    match plan.budget.sampler:
        case "tpe":
            return {**made, "sampler": "TPESampler", "arguments": TPE}
        case "gp":
            return {**made, "sampler": "GPSampler", "arguments": GP, **_arithmetic("numpy", "scipy", "torch")}
        case "cmaes":
            return {**made, "sampler": "CmaEsSampler", "arguments": {}, **_arithmetic("numpy", "cmaes")}
        case "random" | "grid" as own:
            return {"sampler": own}


def _arithmetic(*packages: str) -> dict[str, Any]:
    machine = {name: value for name, value in hardware().items() if name != "cpus"}
    return {"versions": {package: version(package) for package in packages}, "machine": machine}


def sampler_for(plan: Plan, trial: PlannedTrial, distributions: Mapping[str, BaseDistribution]) -> BaseSampler:
    """Make the plan's sampler for one proposal; what it cannot model is drawn at random, with the same seed."""
    seed = derive_seed(plan.seed, trial.arm, trial.replicate, trial.index) % 2**32
    modelled = {name: domain for name, domain in sorted(distributions.items()) if not domain.single()}
    match plan.budget.sampler:
        case "tpe":
            tpe = _Tpe(
                seed=seed,
                n_startup_trials=plan.startup_trials,
                multivariate=TPE["multivariate"],
                constant_liar=TPE["constant_liar"],
            )
            return tpe.given(modelled)
        case "gp":
            return _Gp(seed=seed, n_startup_trials=GP["n_startup_trials"]).given(modelled)
        case "cmaes":
            numbers = {
                name: domain for name, domain in modelled.items() if not isinstance(domain, CategoricalDistribution)
            }
            return _CmaEs(seed=seed, warn_independent_sampling=False).given(numbers)
        case "random" | "grid" as own:
            raise AssertionError(f"{own} needs no sampler of Optuna's")


class _GivenSpace(BaseSampler):
    """Take the search space as given, which a sampler would else gather from every earlier trial."""

    _space: dict[str, BaseDistribution]

    def given(self, space: dict[str, BaseDistribution]) -> BaseSampler:
        self._space = space
        return self

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the distributions that leave a choice, sorted by name, as Optuna does."""
        return self._space


class _Tpe(_GivenSpace, TPESampler):
    pass


class _Gp(_GivenSpace, GPSampler):
    pass


class _CmaEs(_GivenSpace, CmaEsSampler):
    pass
