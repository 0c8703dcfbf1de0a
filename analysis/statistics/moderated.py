"""The test of a study's declared comparisons: the moderated paired t, taken down step by step like Holm's.

What a comparison borrows, and the source, is in ``ablation.moderation``: the plan needs the same rule.
Arrays end in the axis of comparisons, as ``analysis.inference.paired_difference`` returns them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ablation.moderation import Prior, moderated, variance_prior
from ablation.power import detectable_difference, replicates_needed, replicates_to_equate
from analysis.inference import ALPHA, CONFIDENCE, Array, Paired, stepped_down


class Moderated(NamedTuple):
    """What the declared comparisons of a study come to, with borrowed variance; NaN if one is not tested.

    Attributes:
        low: lower end of the interval of the difference.
        high: upper end of it.
        sd: standard deviation of single differences, with what is borrowed.
        df: degrees of freedom, own and borrowed.
        p: two-sided p, not adjusted.
        p_holm: adjusted over the whole list.
        significant: whether that is at most the level.
        p_equivalent: p of two one-sided tests against the margin, adjusted over the whole list; NaN without a margin.
        equivalent: whether that is at most the level.
        prior: what the study's variances have in common.
    """

    low: Array
    high: Array
    sd: Array
    df: Array
    p: Array
    p_holm: Array
    significant: NDArray[np.bool_]
    p_equivalent: Array
    equivalent: NDArray[np.bool_]
    prior: Prior


def moderated_test(
    paired: Paired, margin: float | None = None, alpha: float = ALPHA, confidence: float = CONFIDENCE
) -> Moderated:
    """Test a study's comparisons, each with its own number of pairs, at the family-wise level ``alpha``.

    Holm's procedure: of the comparisons still in question the one with the smallest p is claimed, if its p times their
    number is at most ``alpha``; then the rest is looked at again. Fewer in question let each borrow less, so all p are
    computed again at every step; a p never falls from one step to the next, so whatever is claimed also has an interval
    without 0. Intervals and ``p`` borrow as the first step does. A comparison without spread or with fewer than two
    pairs is never claimed, lends nothing, and counts in the length of the list.

    With a ``margin`` each is also tested for lying within ±margin, by two one-sided t tests stepped down in the same
    way: a list of its own, so that false claims of a difference have ``alpha`` to themselves, and those of equality.
    Source: Schuirmann, "A comparison of the two one-sided tests procedure and the power approach" (1987).
    """
    shape = paired.sd.shape
    studies = math.prod(shape[:-1])
    difference_SC, sd_SC, n_SC = (
        np.reshape(values, (studies, shape[-1])) for values in (paired.difference, paired.sd, paired.n)
    )
    is_tested_SC = (n_SC > 1) & (sd_SC > 0)
    tested_S = is_tested_SC.sum(axis=-1)
    prior_S = prior_of(sd_SC, n_SC)

    def error_and_df(which_S: NDArray[np.int64], in_question_S: NDArray[np.int64]) -> tuple[Array, Array]:
        variance_SC = np.where(is_tested_SC, sd_SC, np.nan)[which_S] ** 2
        prior, n = prior_S.of_studies(which_S).along_comparisons(), n_SC[which_S]
        used_SC, df_SC = moderated(variance_SC, np.maximum(n - 1, 1), prior, in_question_S[:, None])
        return np.sqrt(used_SC / np.maximum(n, 1)), df_SC

    def p_of(which_S: NDArray[np.int64], in_question_S: NDArray[np.int64]) -> Array:
        error_SC, df_SC = error_and_df(which_S, in_question_S)
        return np.asarray(2 * special.stdtr(df_SC, -np.abs(difference_SC[which_S]) / error_SC))

    def p_within(which_S: NDArray[np.int64], in_question_S: NDArray[np.int64]) -> Array:
        error_SC, df_SC = error_and_df(which_S, in_question_S)
        room_SC = (np.nan if margin is None else margin) - np.abs(difference_SC[which_S])
        return np.asarray(special.stdtr(df_SC, -room_SC / error_SC))

    p_holm_SC = stepped_down(p_of, is_tested_SC)
    p_equivalent_SC = stepped_down(p_within, is_tested_SC & (margin is not None))
    everyone = np.arange(studies)
    error_SC, df_SC = error_and_df(everyone, tested_S)
    reach_SC = special.stdtrit(df_SC, 0.5 + confidence / 2) * error_SC
    found_SC = (
        *(difference_SC - reach_SC, difference_SC + reach_SC, error_SC * np.sqrt(n_SC)),
        *(np.where(is_tested_SC, df_SC, np.nan), p_of(everyone, tested_S), p_holm_SC),
        p_equivalent_SC,
    )
    low, high, sd, df, p, p_holm, p_equivalent = (np.reshape(values, shape) for values in found_SC)
    prior = Prior(*(np.reshape(values, shape[:-1]) for values in prior_S))
    return Moderated(low, high, sd, df, p, p_holm, p_holm <= alpha, p_equivalent, p_equivalent <= alpha, prior)


def prior_of(sd_C: ArrayLike, n_C: ArrayLike) -> Prior:
    """Estimate what the variances of a study's comparisons have in common, from each one's spread over its pairs."""
    return variance_prior(np.asarray(sd_C, dtype=float) ** 2, np.asarray(n_C) - 1)


def detectable(sd: float, n: int, prior: Prior, declared: int) -> float:
    """Compute the true difference that one of ``declared`` comparisons finds with 80 % power at Holm's first step.

    ``sd`` is the comparison's, with what it borrows; ``prior`` has as many variances as comparisons were tested. NaN
    without a spread.
    """
    tested = int(prior.lenders)
    level = ALPHA * tested / declared
    return detectable_difference(sd, n, tested, prior=prior, alpha=level) if n > 1 and sd > 0 else np.nan


def replicates_for(difference: float, sd: float, prior: Prior, declared: int) -> int:
    """Find the replicates that would detect ``difference`` so; arguments as of ``detectable``."""
    tested = int(prior.lenders)
    return replicates_needed(difference, sd, tested, prior=prior, alpha=ALPHA * tested / declared)


def replicates_within(margin: float, sd: float, prior: Prior, declared: int) -> int | None:
    """Find the replicates that would show equal arms to be so within ``margin``; None if no number within reach does.

    Arguments are as of ``detectable``.
    """
    tested = int(prior.lenders)
    return replicates_to_equate(margin, sd, tested, prior=prior, alpha=ALPHA * tested / declared)
