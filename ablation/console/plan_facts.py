"""A plan in numbers, for programs."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

from ablation.checkpoint import KEPT
from ablation.console.huge_difference import only_huge
from ablation.engine.slots import Slots
from ablation.plan import Plan
from ablation.planning.allocation import allocations
from ablation.planning.effort import START_UP_S, effort
from ablation.planning.probe import Probe
from ablation.planning.request import CheckedStudy
from ablation.power import detectable_difference, replicates_needed, replicates_to_equate, shown_margin
from ablation.resources import Keep
from ablation.spread import Spread
from search_spaces.metrics import LARGEST


def header_facts(checked: CheckedStudy) -> dict[str, Any]:
    """Return what ``print_header`` says, for programs."""
    data = None if checked.data is None else checked.data["uri"]
    return {**_facts(checked), "budget_reason": checked.budget_reason, "data": data}


def plan_facts(
    checked: CheckedStudy,
    measured: Probe,
    slots: Slots,
    spread: Spread | None = None,
    hours: float | None = None,
    keep: Keep = "confirmed",
) -> dict[str, Any]:
    """Return a plan's numbers: effort in epochs, time, hours of hardware, bytes on disk, and what it can detect."""
    plan = checked.plan
    return {
        **_facts(checked),
        "arms": [arm.model_dump() for arm in plan.arms],
        "rungs": plan.rungs,
        "search_is_random": plan.search_is_random,
        **_cost(plan, measured, slots, keep),
        **_power(plan, spread),
        "hours": hours,
        "allocations": None
        if hours is None or not plan.comparisons
        else [asdict(one) for one in allocations(plan, measured.epoch_s, slots.count, hours, spread)],
    }


def _facts(checked: CheckedStudy) -> dict[str, Any]:
    plan = checked.plan
    huge = only_huge(plan)
    return {
        "space": plan.space.name,
        "design": plan.design,
        "metric": plan.metric,
        "budget_name": checked.budget_name,
        "budget": plan.budget.model_dump(),
        "arms": [arm.name for arm in plan.arms],
        "comparisons": plan.comparisons,
        "trials": plan.trial_count,
        "only_huge": None if huge is None else asdict(huge),
    }


def _cost(plan: Plan, measured: Probe, slots: Slots, keep: Keep) -> dict[str, Any]:
    spent = effort(plan)
    expected_s = START_UP_S + spent.epochs_expected * measured.epoch_s / slots.count
    most_s = START_UP_S + spent.epochs_most * measured.epoch_s / slots.count
    arms, budget = len(plan.arms), plan.budget
    searched = arms * budget.replicates * budget.trials
    of_search = {"confirmed": 0, "best-per-arm": min(arms, searched), "all": searched}[keep]
    kept = arms * budget.replicates * plan.confirm_trials + of_search
    return {
        "epochs_most": spent.epochs_most,
        "epochs_expected": spent.epochs_expected,
        "epoch_s": measured.epoch_s,
        "probe_s": measured.took_s,
        "arms_begun": measured.arms_tried,
        "slots": slots.count,
        "slots_limit": slots.limit,
        "cpus_per_trial": slots.cpus,
        "gpus_per_trial": slots.gpus,
        "sweep_expected_s": expected_s,
        "sweep_most_s": most_s,
        "cpu_hours_expected": slots.count * slots.cpus * expected_s / 3600,
        "cpu_hours_most": slots.count * slots.cpus * most_s / 3600,
        "gpu_hours_expected": slots.count * slots.gpus * expected_s / 3600,
        "gpu_hours_most": slots.count * slots.gpus * most_s / 3600,
        "checkpoint_bytes": measured.checkpoint_bytes,
        # Other search trials have theirs while they run.
        "checkpoints_kept_bytes": KEPT * kept * measured.checkpoint_bytes,
        "checkpoints_most_bytes": KEPT * (kept + slots.count) * measured.checkpoint_bytes,
    }


def _power(plan: Plan, spread: Spread | None) -> dict[str, Any]:
    if spread is not None:  # the run that it is from may have had more confirm runs a replicate, or fewer
        spread = replace(spread, sd=spread.of_seeds(plan.budget.seeds))
    facts: dict[str, Any] = {"sign_flip_floor": 2.0 ** (1 - plan.budget.replicates)}
    facts |= {"spread": None if spread is None else asdict(spread), "detectable_sd": None, "detectable": None}
    facts |= {"half": None, "equivalence": None, "assumes_equal_variances": False}
    largest = LARGEST[plan.primary.unit or "number"]
    facts["largest_difference"] = None if math.isinf(largest) else largest
    if plan.comparisons:
        replicates, comparisons = plan.budget.replicates, len(plan.comparisons)
        found_sd = detectable_difference(1.0, replicates, comparisons)
        facts["assumes_equal_variances"] = comparisons > 1
        facts |= {"detectable_sd": found_sd, "detectable": None if spread is None else found_sd * spread.sd}
        facts["half"] = {
            "detectable_sd": found_sd / 2,
            "replicates_needed": replicates_needed(found_sd / 2, 1.0, comparisons),
            "detectable_sd_of_one_comparison": detectable_difference(1.0, replicates),
            "replicates_needed_for_one_comparison": replicates_needed(found_sd / 2, 1.0),
        }
        if (margin := plan.space.smallest_effect) is not None:
            needed = None if spread is None else replicates_to_equate(margin, spread.sd, comparisons)
            largest_sd = margin / shown_margin(1.0, replicates, comparisons)
            facts["equivalence"] = {"margin": margin, "largest_sd": largest_sd, "replicates_needed": needed}
    return facts
