"""Power of the paired t test against scipy, statsmodels and simulation; the spread of an earlier run."""

from __future__ import annotations

from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from ablation.faults import FaultsError
from ablation.power import (
    SpreadAsked,
    detectable_difference,
    power_of_paired_t,
    replicates_needed,
    spread_from,
    stated_spread,
)
from search_spaces.metrics import Metric
from tests.support.plain_loop import run_study
from tests.toy_study import toy_plan


@pytest.mark.parametrize("replicates", [3, 6, 10])
def test_the_detectable_difference_is_found_with_the_stated_power(replicates: int) -> None:
    draws = np.random.default_rng(0).normal(detectable_difference(1.0, replicates, 0.05 / 4), 1, (40_000, replicates))
    p = stats.ttest_1samp(draws, 0, axis=1).pvalue
    assert np.mean(p < 0.05 / 4) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("comparisons", [1, 14])
@pytest.mark.parametrize("replicates", [2, 5, 40])
def test_the_detectable_difference_is_that_of_the_t_test(replicates: int, comparisons: int) -> None:
    effect_sd = detectable_difference(1.0, replicates, 0.05 / comparisons)
    # Its two-sided power is NaN if the wrong side weighs less than 1e-16.
    found = TTestPower().power(effect_sd, replicates, 0.05 / comparisons / 2, alternative="larger")
    assert found == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("comparisons", [1, 4, 14])
@pytest.mark.parametrize("effect_sd", [0.2, 0.9, 3.0])
def test_replicates_needed_are_the_fewest_that_have_the_power(effect_sd: float, comparisons: int) -> None:
    found = TTestPower().solve_power(effect_sd, alpha=0.05 / comparisons, power=0.8)
    assert replicates_needed(effect_sd, 1.0, 0.05 / comparisons) == max(2, ceil(float(np.squeeze(found))))


@pytest.mark.parametrize("n", [3, 6, 20])
def test_power_and_detectable_difference_agree_with_statsmodels(n: int) -> None:
    assert power_of_paired_t(0.8, 1.0, n) == pytest.approx(TTestPower().power(0.8, n, 0.05), abs=1e-6)
    expected = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
    assert detectable_difference(2.0, n) == pytest.approx(2 * expected, rel=1e-4)


@pytest.mark.parametrize(("n", "expected"), [(3, 11.34), (4, 5.00)])
def test_few_replicates_at_a_strict_level_are_right_where_statsmodels_is_not(n: int, expected: float) -> None:
    # TTestPower.solve_power returns 10.0 and 3.40 here.
    found = detectable_difference(1.0, n, 0.05 / 12)
    assert found == pytest.approx(expected, abs=0.005)
    assert stats.nct.sf(stats.t.isf(0.05 / 24, n - 1), n - 1, found * n**0.5) == pytest.approx(0.8)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_detectable_difference_has_its_power_at_tiny_alphas_too(n: int) -> None:
    # scipy's noncentral t gives NaN for the far tail here; the power must not.
    found = detectable_difference(1.0, n, alpha=0.05 / 50)
    assert power_of_paired_t(found, 1.0, n, alpha=0.05 / 50) == pytest.approx(0.8)


def test_replicates_needed_is_the_first_number_with_enough_power() -> None:
    n = replicates_needed(1.0, 1.0)
    assert n == 10
    assert power_of_paired_t(1.0, 1.0, n) >= 0.8 > power_of_paired_t(1.0, 1.0, n - 1)
    assert replicates_needed(100.0, 1.0) == 2


def test_no_number_of_replicates_detects_nothing() -> None:
    with pytest.raises(ValueError, match="within reach of 100000 replicates"):
        replicates_needed(0.0, 1.0)


def test_a_single_pair_or_no_spread_is_refused() -> None:
    with pytest.raises(ValueError, match="n is 1"):
        detectable_difference(1.0, 1)
    with pytest.raises(ValueError, match="sd is 0"):
        power_of_paired_t(1.0, 0.0, 5)


def test_spread_of_an_earlier_run_is_pooled_over_its_comparisons(tmp_path: Path) -> None:
    plan = toy_plan()
    plan = plan.model_copy(update={"budget": plan.budget.model_copy(update={"seeds": 2})})
    paths = run_study(plan, tmp_path / "toy")
    trials = pd.read_parquet(paths.trials)
    # One trial of one replicate did not complete: the replicate has no value, its pair does not count.
    is_lost = trials["trial_id"] == "baseline/1/confirm/0"
    trials.loc[is_lost, "status"] = "failed"
    trials.to_parquet(paths.trials)
    found = spread_from(paths.root, plan)
    confirmed = trials[trials["phase"] == "confirm"]
    means = confirmed.pivot_table(index="replicate", columns="arm", values="metric.test_score")
    means.loc[1, "baseline"] = np.nan
    differences = means.sub(means["reference"], axis=0).drop(columns="reference")
    freedom = differences.count() - 1
    assert found.sd == pytest.approx(np.sqrt((differences.var() * freedom).sum() / freedom.sum()))
    assert "11 pairs of 4 comparisons" in found.source and str(paths.root) in found.source


def test_a_run_without_spread_is_told(tmp_path: Path) -> None:
    plan = toy_plan()
    with pytest.raises(FaultsError, match="is no run directory"):
        spread_from(tmp_path / "nowhere", plan)
    paths = run_study(plan, tmp_path / "toy", most_epochs=5)
    with pytest.raises(FaultsError, match="no test scores of 'score'"):
        spread_from(paths.root, plan)
    paths = run_study(plan, tmp_path / "toy")
    with pytest.raises(FaultsError, match="no test scores of 'scores'; did you mean 'score'"):
        space = plan.space.model_copy(update={"metrics": (Metric(name="scores"),)})
        spread_from(paths.root, plan.model_copy(update={"space": space, "metric": "scores"}))
    trials = pd.read_parquet(paths.trials)
    trials[trials["replicate"] == 0].to_parquet(paths.trials)
    with pytest.raises(FaultsError, match="no declared comparison with two finished replicates"):
        spread_from(paths.root, plan)
    paths.trials.write_bytes(b"no table")
    with pytest.raises(FaultsError, match="--spread-from"):
        spread_from(paths.root, plan)


@pytest.mark.parametrize("sd", [0.0, -1.0, float("nan"), float("inf")])
def test_a_stated_spread_is_a_positive_number(sd: float) -> None:
    with pytest.raises(FaultsError, match="must be a number > 0"):
        stated_spread(sd)


def test_a_spread_is_asked_for_once_and_with_a_plan_only() -> None:
    both = SpreadAsked(-1.0, Path("earlier"))
    assert [fault.split(";")[0] for fault in both.faults(is_for_plan=False)] == [
        "--spread and --spread-from are for --plan",
        "--spread and --spread-from both give a spread",
        "--spread is -1, but must be a number > 0: the standard deviation of differences between two arms, in the "
        "metric's unit",
    ]
    assert SpreadAsked(None, None).faults(is_for_plan=False) == []
