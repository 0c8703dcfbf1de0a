"""How a study's searches go, in words."""

from __future__ import annotations

from math import floor, log

from ablation.plan import Plan
from search_spaces.points import grid_size
from search_spaces.space import Arm, Budget, Choice, Space


def search_in_words(plan: Plan) -> list[str]:
    """Say what proposes hyperparameters and what stops trials; nothing if nothing is searched."""
    budget = plan.budget
    if not budget.trials:
        return []
    if budget.sampler == "grid":
        lines = [f"search by grid: all {budget.trials} combinations in each replicate", *_smaller_grids(plan)]
    else:
        lines = [f"search by {budget.sampler}: {budget.trials} trials a replicate, {_beginning(plan)}{_rest(plan)}"]
    return [*lines, early_stopping_in_words(budget)]


def early_stopping_in_words(budget: Budget) -> str:
    """Say at which epochs which share of trials goes on, or why nothing is stopped."""
    if budget.rungs:
        epochs = ", ".join(map(str, budget.rungs))
        return f"early stopping: ASHA at epochs {epochs}, where one in {budget.reduction_factor} trials goes on"
    if budget.early_stopping == "none":
        return "early stopping: none; every search trial is trained in full"
    return f"early stopping: none, since training is no longer than the grace of {budget.grace_epochs} epochs"


def _beginning(plan: Plan) -> str:
    """Name what no trial decides: the space's first points, the defaults, random points."""
    points = len(plan.space.first_points)
    drawn = plan.startup_trials - points - 1
    counted = [(points, "first point"), (drawn, "random point")]
    named, random = (f"{number} {what}{'s' * (number > 1)}" if number > 0 else "" for number, what in counted)
    parts = [part for part in (named, "the defaults", random) if part]
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part) + " first, alike in every arm"


def _rest(plan: Plan) -> str:
    """Say what proposes the trials after those, if there are any, and what it goes by."""
    sampler, rest = plan.budget.sampler, plan.budget.trials - plan.startup_trials
    if rest and sampler == "tpe":
        return f"; TPE proposes the other {rest}"
    stopped = "; trials stopped early teach it nothing" if plan.rungs else ""
    if rest and sampler == "gp":
        return f"; a Gaussian process of completed ones proposes the other {rest}, in a second or so each{stopped}"
    if rest and sampler == "cmaes":
        return f"; CMA-ES proposes the other {rest}, in generations of {_generation(plan)} completed ones{stopped}"
    return "" if sampler == "random" else f"; {sampler} needs more to propose any"


def _generation(plan: Plan) -> str:
    """Say how many trials make a generation of CMA-ES, by its authors' rule: 4 + ⌊3 ln d⌋ of d numbers."""
    sizes = sorted({4 + floor(3 * log(_numbers(plan.space, arm))) for arm in plan.arms if arm.searched})
    return " or ".join(map(str, sizes))


def _numbers(space: Space, arm: Arm) -> int:
    return sum(not isinstance(space.domain(name), Choice) for name in arm.searched)


def _smaller_grids(plan: Plan) -> list[str]:
    sizes = {arm.name: grid_size(plan.space, arm) for arm in plan.arms}
    return [
        f"{name} has {size} combinations, and goes through them again to have as many trials as the others"
        for name, size in sizes.items()
        if size < plan.budget.trials
    ]
