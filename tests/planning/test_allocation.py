"""What a number of hours allows: as many replicates as fit, and which way of spending them detects least."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablation.console.power_text import allocations_in_words
from ablation.plan import Plan
from ablation.planning.allocation import Allocation, allocations, hours_faults
from ablation.planning.effort import START_UP_S, effort
from ablation.power import detectable_difference
from ablation.spread import Spread, spread_from
from ablation.variance_components import variance_components
from tests.support.plain_loop import run_study
from tests.toy_study import toy_plan

EPOCH_S, SLOTS = 10.0, 2


def with_budget(plan: Plan, **changes: int) -> Plan:
    return plan.model_copy(update={"budget": plan.budget.model_copy(update=changes)})


def hours_of(plan: Plan, way: Allocation) -> float:
    asked = with_budget(plan, replicates=way.replicates, seeds=way.seeds, trials=way.trials)
    return (START_UP_S + effort(asked).epochs_expected * EPOCH_S / SLOTS) / 3600


def test_each_way_fills_the_hours_and_detects_what_its_spread_allows() -> None:
    plan, spread = toy_plan(), Spread(0.2, "a run", between_sd=0.1, within_sd=0.17)
    ways = allocations(plan, EPOCH_S, SLOTS, 4.0, spread)
    assert [way.seeds for way in ways if way.trials == plan.budget.trials] == [1, 2, 3, 4]
    for way in ways:
        assert way.hours == pytest.approx(hours_of(plan, way)) and way.hours <= 4.0
        more = Allocation(way.replicates + 1, way.seeds, way.trials, 0.0, 0.0)
        assert hours_of(plan, more) > 4.0
        sd = math.sqrt(0.1**2 + 0.17**2 / way.seeds)
        assert way.detectable == pytest.approx(detectable_difference(sd, way.replicates, len(plan.comparisons)))


def test_what_detects_least_with_the_planned_trials_is_advised() -> None:
    plan = toy_plan()
    ways = allocations(plan, EPOCH_S, SLOTS, 4.0, Spread(0.2, "a run", between_sd=0.1, within_sd=0.17))
    (advised,) = [way for way in ways if way.is_advised]
    planned = [way for way in ways if way.trials == plan.budget.trials]
    assert advised.detectable == min(way.detectable for way in planned)
    assert {way.trials for way in ways} == {plan.budget.trials // 2, plan.budget.trials, 2 * plan.budget.trials}


@pytest.mark.parametrize(("between", "within", "seeds"), [(1.0, 0.0, 1), (0.0, 1.0, 4)], ids=["search", "seed"])
def test_more_seeds_pay_only_if_seeds_make_the_spread(between: float, within: float, seeds: int) -> None:
    plan = with_budget(toy_plan(), trials=9)  # a search costs far more than a confirm run
    ways = allocations(plan, EPOCH_S, SLOTS, 6.0, Spread(1.0, "a run", between_sd=between, within_sd=within))
    assert [way.seeds for way in ways if way.is_advised] == [seeds]


@pytest.mark.parametrize("spread", [None, Spread(0.3, "stated")])
def test_without_a_split_the_planned_seeds_stay(spread: Spread | None) -> None:
    plan = with_budget(toy_plan(), seeds=2)
    ways = allocations(plan, EPOCH_S, SLOTS, 4.0, spread)
    assert {way.seeds for way in ways} == {2}
    (way,) = [way for way in ways if way.is_advised]
    sd = 1.0 if spread is None else 0.3
    assert way.detectable == pytest.approx(detectable_difference(sd, way.replicates, len(plan.comparisons)))


def test_hours_that_allow_no_two_replicates_say_so() -> None:
    assert allocations(toy_plan(), 3600.0, 1, 1.0, None) == []
    assert "no two replicates of these arms fit" in allocations_in_words(found([], None))[0]


def test_other_numbers_of_trials_are_only_those_that_a_plan_takes() -> None:
    plan = with_budget(toy_plan(), trials=4)
    points = ({"toy.offset": 0.0}, {"toy.offset": 0.5}, {"toy.offset": -0.5})
    begun = plan.model_copy(update={"space": plan.space.model_copy(update={"first_points": points})})
    grid = plan.model_copy(update={"budget": plan.budget.model_copy(update={"sampler": "grid"})})
    for asked, trials in ((plan, {2, 4, 8}), (begun, {4, 8}), (grid, {4})):
        assert {way.trials for way in allocations(asked, EPOCH_S, SLOTS, 6.0, None)} == trials


def found(ways: list[Allocation], spread: Spread | None) -> Mapping[str, Any]:
    return {
        "allocations": [asdict(way) for way in ways],
        "hours": 8.0,
        "spread": None if spread is None else asdict(spread),
        "metric": "accuracy",
        "largest_difference": 1.0,
        "budget": {"trials": 6},
    }


def test_the_advice_comes_first_and_other_trials_name_what_they_assume() -> None:
    ways = [Allocation(9, 1, 6, 7.9, 0.031), Allocation(8, 2, 6, 7.8, 0.028, True), Allocation(14, 2, 3, 7.9, 0.02)]
    assert allocations_in_words(found(ways, Spread(0.1, "a run", 0.05, 0.08))) == [
        "in 8 h: 8 replicates × (6 search + 2 confirm) detect least, 0.028 accuracy",
        "  9 replicates × (6 search + 1 confirm): 0.031",
        "  14 replicates × (3 search + 2 confirm): 0.02, if arms are tuned as well as with 6 trials",
    ]
    assert "--seeds 2" in allocations_in_words(found(ways, None))[-1]


def test_a_share_that_would_have_to_differ_by_more_than_all_is_said_to() -> None:
    ways = [Allocation(9, 1, 6, 7.9, 1.31, True)]
    said = allocations_in_words(found(ways, Spread(0.4, "a run")))[0]
    assert said.endswith("(6 search + 1 confirm) detect least, 1.31 accuracy (no two values differ by so much)")
    assert "no two values" not in allocations_in_words(found(ways, None))[0]  # which is in standard deviations


def test_the_spread_of_a_run_with_two_seeds_is_split(tmp_path: Any) -> None:
    plan = with_budget(toy_plan(), seeds=2)
    paths = run_study(plan, tmp_path / "toy")
    spread = spread_from(paths.root, plan)
    trials = pd.read_parquet(paths.trials).query("phase == 'confirm'")
    scores = {
        arm: rows.pivot(index="replicate", columns="index", values="metric.test_score")
        for arm, rows in trials.groupby("arm")
    }
    known = variance_components(np.stack([scores[arm] - scores[against] for arm, against in plan.comparisons]))
    assert known is not None and spread.between_sd is not None and spread.within_sd is not None
    assert (spread.between_sd**2, spread.within_sd**2) == pytest.approx((known.between, known.within))
    one = run_study(toy_plan(), tmp_path / "one")
    assert spread_from(one.root, toy_plan()).within_sd is None


def test_hours_are_a_positive_number_and_for_plans() -> None:
    assert hours_faults(None, is_for_plan=False) == [] == hours_faults(8.0, is_for_plan=True)
    assert "--max-hours" in hours_faults(8.0, is_for_plan=False)[0]
    assert all(
        "must be a number > 0" in hours_faults(bad, is_for_plan=True)[0] for bad in (0.0, -1.0, math.inf, math.nan)
    )
