"""Sizes of effects against tiny cases worked out by hand, against scipy, and against what was drawn."""

import numpy as np
import pytest
from scipy import integrate, special, stats

from analysis.statistics import effect_sizes

ARM = np.array([0.61, 0.64, 0.60, 0.66, 0.63])
AGAINST = np.array([0.60, 0.61, 0.61, 0.63, 0.60])


def test_d_z_is_mean_over_sd_of_the_differences() -> None:
    found = effect_sizes.standardised_difference([3.0, 4.0, 5.0], [2.0, 2.0, 2.0])  # differences 1, 2, 3
    assert found.d_z == pytest.approx(2.0)
    assert found.g_z == pytest.approx(2.0 * 0.5641895835477563)  # J(2) = 1/√π


@pytest.mark.parametrize("df", [2, 3, 9, 40])
def test_hedges_factor_agrees_with_its_own_definition_and_its_usual_approximation(df: int) -> None:
    exact = special.gamma(df / 2) / (np.sqrt(df / 2) * special.gamma((df - 1) / 2))
    assert effect_sizes.hedges_factor(df) == pytest.approx(exact)
    assert effect_sizes.hedges_factor(df) == pytest.approx(1 - 3 / (4 * df - 1), abs=0.02)


def test_hedges_factor_takes_the_bias_away() -> None:
    draws = np.random.default_rng(3).normal(0.8, 1.0, (40_000, 5))
    found = effect_sizes.standardised_difference(draws, np.zeros_like(draws))
    assert float(found.d_z.mean()) == pytest.approx(0.8 / float(effect_sizes.hedges_factor(4)), abs=0.01)
    assert float(found.g_z.mean()) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("sign", [1, -1])
def test_ends_of_the_standardised_interval_leave_two_and_a_half_percent_beyond_t(sign: int) -> None:
    found = effect_sizes.standardised_difference(sign * ARM, sign * AGAINST)
    t = float(found.d_z) * 5**0.5
    assert stats.nct.sf(t, 4, float(found.low) * 5**0.5) == pytest.approx(0.025, abs=1e-5)
    assert stats.nct.cdf(t, 4, float(found.high) * 5**0.5) == pytest.approx(0.025, abs=1e-5)


def test_without_spread_or_pairs_nothing_is_standardised() -> None:
    assert np.isnan(effect_sizes.standardised_difference([1.0, 2.0], [0.0, 1.0]).d_z)
    assert np.isnan(effect_sizes.standardised_difference([1.0], [0.0]).low)


def test_improvement_counts_pairs_of_replicates_and_half_of_ties() -> None:
    # 2 beats 1; 2 ties with 2; 3 beats both: (1 + 0.5 + 2) of 4.
    assert effect_sizes.probability_of_improvement([2.0, 3.0], [1.0, 2.0]).mean == pytest.approx(3.5 / 4)


def test_improvement_agrees_with_scipys_mann_whitney_and_leaves_out_nan() -> None:
    expected = stats.mannwhitneyu(ARM, AGAINST).statistic / 25
    found = effect_sizes.probability_of_improvement(np.append(ARM, np.nan), np.append(AGAINST, np.nan))
    assert found.mean == pytest.approx(expected)
    assert found.low < expected < found.high


def test_improvements_ends_solve_newcombes_equation() -> None:
    share, low, high = (float(end) for end in effect_sizes.probability_of_improvement(ARM, AGAINST))
    for theta in (low, high):
        q1, q2 = theta / (2 - theta), 2 * theta**2 / (1 + theta)
        variance = (theta * (1 - theta) + 4 * (q1 - theta**2) + 4 * (q2 - theta**2)) / 25
        assert abs(share - theta) == pytest.approx(1.959963984540054 * variance**0.5)


def test_arms_that_do_not_overlap_still_have_an_interval() -> None:
    share, low, high = effect_sizes.probability_of_improvement([3.0, 4.0, 5.0], [0.0, 1.0, 2.0])
    assert [float(share), float(high)] == [1.0, 1.0]
    assert 0.3 < low < 0.8
    turned = effect_sizes.probability_of_improvement([0.0, 1.0, 2.0], [3.0, 4.0, 5.0])
    assert float(turned.high) == pytest.approx(1 - float(low))


def test_improvements_interval_covers_what_was_drawn() -> None:
    random = np.random.default_rng(4)
    truth = integrate.quad(lambda x: stats.norm.pdf(x, 1) * stats.norm.cdf(x), -9, 9)[0]
    found = effect_sizes.probability_of_improvement(random.normal(1, 1, (4000, 8)), random.normal(0, 1, (4000, 8)))
    superseded_parts = (found.low <= truth) & (truth <= found.high)
    assert 0.93 < superseded_parts.mean() < 0.99


def test_nothing_gives_nan() -> None:
    assert np.isnan(effect_sizes.probability_of_improvement([np.nan], [1.0]).mean)
    with pytest.raises(ValueError, match="must agree"):
        effect_sizes.probability_of_improvement(np.ones((2, 3)), np.ones((3, 3)))
