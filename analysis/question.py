"""What effects are estimated of: arms, a metric, and what is compared with what. A run's plan is one such question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from search_spaces.conditions import When
from search_spaces.domains import Choice, Levels
from search_spaces.metrics import Metric
from search_spaces.space import Arm


class Question(Protocol):
    """What the analysis of effects has to know beside the scores; neither a plan nor a ledger is needed for it."""

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Arms, in the order of tables."""

    @property
    def reference_arm(self) -> str:
        """Name of the arm that the others are set against."""

    @property
    def baseline_arm(self) -> str:
        """Name of the bare arm; there need be none of that name."""

    @property
    def comparisons(self) -> tuple[tuple[str, str], ...]:
        """Pairs (arm, against) that are tested."""

    @property
    def is_declared(self) -> bool:
        """Whether these comparisons were fixed before there were results."""

    @property
    def is_paired(self) -> bool:
        """Whether equal replicates of two arms are a pair."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric by its bare name, the primary one first."""

    @property
    def declared(self) -> Mapping[str, Metric]:
        """The metrics by name."""

    @property
    def metric(self) -> str:
        """Primary metric, by its bare name."""

    @property
    def primary(self) -> Metric:
        """The metric that claims are about."""

    @property
    def score(self) -> str:
        """What a value of the primary metric is called in a sentence."""

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value of the primary metric is the better one."""

    @property
    def smallest_effect(self) -> float | None:
        """Smallest difference of the primary metric that matters; arms that differ by less are practically equal."""

    @property
    def factors(self) -> Mapping[str, Choice]:
        """Scientific factors with their levels; empty if arms are names alone."""

    @property
    def reference_levels(self) -> Levels:
        """Level of each factor in the reference."""

    @property
    def baseline_levels(self) -> Levels:
        """Level of each factor in the baseline."""

    @property
    def conditions(self) -> tuple[When, ...]:
        """Which combinations of levels have no meaning, and what stands for them."""
