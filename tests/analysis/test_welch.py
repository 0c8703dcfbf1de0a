"""Unpaired arms: Welch's t is scipy's, its power is what simulation counts, and its limits are said as NaN."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_ind

from analysis.statistics.welch import (
    detectable_unpaired,
    equivalence_p,
    repetitions_needed,
    repetitions_to_equate,
    unpaired_difference,
)

FIRST, SECOND = [87.1, 88.0, 86.9, 87.7], [82.0, 84.9, 80.1, 83.3, 85.7]


def test_it_is_scipys_welch_test_with_its_interval() -> None:
    found, known = unpaired_difference(FIRST, SECOND), stats.ttest_ind(FIRST, SECOND, equal_var=False)
    ends = known.confidence_interval(0.95)
    assert [float(x) for x in (found.t, found.p, found.df)] == pytest.approx([known.statistic, known.pvalue, known.df])
    assert [float(found.low), float(found.high)] == pytest.approx([ends.low, ends.high])
    assert int(found.n) == 4


def test_a_missing_repetition_is_left_out_of_its_own_arm_alone() -> None:
    holed = unpaired_difference([*FIRST, np.nan], SECOND)
    assert float(holed.p) == pytest.approx(float(unpaired_difference(FIRST, SECOND).p))


def test_many_comparisons_at_once_are_as_one_by_one() -> None:
    both = unpaired_difference(np.array([SECOND[:4], FIRST]), np.array([FIRST, SECOND[1:]]))
    assert both.p.tolist() == pytest.approx(
        [float(unpaired_difference(SECOND[:4], FIRST).p), float(unpaired_difference(FIRST, SECOND[1:]).p)]
    )


@pytest.mark.parametrize(
    ("arm", "against"), [([1.0], [1.0, 2.0]), ([0.3, 0.3], [0.1, 0.1]), ([np.nan] * 2, [1.0, 2.0])]
)
def test_without_noise_to_go_by_there_is_no_test(arm: list[float], against: list[float]) -> None:
    found = unpaired_difference(arm, against)
    assert np.isnan([found.low, found.high, found.t, found.p]).all()
    assert np.isnan(detectable_unpaired(found))


def test_one_arm_without_spread_leaves_the_others_degrees_of_freedom() -> None:
    found = unpaired_difference([0.5, 0.5, 0.5], [0.1, 0.2, 0.3])
    assert float(found.df) == pytest.approx(2) and float(found.difference) == pytest.approx(0.3)


def test_as_many_repetitions_as_it_asks_for_find_the_difference_in_four_of_five_experiments() -> None:
    sds, difference, random = (0.6, 1.9), 2.0, np.random.default_rng(20)
    n = repetitions_needed(difference, sds)
    power = {
        n: float((unpaired_difference(difference + sds[0] * arm, sds[1] * other).p < 0.05).mean())
        for n in (n - 1, n)
        for arm, other in [random.normal(size=(2, 40_000, n))]
    }
    assert power[n] == pytest.approx(0.8, abs=0.03) and power[n] > power[n - 1]


def test_the_detectable_difference_needs_the_repetitions_there_were() -> None:
    found = unpaired_difference(FIRST, SECOND[:4])
    detectable = float(detectable_unpaired(found, 0.05 / 6))
    sds = (float(found.sds[0]), float(found.sds[1]))
    assert repetitions_needed(detectable * 1.001, sds, 0.05 / 6) == 4
    assert repetitions_needed(detectable * 0.999, sds, 0.05 / 6) == 5


@pytest.mark.parametrize("margin", [0.5, 4.0, 9.0])
def test_two_one_sided_tests_are_those_of_statsmodels(margin: float) -> None:
    for arm, against in ((FIRST, SECOND), (SECOND, FIRST)):
        known, *_ = ttost_ind(np.array(arm), np.array(against), -margin, margin, usevar="unequal")
        assert float(equivalence_p(unpaired_difference(arm, against), margin)) == pytest.approx(known)


def test_arms_that_differ_by_the_margin_are_called_equal_in_one_of_twenty_experiments_at_most() -> None:
    arm, other = np.random.default_rng(21).normal(size=(2, 20_000, 6))
    found = unpaired_difference(1.0 + 0.6 * arm, 0.4 * other)
    assert float((equivalence_p(found, 1.0) < 0.05).mean()) == pytest.approx(0.05, abs=0.005)


def test_as_many_repetitions_as_it_asks_for_show_equal_arms_to_be_so_in_four_of_five_experiments() -> None:
    sds, margin, random = (0.6, 1.9), 1.5, np.random.default_rng(22)
    n = repetitions_to_equate(margin, sds)
    assert n is not None
    arm, other = random.normal(size=(2, 40_000, n))
    shown = equivalence_p(unpaired_difference(sds[0] * arm, sds[1] * other), margin) < 0.05
    assert float(shown.mean()) == pytest.approx(0.8, abs=0.03)
    assert repetitions_to_equate(1e-9, sds) is None
