"""The test of a study's declared comparisons: the moderated paired t, taken down step by step like Holm's.

What a comparison borrows, and the source, is in ``ablation.moderation``: the plan needs the same rule.
Arrays end in the axis of comparisons, as ``analysis.inference.paired_difference`` returns them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ablation.moderation import Prior, moderated, variance_prior
from ablation.power import detectable_difference, replicates_needed
from analysis.inference import ALPHA, CONFIDENCE, Array, Paired


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
        prior: what the study's variances have in common.
    """

    low: Array
    high: Array
    sd: Array
    df: Array
    p: Array
    p_holm: Array
    significant: NDArray[np.bool_]
    prior: Prior


def moderated_test(paired: Paired, alpha: float = ALPHA, confidence: float = CONFIDENCE) -> Moderated:
    """Test a study's comparisons, each with its own number of pairs, at the family-wise level ``alpha``.

    Holm's procedure: of the comparisons still in question the one with the smallest p is claimed, if its p times their
    number is at most ``alpha``; then the rest is looked at again. Fewer in question let each borrow less, so all p are
    computed again at every step; a p never falls from one step to the next, so whatever is claimed also has an interval
    without 0. Intervals and ``p`` borrow as the first step does. A comparison without spread or with fewer than two
    pairs is never claimed, lends nothing, and counts in the length of the list.
    """
    df_C = np.maximum(paired.n - 1, 1)
    is_tested_C = (paired.n > 1) & (paired.sd > 0)
    variance_C = np.where(is_tested_C, paired.sd, np.nan) ** 2
    prior = prior_of(paired.sd, paired.n)
    shared = prior.along_comparisons()
    size_C = np.abs(paired.difference) * np.sqrt(paired.n)

    def p_of(in_question: ArrayLike) -> Array:
        left = np.asarray(in_question)[..., None]
        with np.errstate(invalid="ignore"):
            borrowed_C, total_C = moderated(variance_C, df_C, shared, left)
            return np.asarray(2 * special.stdtr(total_C, -size_C / np.sqrt(borrowed_C)))

    tested = is_tested_C.sum(axis=-1)
    p_holm, significant = stepped_down(p_of, is_tested_C, alpha)
    with np.errstate(invalid="ignore"):
        used_C, total_C = moderated(variance_C, df_C, shared, tested[..., None])
    reach = special.stdtrit(total_C, 0.5 + confidence / 2) * np.sqrt(used_C / np.maximum(paired.n, 1))
    low, high = paired.difference - reach, paired.difference + reach
    df = np.where(is_tested_C, total_C, np.nan)
    return Moderated(low, high, np.sqrt(used_C), df, p_of(tested), p_holm, significant, prior)


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


def stepped_down(
    p_of: Callable[[ArrayLike], Array], is_tested_C: NDArray[np.bool_], alpha: float = ALPHA
) -> tuple[Array, NDArray[np.bool_]]:
    """Adjust p values by Holm's procedure, where they depend on how many comparisons are in question.

    ``p_of`` gives all p for a number of tested comparisons still in question, one number a study. Adjusted p are the
    smallest ``alpha`` at which a comparison is rejected. Returns adjusted p and rejections, as ``inference.holm``.
    """
    total, tested = is_tested_C.shape[-1], is_tested_C.sum(axis=-1)
    is_open_C, adjusted_C = is_tested_C.copy(), np.full(is_tested_C.shape, np.nan)
    p_C, reached = np.zeros(is_tested_C.shape), np.zeros((*is_tested_C.shape[:-1], 1))
    for passed in range(int(tested.max(initial=0))):
        p_C = np.fmax(p_C, p_of(np.maximum(tested - passed, 1)))
        next_C = np.expand_dims(np.where(is_open_C, p_C, np.inf).argmin(axis=-1), -1)
        is_next_C = is_open_C & (np.arange(total) == next_C)
        steps = np.take_along_axis(p_C, next_C, axis=-1) * (total - passed)
        reached = np.minimum(np.maximum(reached, steps), 1.0)
        adjusted_C = np.where(is_next_C, reached, adjusted_C)
        is_open_C &= ~is_next_C
    return adjusted_C, adjusted_C <= alpha
