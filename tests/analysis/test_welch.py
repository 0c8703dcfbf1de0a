"""Unpaired arms: Welch's t is scipy's, its power is what simulation counts, and its limits are said as NaN."""

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.welch import detectable_unpaired, repetitions_needed, unpaired_difference

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
