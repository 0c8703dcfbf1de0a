"""A study as the report reads it: the plan as it stands now, and where the results came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ablation.plan import Plan, PlannedTrial
from ablation.run_dir import RunLocation, run_dir
from ablation.study_file import StudyFile
from search_spaces.conditions import When
from search_spaces.domains import Choice, Levels
from search_spaces.metrics import Metric
from search_spaces.space import IS_RECORDED, Arm, Level, Space

if TYPE_CHECKING:
    import pandas as pd

PHASES = ("search", "confirm")
PROPOSED = {
    "tpe": "proposed by TPE",
    "random": "drawn at random",
    "gp": "proposed by a Gaussian process",
    "cmaes": "proposed by CMA-ES",
    "grid": "taken from a grid, each combination as often",
}
REFERENCE, BASELINE = "reference", "baseline"  # names of the arms that every space has


@dataclass(frozen=True)
class PlannedStudy:
    """A planned study, which is a ``Question``: what effects are estimated of.

    Attributes:
        file: study.json, as it was written when the study was planned.
        plan: the plan as it stands: what the study has grown to.
        growths: how it grew, in order: ``arms``, ``replicates``, ``trials`` before; ``confirmed_before``, the confirm
            trials that were completed by then, and ``arms_added``, the names of those that came with it.
    """

    file: StudyFile
    plan: Plan
    growths: tuple[Mapping[str, Any], ...] = ()

    @property
    def space(self) -> Space:
        """Factors, hyperparameters, metrics and conditions."""
        return self.plan.space

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Planned arms, in the plan's order."""
        return self.plan.arms

    @cached_property
    def planned(self) -> tuple[PlannedTrial, ...]:
        """Every planned trial, in the plan's order of arms, then replicate, phase and index."""
        order = {arm.name: rank for rank, arm in enumerate(self.arms)}
        trials = list(self.plan.trials())
        trials.sort(key=lambda trial: (order[trial.arm], trial.replicate, PHASES.index(trial.phase), trial.index))
        return tuple(trials)

    def start(self, name: str) -> Level:
        """Return where searches start: a factor's reference level, a hyperparameter's default."""
        return self.space.default(name)

    @property
    def reference_arm(self) -> str:
        """Name of the reference."""
        return REFERENCE

    @property
    def baseline_arm(self) -> str:
        """Name of the baseline."""
        return BASELINE

    @property
    def smallest_effect(self) -> float | None:
        """Smallest difference that matters, as declared before the study."""
        return self.space.smallest_effect

    @property
    def factors(self) -> Mapping[str, Choice]:
        """Scientific factors with their levels."""
        return self.space.factors

    @property
    def reference_levels(self) -> Levels:
        """Level of each factor in the reference."""
        return self.space.reference

    @property
    def baseline_levels(self) -> Levels:
        """Level of each factor in the baseline."""
        return self.space.baseline

    @property
    def conditions(self) -> tuple[When, ...]:
        """Which combinations of levels have no meaning, and what stands for them."""
        return self.space.conditions

    @property
    def is_plain(self) -> bool:
        """Whether there is one arm alone: a search for the best configuration, in which nothing can be compared."""
        return len(self.plan.arms) == 1

    @property
    def comparisons(self) -> tuple[tuple[str, str], ...]:
        """Pairs (arm, against) declared before the study."""
        return self.plan.comparisons

    @property
    def is_declared(self) -> bool:
        """True: the plan lists them."""
        return True

    @property
    def is_paired(self) -> bool:
        """True: a replicate has the same seed in every arm."""
        return True

    @property
    def score(self) -> str:
        """What claims are about: values of the primary metric on test data."""
        return f"test {self.metric.replace('_', ' ')}"

    @property
    def metric(self) -> str:
        """Primary metric, by its bare name."""
        return self.plan.metric

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric of the space, the primary one first."""
        return (self.metric, *(name for name in self.declared if name != self.metric))

    @cached_property
    def declared(self) -> Mapping[str, Metric]:
        """The space's metrics by name."""
        return {metric.name: metric for metric in self.space.metrics}

    @property
    def primary(self) -> Metric:
        """The metric that claims are about."""
        return self.plan.primary

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which a search may stop trials."""
        return self.file.rungs

    def of_last_stage(self, trials: pd.DataFrame) -> pd.DataFrame:
        """Leave out confirm trials of what was best before the search grew, if it did."""
        first = self.plan.confirm_trials - self.plan.budget.seeds
        return trials if not first else trials[(trials["phase"] != "confirm") | (trials["index"] >= first)]

    @property
    def search_is_random(self) -> bool:
        """Whether searches were too short to learn from their own trials."""
        return self.file.search_is_random and self.plan.search_is_random  # it may have grown since

    @property
    def how_searched(self) -> str:
        """How hyperparameters were proposed and what stopped trials, in a sentence or two; empty if none was searched.

        Earlier versions knew TPE and ASHA only.
        """
        budget = self.plan.budget
        if not budget.trials:
            return ""
        proposed = f"Hyperparameters were {PROPOSED[budget.sampler]}"
        if self.search_is_random and budget.sampler != "random":
            proposed += ", but with so few trials all were known or random points"
        if not self.rungs:
            return f"{proposed}. Nothing was stopped early: every search trial was trained in full."
        epochs = ", ".join(map(str, self.rungs))
        return f"{proposed}. ASHA stopped trials early: after epochs {epochs} one in {budget.reduction_factor} went on."

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value of the primary metric is the better one."""
        return self.primary.higher_is_better

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the data's classes; empty if the study has no classes."""
        return tuple((self.file.data or {}).get("class_names") or ())


def study(run: RunLocation) -> PlannedStudy:
    """Read study.json, with the plan as it stands now: a study that grew says so in its ledger.

    Raises FaultsError if the directory is no run, or the file cannot be read, is damaged or of another schema.
    """
    where = run_dir(run)
    file = where.study()
    plan, growths = file.plan, []
    for grown in where.growths():
        before, plan = plan, Plan.model_validate(grown.plan, context={IS_RECORDED: True})
        known = {arm.name for arm in before.arms}
        growths.append(
            {
                "arms": len(before.arms),
                "replicates": before.budget.replicates,
                "trials": before.budget.trials,
                "confirmed_before": grown.confirmed_before,
                "arms_added": [arm.name for arm in plan.arms if arm.name not in known],
            }
        )
    return PlannedStudy(file, plan, tuple(growths))
