"""A plan: seeds, effort and what it can detect."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ablation.plan import Plan, detectable_effect, effort
from ablation.seeds import derive_seed
from tests.toy_study import toy_plan


def test_arms_share_seeds_and_nothing_else_does() -> None:
    trials = list(toy_plan().trials())
    seeds: dict[tuple[int, str, int], set[int]] = {}
    for trial in trials:
        seeds.setdefault((trial.replicate, trial.phase, trial.index), set()).add(trial.seed)
    assert all(len(shared) == 1 for shared in seeds.values())
    assert len(set.union(*seeds.values())) == len(seeds)


def test_every_arm_and_replicate_gets_the_same_effort() -> None:
    plan = toy_plan()
    trials = list(plan.trials())
    assert len(trials) == plan.trial_count == len({trial.trial_id for trial in trials})
    counts = {
        (arm.name, replicate): sum(trial.arm == arm.name and trial.replicate == replicate for trial in trials)
        for arm in plan.arms
        for replicate in range(plan.budget.replicates)
    }
    assert set(counts.values()) == {plan.budget.trials + plan.budget.seeds}


@pytest.mark.parametrize(
    ("grace", "factor", "epochs", "rungs"), [(1, 3, 243, (1, 3, 9, 27, 81)), (3, 3, 9, (3,)), (5, 2, 5, ())]
)
def test_rungs_are_whole_powers_below_the_full_length(
    grace: int, factor: int, epochs: int, rungs: tuple[int, ...]
) -> None:
    assert _with_budget(grace_epochs=grace, reduction_factor=factor, epochs=epochs).rungs == rungs


def test_expected_effort_lies_between_survivors_only_and_no_stopping() -> None:
    plan = toy_plan()
    found = effort(plan)
    searches = len(plan.arms) * plan.budget.replicates
    assert found.epochs_most == searches * (plan.budget.trials + plan.budget.seeds) * plan.budget.epochs
    least = searches * (plan.budget.epochs + (plan.budget.trials - 1) * plan.budget.grace_epochs)
    assert least < found.epochs_expected < found.epochs_most
    no_stopping = _with_budget(grace_epochs=9)
    assert effort(no_stopping).epochs_expected == effort(no_stopping).epochs_most


@pytest.mark.parametrize("replicates", [3, 6, 10])
def test_the_detectable_difference_is_found_with_the_stated_power(replicates: int) -> None:
    plan = _with_budget(replicates=replicates)
    found = detectable_effect(plan)
    assert found is not None
    draws = np.random.default_rng(0).normal(found, 1, (40_000, replicates))
    p = stats.ttest_1samp(draws, 0, axis=1).pvalue
    assert np.mean(p < 0.05 / len(plan.comparisons)) == pytest.approx(0.8, abs=0.01)


def test_derived_seeds_are_the_same_everywhere_and_differ_by_any_part() -> None:
    assert derive_seed(0, "search", 1) == 7270598584162995374
    assert len({derive_seed(0, "a"), derive_seed(1, "a"), derive_seed(0, "b"), derive_seed(0, "a", 0)}) == 4


def _with_budget(**changes: int) -> Plan:
    plan = toy_plan()
    return plan.model_copy(update={"budget": plan.budget.model_copy(update=changes)})
