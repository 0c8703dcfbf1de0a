"""Every statistic against tiny cases worked out by hand, and against scipy and statsmodels."""

from itertools import product

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis import inference

SAMPLE = np.array([0.61, 0.64, 0.60, 0.66, 0.63])
OTHER = np.array([0.60, 0.61, 0.61, 0.63, 0.60])


def test_paired_difference_agrees_with_scipy() -> None:
    found = inference.paired_difference(SAMPLE, OTHER)
    expected = stats.ttest_rel(SAMPLE, OTHER)
    interval = expected.confidence_interval(0.95)
    assert found.difference == pytest.approx(float((SAMPLE - OTHER).mean()))
    assert (found.t, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_many_samples_at_once_equal_one_after_another() -> None:
    both = inference.paired_difference(np.stack([SAMPLE, OTHER]), np.stack([OTHER, SAMPLE]))
    one = inference.paired_difference(SAMPLE, OTHER)
    assert both.p == pytest.approx([float(one.p)] * 2)
    assert both.difference == pytest.approx([float(one.difference), -float(one.difference)])


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5, 0.5], [0.1 + 0.2, 0.3]])
def test_values_that_show_no_spread_give_no_interval(values: list[float]) -> None:
    found = inference.paired_difference(values, np.zeros(len(values)))
    assert found.difference == pytest.approx(values[0])
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_equal_differences_of_unequal_decimals_claim_no_certainty() -> None:
    assert np.isnan(inference.paired_difference([0.3, 0.8, 0.7], [0.2, 0.7, 0.6]).p)


def test_no_values_give_nan() -> None:
    assert np.isnan(inference.paired_difference([], []).difference)


def test_a_replicate_without_a_value_is_left_out_with_its_pair() -> None:
    holed = np.array([[0.61, np.nan, 0.60, 0.66, 0.63], [0.61, 0.64, 0.60, 0.66, 0.63]])
    both = np.array([[0.60, 0.61, 0.61, np.nan, 0.60], [0.60, 0.61, 0.61, 0.63, 0.60]])
    found = inference.paired_difference(holed, both)
    expected = stats.ttest_rel([0.61, 0.60, 0.63], [0.60, 0.61, 0.60])
    assert found.n.tolist() == [3, 5]
    assert found.p.tolist() == pytest.approx([expected.pvalue, stats.ttest_rel(SAMPLE, OTHER).pvalue])
    assert found.low[0] == pytest.approx(expected.confidence_interval(0.95).low)
    assert inference.sign_flip_p([1.0, np.nan, 2.0, 4.0]) == 2 / 8
    assert np.isnan(inference.paired_difference([np.nan, 1.0], [1.0, np.nan]).difference)


def test_unequal_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="must be equal"):
        inference.paired_difference([1.0, 2.0], [1.0])


def test_holm_by_hand() -> None:
    adjusted, rejected = inference.holm([0.01, 0.04, 0.03])
    assert adjusted == pytest.approx([0.03, 0.06, 0.06])
    assert rejected.tolist() == [True, False, False]


def test_holm_agrees_with_statsmodels() -> None:
    p = np.random.default_rng(0).uniform(0, 0.1, 12)
    assert inference.holm(p)[0] == pytest.approx(multipletests(p, method="holm")[1])


def test_holm_over_many_studies_is_holm_over_each() -> None:
    p_SC = np.random.default_rng(5).uniform(0, 0.2, (40, 7))
    p_SC[::3, 2] = p_SC[::3, 4]  # ties
    adjusted_SC, rejected_SC = inference.holm(p_SC, alpha=0.1)
    for row, adjusted_C, rejected_C in zip(p_SC, adjusted_SC, rejected_SC, strict=True):
        reject, expected, _, _ = multipletests(row, alpha=0.1, method="holm")
        assert adjusted_C == pytest.approx(expected)
        assert rejected_C.tolist() == reject.tolist()


def test_an_unknown_p_is_never_rejected_but_lengthens_the_list() -> None:
    adjusted, rejected = inference.holm([0.02, np.nan])
    assert adjusted[0] == pytest.approx(0.04)
    assert np.isnan(adjusted[1])
    assert rejected.tolist() == [True, False]


def test_holm_of_nothing_is_nothing() -> None:
    assert inference.holm([])[0].size == 0


def test_sign_flips_by_hand() -> None:
    # Of the 8 signed sums of 1, 2, 4 only +7 and -7 are as far out as 7; of 1, -2, 4 the sum 3 is reached by 6.
    assert inference.sign_flip_p([1.0, 2.0, 4.0]) == 2 / 8
    assert inference.sign_flip_p([1.0, -2.0, 4.0]) == 6 / 8
    assert inference.sign_flip_p([0.0, 0.0]) == 1.0
    assert np.isnan(inference.sign_flip_p([]))


def test_sign_flips_agree_with_plain_enumeration_and_with_scipy() -> None:
    differences = np.round(np.random.default_rng(1).normal(0.3, 1, 9), 2)
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in product((1, -1), repeat=9)]
    expected = np.mean([value >= abs(differences.sum()) - 1e-9 for value in sums])
    assert inference.sign_flip_p(differences) == expected
    by_scipy = stats.permutation_test(
        (differences, np.zeros(9)), lambda a, b: (a - b).mean(), permutation_type="samples"
    )
    assert inference.sign_flip_p(differences) == pytest.approx(by_scipy.pvalue)


def test_sign_flip_floor_is_what_equal_signs_reach() -> None:
    for n in (1, 2, 3, 6, 10):
        assert inference.sign_flip_p(np.arange(1, n + 1.0)) == inference.sign_flip_floor(n)
    assert inference.sign_flip_floor(0) == 1.0


def test_too_many_sign_flips_are_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError, match="at most 44"):
        inference.sign_flip_p(np.ones(45))
