"""How much of its variance a comparison takes from a study's other comparisons: the rule of plan and report.

A comparison's own variance comes from few replicates. The other comparisons train the same kind of network on the same
data, so their variances say what to expect of it, as far as they agree. This is the moderated t of Smyth, "Linear
models and empirical Bayes methods for assessing differential expression in microarray experiments", Statistical
Applications in Genetics and Molecular Biology 3(1), 2004, article 3. We deviate from it in three ways, because the
arms of an ablation study are few, do differ in noise, and share a reference:

- Variances are drawn to their mean, not to the geometric location of Smyth's model. Where they differ, that mean is the
  larger, and errs to the side of no claim.
- A comparison borrows at most SHARE · (√m − 1) times its own degrees of freedom, with m comparisons in question: they
  share the reference's noise, so the mean of m of their variances has far fewer than m times the degrees of freedom.
- A comparison never gets less than its own variance.

``benchmarks.planted_truth`` shows what the test does with this under ten laws of noise. Arrays end in the axis of
comparisons; axes before it are studies.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy  # not scipy.special, which takes most of a second and comes when it is used
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

SHARE = 0.8
_NEWTON_STEPS, _NEWTON_CLOSE = 40, 1e-14  # at most, and how small the last one is beside the result


class Prior(NamedTuple):
    """What a study's variances have in common; arrays if several studies were given at once.

    Attributes:
        variance: s0², their mean, weighted by degrees of freedom; NaN with fewer than two variances.
        df: d0, how many degrees of freedom that counts for: 0 if nothing is known of it, infinite if chance alone
            explains how the variances scatter.
        scatter: sample variance of the log variances; NaN with fewer than two.
        expected: what equal true variances would give on average, if no two comparisons shared an arm.
        lenders: number of variances behind it.
    """

    variance: Array
    df: Array
    scatter: Array
    expected: Array
    lenders: Array

    def along_comparisons(self) -> Prior:
        """Return it with an axis more, to stand beside arrays that end in comparisons."""
        return Prior(*(value[..., None] for value in self))

    def of_studies(self, which_S: NDArray[np.int64]) -> Prior:
        """Return it for some of its studies."""
        return Prior(*(value[which_S] for value in self))


def variance_prior(variance_C: ArrayLike, df_C: ArrayLike) -> Prior:
    """Estimate what the variances of a study's comparisons have in common, and how closely they keep to it.

    d0 by the method of moments on log variances (Smyth 2004, section 6.2). Variances that are 0 or NaN, or have no
    degree of freedom, are left out: differences that are equal in all replicates come from arms that do the same, and
    say nothing of the noise of others.

    >>> prior = variance_prior([1.0, 2.0, 6.0], [5, 5, 5])
    >>> [round(float(value), 2) for value in (prior.variance, prior.scatter, prior.expected, prior.df)]
    [3.0, 0.82, 0.49, 7.08]
    """
    variance_C, df_C = np.broadcast_arrays(np.asarray(variance_C, dtype=float), np.asarray(df_C, dtype=float))
    lends_C = (variance_C > 0) & (df_C > 0)
    kept_C, weight_C = np.where(lends_C, variance_C, 1.0), np.where(lends_C, df_C, 1.0)
    # What is left of a log variance without its bias; log(χ²/d) has mean psi(d/2) − log(d/2) and variance psi'(d/2).
    log_C = np.log(kept_C) - scipy.special.digamma(weight_C / 2) + np.log(weight_C / 2)
    lenders = lends_C.sum(axis=-1).astype(float)
    several = np.where(lenders > 1, lenders, np.nan)
    centre = log_C.sum(axis=-1, where=lends_C) / several
    scatter = ((log_C - centre[..., None]) ** 2).sum(axis=-1, where=lends_C) / (several - 1)
    expected = scipy.special.polygamma(1, weight_C / 2).sum(axis=-1, where=lends_C) / several
    weights = np.where(lenders > 1, weight_C.sum(axis=-1, where=lends_C), np.nan)
    variance = (weight_C * kept_C).sum(axis=-1, where=lends_C) / weights
    df = np.where(lenders > 1, 2 * inverse_trigamma(np.fmax(scatter - expected, 0.0)), 0.0)
    return Prior(*map(np.asarray, (variance, df, scatter, expected, lenders)))


def borrowed_df(prior_df: ArrayLike, own_df: ArrayLike, in_question: ArrayLike) -> Array:
    """Say how many degrees of freedom a comparison with ``own_df`` takes from the others.

    As many as the prior has, at most SHARE · (√m − 1) times its own with m comparisons ``in_question``, so none if it
    is the only one.

    >>> [round(float(borrowed_df(np.inf, 2, comparisons)), 2) for comparisons in (1, 2, 4, 9)]
    [0.0, 0.66, 1.6, 3.2]
    """
    most = SHARE * (np.sqrt(np.asarray(in_question, dtype=float)) - 1)
    return np.asarray(np.minimum(prior_df, np.asarray(own_df, dtype=float) * np.maximum(most, 0.0)))


def moderated(variance: ArrayLike, own_df: ArrayLike, prior: Prior, in_question: ArrayLike) -> tuple[Array, Array]:
    """Return a comparison's variance with what it borrows, and its degrees of freedom.

    ``prior``'s and the other arrays have to broadcast. The variance is the mean of both, weighted by degrees of
    freedom, and never below the comparison's own.
    """
    variance, own_df = np.asarray(variance, dtype=float), np.asarray(own_df, dtype=float)
    borrowed = borrowed_df(prior.df, own_df, in_question)
    total = borrowed + own_df
    lent = borrowed * np.where(borrowed > 0, prior.variance, 0.0)
    return np.maximum((lent + own_df * variance) / np.maximum(total, 1.0), variance), total


def inverse_trigamma(values: ArrayLike) -> Array:
    """Find y > 0 with ψ′(y) = value; infinite for 0.

    Newton's method on 1/ψ′, which is nearly linear (Smyth 2004, appendix).

    >>> float(inverse_trigamma(scipy.special.polygamma(1, 2.5)))
    2.5
    """
    values = np.asarray(values, dtype=float)
    known = np.where(values > 0, values, 1.0)
    y = 0.5 + 1 / known
    for _ in range(_NEWTON_STEPS):
        now = scipy.special.polygamma(1, y)
        step = now * (1 - now / known) / scipy.special.polygamma(2, y)
        y = y + step
        if (np.abs(step) <= _NEWTON_CLOSE * y).all():
            break
    return np.where(values > 0, y, np.inf)
