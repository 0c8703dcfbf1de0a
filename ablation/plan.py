"""Space + design + budget → Plan: everything that will run, and what it can and cannot show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from ablation.seeds import derive_seed
from ablation.trial import Phase, TrialContext
from search_spaces.metrics import Metric
from search_spaces.space import Arm, Budget, Design, Frozen, Levels, Space
from search_spaces.wording import without_wording


class PlannedTrial(Frozen):
    """One trial's position in the study, known before anything runs; only a search decides its hyperparameters."""

    trial_id: str
    arm: str
    replicate: int
    phase: Phase
    index: int
    seed: int
    replicate_seed: int
    epochs: int

    def context(self, checkpoint_dir: Path, artifact_dir: Path, **surroundings: Any) -> TrialContext:
        """Return what the trial gets beside its configuration, its folders made.

        ``surroundings`` are TrialContext's other fields. A search trial has no artifact folder.
        """
        is_confirm = self.phase == "confirm"
        for folder in (checkpoint_dir, artifact_dir) if is_confirm else (checkpoint_dir,):
            folder.mkdir(parents=True, exist_ok=True)
        return TrialContext(
            trial_id=self.trial_id,
            phase=self.phase,
            epochs=self.epochs,
            seed=self.seed,
            replicate_seed=self.replicate_seed,
            checkpoint_dir=checkpoint_dir,
            artifact_dir=artifact_dir if is_confirm else None,
            **surroundings,
        )


class WarmStart(Frozen):
    """An earlier run that gave a study its defaults: the run's name, and the value by hyperparameter."""

    run: str
    defaults: Levels


class InitFrom(Frozen):
    """An earlier run's best checkpoint, at which the weights of all trials begin.

    ``checkpoint`` is its address, whose name holds its digest; ``matched`` says by arm how much of a network it fills.
    """

    run: str
    trial_id: str
    checkpoint: str
    matched: dict[str, str]

    @property
    def name(self) -> str:
        """The checkpoint's file name, options of its address left out."""
        return self.checkpoint.partition("?")[0].rpartition("/")[2]


class Plan(Frozen):
    """A study that can be run: same effort for every arm, comparisons and seeds fixed beforehand.

    >>> from search_spaces.sorting import SPACE
    >>> budget = Budget(replicates=2, trials=3, epochs=9, grace_epochs=1, reduction_factor=3)
    >>> arms = SPACE.arms()[:2]
    >>> metric, comparisons = SPACE.metrics[0].name, SPACE.declared(arms)
    >>> plan = Plan(space=SPACE, metric=metric, budget=budget, arms=arms, comparisons=comparisons)
    >>> plan.rungs
    (1, 3)
    >>> plan.trial_count == len(arms) * 2 * (3 + 1) == len(list(plan.trials()))
    True
    >>> next(plan.trials()).trial_id
    'reference/0/search/0'
    """

    space: Space
    design: Design = "one-at-a-time"
    metric: str
    budget: Budget
    seed: int = 0
    arms: tuple[Arm, ...]
    comparisons: tuple[tuple[str, str], ...]
    warm_start: WarmStart | None = None
    init_from: InitFrom | None = None
    # Search trials of a replicate before each time that the search of a study without comparisons grew.
    searched_before: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _metric_is_known(self) -> Self:
        self.space.metric(self.metric)
        return self

    def without_wording(self) -> Plan:
        """Return the plan without what is there for readers alone: two that are equal then are the same study."""
        arms = tuple(arm.model_copy(update={"notes": ()}) for arm in self.arms)
        return self.model_copy(update={"space": without_wording(self.space), "arms": arms})

    def arm(self, name: str) -> Arm:
        """Return the arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)

    @property
    def primary(self) -> Metric:
        """Return the metric that guides searches and that claims are about."""
        return self.space.metric(self.metric)

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which early stopping decides; empty if there is none."""
        return self.budget.rungs

    @property
    def stages(self) -> tuple[int, ...]:
        """Search trials after which a replicate is confirmed: where a search grew, once more for each time."""
        return (*self.searched_before, self.budget.trials)

    def chosen_among(self, trial: PlannedTrial) -> int:
        """Count the search trials of its replicate among which a confirm trial's configuration is chosen."""
        return self.stages[self.stage_of(trial.index)]

    def stage_of(self, index: int) -> int:
        """Return how often the search had grown when a confirm trial of this index chose its configuration."""
        return index // self.budget.seeds

    @property
    def confirm_trials(self) -> int:
        """Count the confirm trials of a replicate: the budget's seeds, at each stage."""
        return self.budget.seeds * len(self.stages)

    def with_trials(self, trials: int) -> Plan:
        """Return the plan with a longer search, whose best is confirmed again; what was confirmed stays as it is."""
        budget = self.budget.model_copy(update={"trials": trials})
        return self.model_copy(update={"budget": budget, "searched_before": self.stages})

    @property
    def startup_trials(self) -> int:
        """Trials of a replicate's search that no earlier trial decides: known points, then random ones.

        Known points are the space's first points and the defaults. CMA-ES draws its first generation itself.
        """
        known, trials = len(self.space.first_points) + 1, self.budget.trials
        match self.budget.sampler:
            case "random" | "grid":
                return trials
            case "cmaes":
                return min(trials, known)
            case "tpe" | "gp":
                return min(trials, max(3, self.stages[0] // 3, known))

    @property
    def search_is_random(self) -> bool:
        """Return whether no search proposes anything that it has learned: by choice, or for being too short."""
        return 0 < self.budget.trials == self.startup_trials and self.budget.sampler != "grid"

    def trials(self) -> Iterator[PlannedTrial]:
        """Yield every trial in the order of the search: replicate by replicate, round-robin over arms."""
        for replicate in range(self.budget.replicates):
            for index in range(self.budget.trials):
                for arm in self.arms:
                    yield self._trial(arm.name, replicate, "search", index)
            for index in range(self.confirm_trials):
                for arm in self.arms:
                    yield self._trial(arm.name, replicate, "confirm", index)

    def _trial(self, arm: str, replicate: int, phase: Phase, index: int) -> PlannedTrial:
        # Seeds leave the arm out: what arms share cancels in paired differences.
        return PlannedTrial(
            trial_id=f"{arm}/{replicate}/{phase}/{index}",
            arm=arm,
            replicate=replicate,
            phase=phase,
            index=index,
            seed=derive_seed(self.seed, phase, replicate, index),
            replicate_seed=derive_seed(self.seed, "replicate", replicate),
            epochs=self.budget.epochs,
        )

    @property
    def trial_count(self) -> int:
        """Count the trials of all arms and both phases."""
        return len(self.arms) * self.budget.replicates * (self.budget.trials + self.confirm_trials)
