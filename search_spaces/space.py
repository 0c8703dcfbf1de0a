"""What a study asks: factors, hyperparameters, designs and comparisons, as pure data.

A space is declared, never computed: it names its trial function and its dataset by import path, and knows
neither torch, ray nor optuna.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from math import isfinite
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, model_validator

from search_spaces.budget import Budget
from search_spaces.conditions import When, condition_faults, meaning
from search_spaces.domains import Choice, Domain, Float, Frozen, Int, Level, Levels
from search_spaces.metrics import Direction, Metric, effect_faults, whole_metrics
from search_spaces.names import arm_name_faults, level_faults, metric_faults, short_names
from search_spaces.points import first_point_faults

# Whoever declares a space finds all it takes here.
__all__ = [
    "DESIGNS",
    "Arm",
    "Budget",
    "Choice",
    "Comparison",
    "Design",
    "Domain",
    "Float",
    "Frozen",
    "Int",
    "Level",
    "Levels",
    "Metric",
    "Space",
    "When",
]

PLAIN_ARM = "model"  # the one arm of a space without factors
IS_RECORDED = "is_recorded"  # key of the context in which a study that has run is read

Design = Literal["one-at-a-time", "factorial", "joint"]
DESIGNS: tuple[Design, ...] = ("one-at-a-time", "factorial", "joint")


class Comparison(Frozen):
    """Declare paired comparisons before the study: arms against one named arm.

    Without ``factor`` every arm is meant; with it, the arms that differ from the reference in that factor alone
    (and the reference itself), restricted to ``levels`` if any are given.
    """

    against: Literal["reference", "baseline"]
    factor: str | None = None
    levels: tuple[Level, ...] = ()


WITH_THE_REFERENCE = (Comparison(against="reference"),)


class Arm(Frozen):
    """One combination of levels of the scientific factors."""

    name: str
    levels: Levels
    searched: tuple[str, ...] = Field(description="nuisance hyperparameters tuned in this arm")
    notes: tuple[str, ...] = Field(default=(), description="combinations without meaning, and what stands for them")


class Space(Frozen):
    """A study's question: what varies, what is tuned per arm, what is held equal, and what will be compared.

    Without ``factors`` it is a plain search: one arm, named PLAIN_ARM, of which the best configuration is sought. With
    them, ``reference`` and ``baseline`` give a level of each.

    >>> space = Space(
    ...     name="squares",
    ...     trial="my_study:run_trial",
    ...     factors={"squares": Choice(values=(True, False)), "depth": Choice(values=(2, 1))},
    ...     reference={"squares": True, "depth": 2},
    ...     baseline={"squares": False, "depth": 1},
    ...     nuisance={"lr": Float(low=0.01, high=1.0, default=0.1, log=True)},
    ...     metrics=("accuracy",),
    ...     budgets={"quick": Budget(replicates=3, trials=6, epochs=9, grace_epochs=1, reduction_factor=3)},
    ... )
    >>> arms = space.arms()
    >>> [arm.name for arm in arms]
    ['reference', 'squares=False', 'depth=1', 'baseline']
    >>> space.declared(arms)
    (('squares=False', 'reference'), ('depth=1', 'reference'), ('baseline', 'reference'))
    >>> space.configuration(arms[1], {"lr": 0.3})
    {'squares': False, 'depth': 2, 'lr': 0.3}
    """

    name: str
    description: str = ""
    trial: str = Field(description="import path of run_trial, 'package.module:function'")
    dataset: str | None = Field(default=None, description="import path of the function that checks and opens --data")
    default_data: str | None = None
    factors: dict[str, Choice] = Field(default={})
    nuisance: dict[str, Domain] = Field(default={})
    first_points: tuple[Levels, ...] = Field(
        default=(), description="hyperparameters known to be worth a try: every search, of every arm, begins with them"
    )
    fixed: Levels = Field(default={})
    reference: Levels = Field(default={})
    baseline: Levels = Field(default={})
    conditions: tuple[When, ...] = ()
    comparisons: tuple[Comparison, ...] = WITH_THE_REFERENCE
    metrics: tuple[Metric, ...] = Field(min_length=1, description="a name alone stands for Metric(name=…)")
    direction: Direction = Field(default="maximize", description="of the metrics that are given by name alone")
    smallest_effect: float | None = Field(
        default=None, description="smallest difference that matters, in the first metric's unit; within it is equal"
    )
    budgets: dict[str, Budget]
    predictor: str | None = Field(default=None, description="import path of what turns a checkpoint into predictions")

    @model_validator(mode="before")
    @classmethod
    def _name_is_metric(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("metrics"), tuple | list):
            return data
        return {**data, "metrics": whole_metrics(data["metrics"], data.get("direction", "maximize"))}

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Self:
        # What was recorded has run: names that are no longer taken must not keep it from being read.
        is_recorded = bool(info.context and info.context.get(IS_RECORDED))
        faults = [*self._faults(), *(() if is_recorded else self._new_faults())]
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def _faults(self) -> Iterator[str]:
        for role in ("reference", "baseline"):
            levels: Levels = getattr(self, role)
            for name in levels.keys() - self.factors.keys():
                yield f"{role} names {name!r}, which is no factor; factors are {sorted(self.factors)}"
            for name, choice in self.factors.items():
                if name not in levels:
                    yield f"{role} gives no level for {name!r}; give one of {list(choice.values)}"
                elif levels[name] not in choice.values:
                    yield f"{role} sets {name} to {levels[name]!r}; choose from {list(choice.values)}"
        for name in self.nuisance.keys() & self.factors.keys():
            yield f"{name!r} is a factor and a nuisance hyperparameter; keep one"
        for name in self.fixed.keys() & (self.factors.keys() | self.nuisance.keys()):
            yield f"{name!r} is fixed and varied; keep one"
        for factor, level in self._mentioned():
            if factor in self.factors and level not in self.factors[factor].values:
                known_levels = list(self.factors[factor].values)
                yield f"a When or Comparison names level {level!r} of {factor}; choose from {known_levels}"
        for comparison in self.comparisons:
            if comparison.factor is not None and comparison.factor not in self.factors:
                yield f"a Comparison names {comparison.factor!r}, which is no factor; known: {sorted(self.factors)}"
        known = self.factors.keys() | self.nuisance.keys()
        for when in self.conditions:
            for name in {when.factor, *when.drops, *when.replaces} - known:
                yield f"a When names {name!r}, which is neither factor nor nuisance hyperparameter"
        if self.smallest_effect is not None:
            yield from effect_faults("smallest_effect", self.smallest_effect, self.metrics[0])
        yield from condition_faults(self.conditions)
        yield from first_point_faults(self.first_points, {**self.factors, **self.nuisance})

    def _new_faults(self) -> Iterator[str]:
        """Say what a space that has run may have, and a new one not: above all what tables and files cannot hold."""
        if not self.factors and self.comparisons not in ((), WITH_THE_REFERENCE):
            yield "comparisons are declared, but there are no factors, and so nothing to compare; leave them out"
        yield from arm_name_faults(self.factors)
        for name, value in self.fixed.items():
            if isinstance(value, float) and not isfinite(value):
                yield f"fixed {name} is {value}, but must be finite"
        choices = {name: domain for name, domain in self.nuisance.items() if isinstance(domain, Choice)}
        yield from level_faults({**self.factors, **choices})
        yield from metric_faults(metric.name for metric in self.metrics)

    def _mentioned(self) -> Iterator[tuple[str, Level]]:
        """Yield the (factor, level) pairs that conditions and comparisons name."""
        for when in self.conditions:
            yield from ((when.factor, level) for level in when.among)
            for factor, pairs in when.replaces.items():
                yield from ((factor, level) for pair in pairs for level in pair)
        for comparison in self.comparisons:
            if comparison.factor is not None:
                yield from ((comparison.factor, level) for level in comparison.levels)

    def arm(self, levels: Mapping[str, Level], name: str | None = None) -> Arm:
        """Build the nearest meaningful arm to ``levels`` (all factors), saying what was replaced and why."""
        found = meaning(levels, self.conditions)
        searched = tuple(name for name in self.nuisance if name not in found.dropped)
        return Arm(name=name or self.formatted(found.levels), levels=found.levels, searched=searched, notes=found.notes)

    def arms(self, design: Design = "one-at-a-time") -> tuple[Arm, ...]:
        """List a design's arms, reference first and baseline last; arms that mean the same are one.

        A baseline that means the same as the reference is left out, which the reference's notes say. Without factors
        there is one arm, whatever the design.
        """
        if not self.factors:
            return (self.arm({}, PLAIN_ARM),)
        if design == "joint":
            searched = (*self.factors, *self.nuisance)
            return (Arm(name="joint", levels={}, searched=searched),)
        reference = self.arm(self.reference, "reference")
        baseline = self.arm(self.baseline, "baseline")
        if design == "one-at-a-time":
            candidates = [
                self.arm({**self.reference, factor: level}, self.formatted({factor: level}))
                for factor, choice in self.factors.items()
                for level in choice.values
            ]
        else:
            grid = product(*(choice.values for choice in self.factors.values()))
            candidates = [self.arm(dict(zip(self.factors, combination, strict=True))) for combination in grid]
        named = {_key(reference): reference, _key(baseline): baseline}
        others = {_key(arm): arm for arm in reversed(candidates) if _key(arm) not in named}
        if _key(reference) == _key(baseline):
            twin = "the baseline is the same configuration: it is trained once, as the reference, and not compared"
            return (reference.model_copy(update={"notes": (*reference.notes, twin)}), *reversed(others.values()))
        return (reference, *reversed(others.values()), baseline)

    def declared(self, arms: tuple[Arm, ...]) -> tuple[tuple[str, str], ...]:
        """List the declared comparisons among ``arms`` as (arm, against) names, each pair once."""
        present = {arm.name: arm for arm in arms}
        pairs: dict[frozenset[str], tuple[str, str]] = {}
        for comparison in self.comparisons:
            if comparison.against not in present:
                continue
            for arm in arms:
                pair = frozenset((arm.name, comparison.against))
                if len(pair) == 2 and self._is_meant(comparison, arm):
                    pairs.setdefault(pair, (arm.name, comparison.against))
        return tuple(pairs.values())

    def _is_meant(self, comparison: Comparison, arm: Arm) -> bool:
        if comparison.factor is None:
            return True
        is_among = not comparison.levels or arm.levels.get(comparison.factor) in comparison.levels
        rest = {**arm.levels, comparison.factor: self.reference[comparison.factor]}
        return is_among and rest == self.reference

    def configuration(self, arm: Arm, proposal: Mapping[str, Level]) -> Levels:
        """Return the flat configuration (dotted names) of a trial of ``arm`` with the proposed values."""
        levels = {**arm.levels, **{name: value for name, value in proposal.items() if name in self.factors}}
        if arm.name == "joint":
            levels = self.arm({**self.reference, **levels}).levels
        rest = {name: value for name, value in proposal.items() if name not in self.factors}
        return {**self.fixed, **levels, **rest}

    def corners(self) -> Iterator[Levels]:
        """Yield the configuration of every factorial arm at every corner of its nuisance ranges."""
        for arm in self.arms("factorial"):
            ends = [self.nuisance[name].ends() for name in arm.searched]
            for corner in product(*ends):
                yield self.configuration(arm, dict(zip(arm.searched, corner, strict=True)))

    def formatted(self, levels: Mapping[str, Level]) -> str:
        """Format levels as an arm's name, ``negatives=nearest,margin=0.2``, with as much of a name as says it apart."""
        short = short_names(self.factors)
        return ",".join(f"{short[name]}={level}" for name, level in levels.items())

    def default(self, name: str) -> Level:
        """Return where a search starts: a factor's reference level, a hyperparameter's default."""
        return self.reference[name] if name in self.factors else self.nuisance[name].default

    def metric(self, name: str) -> Metric:
        """Return the metric of that name; raises ValueError if there is none."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        known = ", ".join(metric.name for metric in self.metrics)
        raise ValueError(f"metric is {name!r}, but the space {self.name} has {known}; name one of them")

    def domain(self, name: str) -> Float | Int | Choice:
        """Return the domain of a factor or nuisance hyperparameter."""
        return self.factors[name] if name in self.factors else self.nuisance[name]


def _key(arm: Arm) -> frozenset[tuple[str, Level]]:
    return frozenset(arm.levels.items())
