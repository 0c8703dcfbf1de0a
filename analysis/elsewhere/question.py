"""What a table of results asks: every other arm against the reference, by one metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from search_spaces.conditions import When
from search_spaces.domains import Choice, Levels
from search_spaces.metrics import Metric
from search_spaces.space import Arm


@dataclass(frozen=True)
class TableQuestion:
    """The ``Question`` of a table of results: nobody has said it before the results were there, as far as is known.

    Attributes:
        arms: in the order of the table, the reference first.
        reference_arm: its name.
        baseline_arm: name of the bare arm; empty if none is named.
        primary: the metric of the scores.
        is_paired: whether equal replicates of two arms are pairs.
        factors: with their levels, if columns hold any.
        smallest_effect: smallest difference that matters, in the metric's unit.
    """

    arms: tuple[Arm, ...]
    reference_arm: str
    baseline_arm: str
    primary: Metric
    is_paired: bool
    factors: Mapping[str, Choice] = field(default_factory=dict)
    smallest_effect: float | None = None

    @property
    def is_declared(self) -> bool:
        """Whether the comparisons were fixed before the results."""
        return False

    @property
    def comparisons(self) -> tuple[tuple[str, str], ...]:
        """Every other arm against the reference."""
        return tuple((arm.name, self.reference_arm) for arm in self.arms if arm.name != self.reference_arm)

    @property
    def metric(self) -> str:
        """Name of the scores."""
        return self.primary.name

    @property
    def score(self) -> str:
        """What a score is called in a sentence."""
        return self.metric.replace("_", " ")

    @property
    def metrics(self) -> tuple[str, ...]:
        """The one metric."""
        return (self.metric,)

    @property
    def declared(self) -> Mapping[str, Metric]:
        """The metric by its name."""
        return {self.metric: self.primary}

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger score is the better one."""
        return self.primary.higher_is_better

    @cached_property
    def _levels(self) -> Mapping[str, Levels]:
        return {arm.name: arm.levels for arm in self.arms}

    @property
    def reference_levels(self) -> Levels:
        """Level of each factor in the reference."""
        return self._levels[self.reference_arm]

    @property
    def baseline_levels(self) -> Levels:
        """Level of each factor in the baseline; empty if there is none."""
        return self._levels.get(self.baseline_arm, {})

    @property
    def conditions(self) -> tuple[When, ...]:
        """None: a table does not say which combinations have no meaning."""
        return ()
