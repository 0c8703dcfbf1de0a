"""What arms, scores and a list of comparisons come to: all of a study that a table of scores alone can answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ablation.moderation import Prior
from analysis import effects, verdicts
from analysis.attempts import Attempts, Failure
from analysis.numbers import Unit, unit_of
from analysis.question import Question
from analysis.statistics.moderated import prior_of
from analysis.tables import components, marginals
from analysis.unpaired_comparisons import unpaired_comparisons
from analysis.verdicts import Verdict


@dataclass(frozen=True, kw_only=True)
class EffectEvidence:
    """Tables of effects, each as the function of the same name returns it, and what was concluded from them.

    A description that could not be computed is in ``failures``, under the name that the page has a place for, and its
    table is empty. What claims rest on is computed, or raises.
    """

    study: Question
    units: Mapping[str, Unit]
    replicates: pd.DataFrame
    arms: pd.DataFrame
    comparisons: pd.DataFrame
    verdicts: tuple[Verdict, ...]
    differences: pd.DataFrame
    components: pd.DataFrame
    ablation_path: pd.DataFrame
    marginals: pd.DataFrame
    marginals_left_out: Mapping[str, tuple[str, ...]]
    interactions: pd.DataFrame
    failures: tuple[Failure, ...] = ()

    @property
    def variances(self) -> Prior | None:
        """What the comparisons' variances have in common; None if replicates are no pairs, which borrow nothing."""
        return prior_of(self.comparisons["sd"], self.comparisons["n"]) if self.study.is_paired else None

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table by name, empty ones included."""
        return {name: value for name, value in vars(self).items() if isinstance(value, pd.DataFrame)}


def compare(study: Question, table: pd.DataFrame, attempts: Attempts) -> EffectEvidence:
    """Compute all that follows from the replicates' scores; ``table`` is as ``effects.replicates`` returns it."""
    units = {
        name: unit_of(table[name], study.declared[name].higher_is_better, study.declared[name].unit)
        for name in study.metrics
    }
    test = effects.comparisons_table if study.is_paired or not study.comparisons else unpaired_comparisons
    tested, make, nothing = test(study, table), attempts.make, pd.DataFrame()
    left_out: Mapping[str, tuple[str, ...]]
    averaged, left_out = nothing, {}
    if study.is_paired:  # they average arms within each replicate
        averaged, left_out = make("marginals", lambda: marginals.marginals(study, table), (nothing, left_out))
    return EffectEvidence(
        study=study,
        units=units,
        replicates=table,
        arms=effects.arms_table(study, table),
        comparisons=tested,
        verdicts=tuple(verdicts.verdicts(study, tested, units[study.metric])),
        differences=make("differences", lambda: effects.differences_table(study, table), nothing),
        components=make("components", lambda: components.components_table(study, table), nothing),
        ablation_path=make("ablation_path", lambda: components.ablation_path(study, table), nothing),
        marginals=averaged,
        marginals_left_out=left_out,
        interactions=make("interactions", lambda: marginals.interactions(study, table), nothing)
        if study.is_paired
        else nothing,
        failures=tuple(attempts.failures),
    )
