"""The moderated paired t against a case worked out by hand, a second implementation, and what it must reduce to."""

import math

import numpy as np
import pytest
from scipy import special, stats

from ablation.moderation import borrowed_df, inverse_trigamma, moderated, variance_prior
from analysis import inference
from analysis.statistics.moderated import moderated_test
from tests.support import plain_moderation


def paired(samples_CR: np.ndarray) -> inference.Paired:
    return inference.paired_difference(samples_CR, np.zeros_like(samples_CR))


def samples(comparisons: int, replicates: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    sd_C = np.exp(0.6 * random.standard_normal(comparisons))
    return random.normal(0, 1, (comparisons, replicates)) * sd_C[:, None] + random.normal(0, 2, comparisons)[:, None]


def test_the_prior_of_two_variances_by_hand() -> None:
    # d = 2: psi'(1) = π²/6. Logs ±x scatter by 2x², and 2x² − π²/6 = π²/6 asks for d0 = 2.
    x = math.pi / math.sqrt(6)
    prior = variance_prior([math.exp(x), math.exp(-x)], [2, 2])
    assert float(prior.df) == pytest.approx(2.0)
    assert float(prior.variance) == pytest.approx(math.cosh(x))
    assert float(prior.scatter) == pytest.approx(math.pi**2 / 3)
    assert float(prior.expected) == pytest.approx(math.pi**2 / 6)


def test_a_comparison_of_two_by_hand() -> None:
    # Differences ±1 and ±3 around 5: variances 2 and 18 with one degree of freedom each. Logs scatter by
    # log(9)²/2 = 2.41, below psi'(1/2) = π²/2: d0 is infinite, s0² = 10, and 0.8 · (√2 − 1) = 0.3314 is borrowed.
    found = moderated_test(paired(np.array([[4.0, 6.0], [2.0, 8.0]])))
    assert math.isinf(float(found.prior.df))
    assert found.df == pytest.approx([1.331371] * 2, abs=1e-6)
    assert found.sd**2 == pytest.approx([(0.331371 * 10 + 2) / 1.331371, 18.0], abs=1e-5)
    p = 2 * stats.t.sf(5 / math.sqrt(3.991156 / 2), 1.331371)
    assert found.p[0] == pytest.approx(p, abs=1e-6)
    assert found.p_holm[0] == pytest.approx(2 * p, abs=1e-6)
    # Left alone, the second borrows nothing: its own paired t, t = 5 / 3 with one degree of freedom.
    alone = 1 - 2 / math.pi * math.atan(5 / 3)
    assert found.p_holm[1] == pytest.approx(max(2 * p, alone), abs=1e-6)


def test_equal_variances_have_nothing_but_chance_to_scatter_them() -> None:
    prior = variance_prior([0.5, 0.5, 0.5], [2, 2, 2])
    assert float(prior.df) == math.inf
    assert float(prior.variance) == pytest.approx(0.5)


def test_variances_are_drawn_to_their_mean_weighted_by_degrees_of_freedom() -> None:
    assert float(variance_prior([1.0, 4.0], [1, 5]).variance) == pytest.approx(21 / 6)


@pytest.mark.parametrize("seed", range(5))
def test_the_prior_agrees_with_a_second_implementation(seed: int) -> None:
    random = np.random.default_rng(seed)
    df_C = random.integers(1, 9, 12)
    variance_C = np.exp(random.normal(-7, 0.2 + seed, 12)) * random.chisquare(df_C) / df_C
    prior = variance_prior(variance_C, df_C)
    expected = plain_moderation.prior(variance_C.tolist(), df_C.tolist())
    assert (float(prior.variance), float(prior.df)) == pytest.approx(expected, rel=1e-9)


def test_the_prior_finds_what_was_planted() -> None:
    # Variances of 20,000 comparisons from Smyth's model itself: s0² d0 / χ²(d0), seen with 4 degrees of freedom.
    random = np.random.default_rng(3)
    truth_C = 0.2 * 6 / random.chisquare(6, 20_000)
    prior = variance_prior(truth_C * random.chisquare(4, 20_000) / 4, np.full(20_000, 4))
    assert float(prior.df) == pytest.approx(6, rel=0.1)
    assert float(prior.variance) == pytest.approx(truth_C.mean(), rel=0.03)


@pytest.mark.parametrize("value", [1e-6, 0.01, 1.0, 50.0, 1e6])
def test_trigamma_is_inverted(value: float) -> None:
    assert special.polygamma(1, float(inverse_trigamma(value))) == pytest.approx(value)


def test_what_has_no_variance_lends_none() -> None:
    alone = variance_prior([1.0, 2.0, 4.0], [5, 5, 5])
    beside = variance_prior([1.0, 0.0, 2.0, np.nan, 4.0, 7.0], [5, 5, 5, 5, 5, 0])
    for mine, other in zip(alone, beside, strict=True):
        assert mine == pytest.approx(other)


def test_little_is_borrowed_by_few() -> None:
    shares = [float(borrowed_df(math.inf, 1, comparisons)) for comparisons in range(1, 31)]
    assert shares[0] == 0 and shares == sorted(shares)
    assert shares[3] == pytest.approx(0.8) and shares[15] == pytest.approx(2.4)
    assert float(borrowed_df(0.7, 10, 30)) == 0.7


def test_nobody_gets_less_than_the_own_variance() -> None:
    prior = variance_prior([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 9.0], np.full(8, 4))
    variance, df = moderated([0.5, 9.0], [4, 4], prior, 8)
    assert variance[1] == 9.0
    assert 0.5 < variance[0] < prior.variance
    assert (df > 4).all()


@pytest.mark.parametrize(("comparisons", "replicates"), [(2, 3), (4, 3), (7, 2), (12, 3), (12, 6), (20, 4)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tests_agree_with_a_second_implementation(comparisons: int, replicates: int, seed: int) -> None:
    samples_CR = samples(comparisons, replicates, seed)
    found = moderated_test(paired(samples_CR))
    assert found.p_holm == pytest.approx(plain_moderation.adjusted(samples_CR.tolist()), rel=1e-9)
    s0, d0 = plain_moderation.prior(samples_CR.var(axis=1, ddof=1).tolist(), [replicates - 1] * comparisons)
    for index, sample_R in enumerate(samples_CR):
        p, low, high = plain_moderation.p_and_ends(
            sample_R.mean(), sample_R.var(ddof=1), replicates, s0, d0, comparisons
        )
        assert (found.p[index], found.low[index], found.high[index]) == pytest.approx((p, low, high), rel=1e-9)


def test_a_single_comparison_is_the_plain_paired_t() -> None:
    plain = paired(samples(1, 4, 8))
    found = moderated_test(plain)
    assert found.p == pytest.approx(plain.p) and found.p_holm == pytest.approx(plain.p)
    assert found.low == pytest.approx(plain.low)
    assert found.sd == pytest.approx(plain.sd)


def test_variances_far_apart_lend_little() -> None:
    random = np.random.default_rng(0)
    plain = paired(random.normal(1, 1, (6, 5)) * 10.0 ** np.arange(-6, 6, 2)[:, None])
    found = moderated_test(plain)
    assert float(found.prior.df) < 0.4
    assert found.df == pytest.approx(4, abs=0.4)


def test_missing_pairs_count_by_comparison() -> None:
    samples_CR = samples(9, 5, 4)
    lost = [(0, 1), (0, 2), (0, 3), (4, 0), (7, 0), (7, 1), (7, 2), (7, 3), (7, 4), (8, 1), (8, 2), (8, 3), (8, 4)]
    for comparison, replicate in lost:
        samples_CR[comparison, replicate] = np.nan
    found = moderated_test(paired(samples_CR))
    known = [[value for value in row if not math.isnan(value)] for row in samples_CR.tolist()]
    assert found.p_holm == pytest.approx(plain_moderation.adjusted(known), nan_ok=True)
    assert np.isnan(found.p_holm).tolist() == [False] * 7 + [True] * 2
    assert np.isnan([*found.low[7:], *found.p[7:], *found.sd[7:], *found.df[7:]]).all()
    assert found.df[0] == pytest.approx(1 + borrowed_df(found.prior.df, 1, 7))


def test_what_cannot_be_tested_lengthens_the_list_and_lends_nothing() -> None:
    samples_CR = samples(8, 3, 5)
    samples_CR[2] = 0.25
    found = moderated_test(paired(samples_CR))
    others = moderated_test(paired(np.delete(samples_CR, 2, axis=0)))
    assert np.isnan(found.p_holm[2]) and not found.significant[2]
    assert np.delete(found.p, 2) == pytest.approx(others.p)
    smallest = int(np.nanargmin(found.p_holm))
    assert found.p_holm[smallest] == pytest.approx(min(1.0, 8 * found.p[smallest]))


def test_studies_at_once_are_each_as_alone() -> None:
    samples_SCR = np.stack([samples(6, 4, seed) for seed in range(20)])
    samples_SCR[3, 2, 1:] = np.nan
    together = moderated_test(paired(samples_SCR))
    for index, samples_CR in enumerate(samples_SCR):
        alone = moderated_test(paired(samples_CR))
        assert together.p_holm[index] == pytest.approx(alone.p_holm, nan_ok=True)
        assert together.significant[index].tolist() == alone.significant.tolist()


def test_what_is_claimed_has_an_interval_without_0() -> None:
    samples_SCR = np.stack([samples(5, 3, seed) for seed in range(2000)])
    found = moderated_test(paired(samples_SCR))
    assert found.significant.sum() > 200
    assert not (found.significant & (found.low < 0) & (found.high > 0)).any()


def test_a_level_of_another_size_claims_what_is_adjusted_below_it() -> None:
    found = moderated_test(paired(samples(12, 4, 1)), alpha=0.3)
    assert found.significant.tolist() == (found.p_holm <= 0.3).tolist()


def test_borrowing_finds_more_than_the_plain_test_under_equal_noise() -> None:
    random = np.random.default_rng(2)
    scores_SAR = random.standard_normal((800, 13, 3))
    scores_SAR[:, 1] += 4
    plain = inference.paired_difference(scores_SAR[:, 1:], np.broadcast_to(scores_SAR[:, :1], (800, 12, 3)))
    assert inference.holm(plain.p)[1][:, 0].mean() < 0.2
    assert moderated_test(plain).significant[:, 0].mean() > 0.45


def test_no_comparison_is_no_test() -> None:
    found = moderated_test(paired(np.zeros((0, 3))))
    assert found.p_holm.size == 0 and int(found.prior.lenders) == 0


def test_one_study_of_scipy() -> None:
    sample = [0.1, 0.3, 0.25]
    found = moderated_test(paired(np.array([sample])))
    assert float(found.p[0]) == pytest.approx(stats.ttest_1samp(sample, 0).pvalue)


def test_equivalence_of_a_single_comparison_is_two_one_sided_t_tests() -> None:
    sample = np.array([0.1, 0.3, 0.25, -0.05])
    found = moderated_test(paired(sample[None]), margin=0.5)
    below = stats.ttest_1samp(sample, 0.5, alternative="less").pvalue
    above = stats.ttest_1samp(sample, -0.5, alternative="greater").pvalue
    assert float(found.p_equivalent[0]) == pytest.approx(max(below, above))
    assert found.equivalent.tolist() == [max(below, above) <= 0.05]


@pytest.mark.parametrize(("comparisons", "replicates", "margin"), [(2, 3, 2.0), (12, 3, 4.0), (7, 6, 1.5)])
def test_equivalence_agrees_with_a_second_implementation(comparisons: int, replicates: int, margin: float) -> None:
    samples_CR = samples(comparisons, replicates, 2)
    found = moderated_test(paired(samples_CR), margin)
    assert found.p_equivalent == pytest.approx(plain_moderation.adjusted(samples_CR.tolist(), margin), rel=1e-9)
    assert found.equivalent.tolist() == (found.p_equivalent <= 0.05).tolist()


def test_without_a_margin_nothing_is_equal() -> None:
    found = moderated_test(paired(samples(5, 4, 2)))
    assert np.isnan(found.p_equivalent).all() and not found.equivalent.any()


def test_arms_that_differ_by_the_margin_are_rarely_called_equal_and_equal_ones_mostly() -> None:
    scores_SAR = np.random.default_rng(6).standard_normal((2000, 7, 4))
    reference_S1R = np.broadcast_to(scores_SAR[:, :1], (2000, 6, 4))
    apart = inference.paired_difference(scores_SAR[:, 1:] + 5, reference_S1R)
    assert 0.01 < moderated_test(apart, margin=5.0).equivalent.any(axis=1).mean() < 0.06
    alike = inference.paired_difference(scores_SAR[:, 1:], reference_S1R)
    assert moderated_test(alike, margin=5.0).equivalent.mean() > 0.8
