"""What to spend a given time on: replicates, confirm seeds or search trials, by what the comparisons then detect."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ablation.plan import Plan
from ablation.planning.effort import START_UP_S, effort
from ablation.power import detectable_difference
from ablation.spread import Spread

MOST_SEEDS = 4  # confirm runs of a replicate that are looked at


@dataclass(frozen=True)
class Allocation:
    """A way to spend the time: all arms get the same.

    Attributes:
        replicates: as many as the time allows.
        seeds: confirm runs of each.
        trials: search trials of each.
        hours: expected, with early stopping.
        detectable: smallest true difference found with 80 % power, in the metric's unit; in standard deviations of
            differences if no spread is known.
        is_advised: whether it detects least of those with as many trials as planned.
    """

    replicates: int
    seeds: int
    trials: int
    hours: float
    detectable: float
    is_advised: bool = False


def allocations(plan: Plan, epoch_s: float, slots: int, hours: float, spread: Spread | None) -> list[Allocation]:
    """List what ``hours`` allow: each number of seeds with the planned trials, then half and twice as many trials.

    More seeds need a spread that is split into what replicates and what seeds make of it; without that the planned
    number stays. The spread is taken as it is for other numbers of trials, too, which an earlier run cannot know: fewer
    trials tune each arm less, which no replicate mends, so what is advised keeps the planned number. Nothing is listed
    for which the time allows no two replicates.

    Args:
        plan: arms, comparisons and lengths.
        epoch_s: seconds an epoch takes.
        slots: trials at a time.
        hours: to be spent.
        spread: of paired differences, if it is known.
    """
    found = list(_with_trials(plan, plan.budget.trials, epoch_s, slots, hours, spread))
    best = min(found, key=lambda one: one.detectable, default=None)
    found = [replace(one, is_advised=one is best) for one in found]
    for trials in _other_trials(plan):
        others = list(_with_trials(plan, trials, epoch_s, slots, hours, spread))
        found += [min(others, key=lambda one: one.detectable)] if others else []
    return found


def hours_faults(hours: float | None, *, is_for_plan: bool) -> list[str]:
    """Say what is wrong with --hours."""
    if hours is None:
        return []
    faults = [] if is_for_plan else ["--hours is for --plan; add it, or give --max-hours, which stops a sweep"]
    return faults if 0 < hours < math.inf else [*faults, f"--hours is {hours:g}, but must be a number > 0"]


def _other_trials(plan: Plan) -> list[int]:
    """List half and twice as many trials, as far as ``--trials`` takes them: a grid has as many as it has points."""
    trials = plan.budget.trials
    if not trials or plan.budget.sampler == "grid":
        return []
    return [other for other in (trials // 2, 2 * trials) if other >= max(1, len(plan.space.first_points))]


def _with_trials(
    plan: Plan, trials: int, epoch_s: float, slots: int, hours: float, spread: Spread | None
) -> Iterator[Allocation]:
    is_split = spread is not None and spread.within_sd is not None
    for seeds in range(1, MOST_SEEDS + 1) if is_split else (plan.budget.seeds,):
        budget = plan.budget.model_copy(update={"replicates": 1, "trials": trials, "seeds": seeds})
        each_s = effort(plan.model_copy(update={"budget": budget})).epochs_expected * epoch_s / slots
        replicates = math.floor((3600 * hours - START_UP_S) / each_s)
        if replicates >= 2:
            sd = 1.0 if spread is None else spread.of_seeds(seeds)
            detectable = detectable_difference(sd, replicates, len(plan.comparisons))
            yield Allocation(replicates, seeds, trials, (START_UP_S + replicates * each_s) / 3600, detectable)
