"""What a plan costs, in epochs of training, before anything has run."""

from __future__ import annotations

import random
from dataclasses import dataclass
from statistics import fmean

from ablation.plan import Plan
from ablation.study.rungs import goes_on

START_UP_S = 10.0  # of a sweep


@dataclass(frozen=True)
class Effort:
    """What a plan costs, in epochs of training."""

    epochs_most: int
    epochs_expected: float


def effort(plan: Plan) -> Effort:
    """Count a plan's epochs: at most, and as expected when ASHA sees trials in an order that says nothing of them."""
    searches = len(plan.arms) * plan.budget.replicates
    confirm = searches * plan.confirm_trials * plan.budget.epochs
    searched = fmean(_search_epochs(plan, random.Random(draw)) for draw in range(200))
    return Effort(
        epochs_most=searches * plan.budget.trials * plan.budget.epochs + confirm,
        epochs_expected=searches * searched + confirm,
    )


def _search_epochs(plan: Plan, random_source: random.Random) -> int:
    recorded: dict[int, list[float]] = {rung: [] for rung in plan.rungs}
    epochs = 0
    for _ in range(plan.budget.trials):
        value, reached = random_source.random(), plan.budget.epochs
        for rung, values in recorded.items():
            stays = goes_on(value, values, plan.budget.reduction_factor)
            values.append(value)
            if not stays:
                reached = rung
                break
        epochs += reached
    return epochs
