"""Power of the test against scipy, statsmodels and simulated studies."""

from __future__ import annotations

import math
from math import ceil

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from ablation.moderation import variance_prior
from ablation.power import (
    detectable_difference,
    power_of_test,
    replicates_needed,
    replicates_to_equate,
    shown_margin,
)
from analysis import inference
from analysis.statistics.moderated import moderated_test


@pytest.mark.parametrize("replicates", [3, 6, 10])
def test_the_detectable_difference_is_found_with_the_stated_power(replicates: int) -> None:
    difference = detectable_difference(1.0, replicates, alpha=0.05 / 4)
    draws = np.random.default_rng(0).normal(difference, 1, (40_000, replicates))
    p = stats.ttest_1samp(draws, 0, axis=1).pvalue
    assert np.mean(p < 0.05 / 4) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("replicates", [2, 5, 40])
def test_a_single_comparison_detects_what_the_t_test_does(replicates: int) -> None:
    effect_sd = detectable_difference(1.0, replicates)
    # Its two-sided power is NaN if the wrong side weighs less than 1e-16.
    found = TTestPower().power(effect_sd, replicates, 0.05 / 2, alternative="larger")
    assert found == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 4, 0.05 / 14])
@pytest.mark.parametrize("effect_sd", [0.2, 0.9, 3.0])
def test_replicates_needed_are_the_fewest_that_have_the_power(effect_sd: float, alpha: float) -> None:
    found = TTestPower().solve_power(effect_sd, alpha=alpha, power=0.8)
    assert replicates_needed(effect_sd, 1.0, alpha=alpha) == max(2, ceil(float(np.squeeze(found))))


@pytest.mark.parametrize("n", [3, 6, 20])
def test_power_and_detectable_difference_agree_with_statsmodels(n: int) -> None:
    assert power_of_test(0.8, 1.0, n) == pytest.approx(TTestPower().power(0.8, n, 0.05), abs=1e-6)
    expected = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
    assert detectable_difference(2.0, n) == pytest.approx(2 * expected, rel=1e-4)


@pytest.mark.parametrize(("n", "expected"), [(3, 11.34), (4, 5.00)])
def test_few_replicates_at_a_strict_level_are_right_where_statsmodels_is_not(n: int, expected: float) -> None:
    # TTestPower.solve_power returns 10.0 and 3.40 here.
    found = detectable_difference(1.0, n, alpha=0.05 / 12)
    assert found == pytest.approx(expected, abs=0.005)
    assert stats.nct.sf(stats.t.isf(0.05 / 24, n - 1), n - 1, found * n**0.5) == pytest.approx(0.8)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_detectable_difference_has_its_power_at_tiny_alphas_too(n: int) -> None:
    # scipy's noncentral t gives NaN for the far tail here; the power must not.
    found = detectable_difference(1.0, n, alpha=0.05 / 50)
    assert power_of_test(found, 1.0, n, alpha=0.05 / 50) == pytest.approx(0.8)


def claimed(difference: float, comparisons: int, replicates: int, studies: int, sd: float = 1.0) -> float:
    """Simulate studies with one true difference against a common reference; return how often it is claimed."""
    random = np.random.default_rng(7)
    scores_SAR = random.normal(0, sd / 2**0.5, (studies, comparisons + 1, replicates))
    scores_SAR[:, 1] += difference
    reference_S1R = np.broadcast_to(scores_SAR[:, :1], (studies, comparisons, replicates))
    found = moderated_test(inference.paired_difference(scores_SAR[:, 1:], reference_S1R))
    return float(found.significant[:, 0].mean())


@pytest.mark.parametrize(("comparisons", "replicates"), [(2, 3), (5, 3), (12, 3), (12, 5), (20, 4)])
def test_studies_claim_a_detectable_difference_as_often_as_the_plan_says(comparisons: int, replicates: int) -> None:
    difference = detectable_difference(0.02, replicates, comparisons)
    assert claimed(difference, comparisons, replicates, 2000, sd=0.02) == pytest.approx(0.8, abs=0.03)


def test_replicates_needed_by_many_comparisons_are_enough_and_one_less_is_not() -> None:
    needed = replicates_needed(2.0, 1.0, 12)
    assert claimed(2.0, 12, needed, 2000) > 0.78
    assert claimed(2.0, 12, needed - 1, 2000) < 0.8
    assert needed < replicates_needed(2.0, 1.0, alpha=0.05 / 12)


def test_borrowing_detects_less_than_half_of_what_three_replicates_did() -> None:
    assert detectable_difference(1.0, 3, 12) < 0.5 * detectable_difference(1.0, 3, alpha=0.05 / 12)
    smallest = [detectable_difference(1.0, n, 12) for n in range(2, 30)]
    assert smallest == sorted(smallest, reverse=True)


def test_variances_that_agree_detect_less_than_those_that_do_not() -> None:
    close, apart = (
        variance_prior([1.0, 1.1, 0.9, 1.0, 1.2, 0.8], 2),
        variance_prior([1.0, 50.0, 0.02, 3.0, 1e3, 0.2], 2),
    )
    assert math.isinf(float(close.df)) and float(apart.df) < 1
    priors = (close, None, close._replace(df=apart.df), close._replace(df=np.array(0.0)))
    found = [detectable_difference(1.0, 3, 6, prior=prior) for prior in priors]
    assert found == sorted(found)
    assert found[-1] == pytest.approx(detectable_difference(1.0, 3, alpha=0.05 / 6))


def test_power_given_a_prior_is_that_of_studies_which_share_it() -> None:
    # The others' variances are far more precise than one comparison's, so what is borrowed is the same in every study.
    random = np.random.default_rng(1)
    comparisons, n, difference = 9, 4, 2.5
    prior = variance_prior(np.ones(comparisons), n - 1)
    draws_SR = random.normal(difference, 1.0, (40_000, n))
    own_S, share = draws_SR.var(axis=1, ddof=1), 0.8 * 2
    used_S = np.maximum((share + own_S) / (share + 1), own_S)
    t_S = draws_SR.mean(axis=1) / np.sqrt(used_S / n)
    p_S = 2 * stats.t.sf(np.abs(t_S), (n - 1) * (1 + share))
    expected = float(np.mean(p_S <= 0.05 / comparisons))
    assert power_of_test(difference, 1.0, n, comparisons, prior=prior) == pytest.approx(expected, abs=0.01)


def test_replicates_needed_is_the_first_number_with_enough_power() -> None:
    n = replicates_needed(1.0, 1.0)
    assert n == 10
    assert power_of_test(1.0, 1.0, n) >= 0.8 > power_of_test(1.0, 1.0, n - 1)
    assert replicates_needed(100.0, 1.0) == 2


def test_no_number_of_replicates_detects_nothing() -> None:
    with pytest.raises(ValueError, match="within reach of 100000 replicates"):
        replicates_needed(0.0, 1.0)


def test_a_single_pair_or_no_spread_is_refused() -> None:
    with pytest.raises(ValueError, match="n is 1"):
        detectable_difference(1.0, 1)
    with pytest.raises(ValueError, match="sd is 0"):
        power_of_test(1.0, 0.0, 5)


@pytest.mark.parametrize(("comparisons", "replicates"), [(1, 3), (1, 10), (6, 4), (12, 3)])
def test_equal_arms_are_shown_to_be_so_as_often_as_the_plan_says(comparisons: int, replicates: int) -> None:
    margin = shown_margin(1.0, replicates, comparisons)
    scores_SAR = np.random.default_rng(5).normal(0, 0.5**0.5, (2000, comparisons + 1, replicates))
    reference_S1R = np.broadcast_to(scores_SAR[:, :1], (2000, comparisons, replicates))
    found = moderated_test(inference.paired_difference(scores_SAR[:, 1:], reference_S1R), margin)
    # The first step is the strictest; where others have been shown before, the last may be shown more often.
    adjusted_SC = found.p_equivalent if comparisons == 1 else _first_step(scores_SAR, margin) * comparisons
    assert np.mean(adjusted_SC <= 0.05) == pytest.approx(0.8, abs=0.04)


def _first_step(scores_SAR: np.ndarray, margin: float) -> np.ndarray:
    plain = inference.paired_difference(scores_SAR[:, 1:], np.broadcast_to(scores_SAR[:, :1], scores_SAR[:, 1:].shape))
    tested = moderated_test(plain)
    error_SC = tested.sd / np.sqrt(plain.n)
    return np.asarray(stats.t.sf((margin - np.abs(plain.difference)) / error_SC, tested.df))


def test_replicates_to_equate_are_the_fewest_that_show_the_margin() -> None:
    needed = replicates_to_equate(1.5, 1.0, 8)
    assert needed is not None
    assert shown_margin(1.0, needed, 8) <= 1.5 < shown_margin(1.0, needed - 1, 8)


def test_a_margin_that_no_number_within_reach_shows_has_none() -> None:
    # Equal arms are shown to be so by z of 0.95 and of 0.9 on both sides: (1.645 + 1.282) / sqrt(100,000) = 0.009255.
    assert replicates_to_equate(0.0092, 1.0) is None
    assert 65_536 < (replicates_to_equate(0.0094, 1.0) or 0) < 100_000
