"""How much of its variance a comparison takes from a study's other comparisons: the rule of plan and report.

A comparison's own variance comes from few replicates. The other comparisons train the same kind of network on the same
data, so their variances say what to expect of it, as far as they agree. This is the moderated t of Smyth, "Linear
models and empirical Bayes methods for assessing differential expression in microarray experiments", Statistical
Applications in Genetics and Molecular Biology 3(1), 2004, article 3, with three brakes of our own, since arms of an
ablation study are few and do differ in noise: the variances' scatter counts SCATTER-fold, a comparison borrows no
more than ``borrowed_df`` lets it, and it never gets less than its own variance.

Arrays end in the axis of comparisons; axes before it are studies.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Array = NDArray[np.float64]

SCATTER = 1.25  # comparisons with a common reference share noise, which makes their variances look alike
ALONE, STEP, MOST = (
    3,
    4,
    2.0,
)  # up to ALONE comparisons borrow nothing, each STEP more another time d, MOST times at most
_NEWTON_STEPS, _NEWTON_CLOSE = 40, 1e-14  # at most, and how small the last one is beside the result


class Prior(NamedTuple):
    """What a study's variances have in common; arrays if several studies were given at once.

    Attributes:
        variance: s0², the variance that comparisons scatter around; NaN with fewer than two variances.
        df: d0, what it weighs in degrees of freedom: 0 if nothing is known of it, infinite if nothing but chance
            scatters the variances.
        scatter: sample variance of the log variances; NaN with fewer than two.
        expected: what equal true variances would give on average, if no two comparisons shared an arm.
        lenders: number of variances behind it.
    """

    variance: Array
    df: Array
    scatter: Array
    expected: Array
    lenders: NDArray[np.int64]

    def along_comparisons(self) -> Prior:
        """Return it with an axis more, to stand beside arrays that end in comparisons."""
        return Prior(
            self.variance[..., None],
            self.df[..., None],
            self.scatter[..., None],
            self.expected[..., None],
            self.lenders[..., None],
        )


def variance_prior(variance_C: ArrayLike, df_C: ArrayLike) -> Prior:
    """Estimate what the variances of a study's comparisons scatter around, and how closely.

    Method of moments on log variances (Smyth 2004, section 6.2), the scatter taken SCATTER-fold. Variances that are 0
    or NaN, or have no degree of freedom, are left out: differences that are equal in all replicates come from arms that
    do the same, and say nothing of the noise of others.

    >>> prior = variance_prior([1.0, 2.0, 4.0], [5, 5, 5])
    >>> round(float(prior.scatter), 3), round(float(prior.expected), 3), round(float(prior.df), 1)
    (0.48, 0.49, 19.1)
    """
    variance_C, df_C = np.broadcast_arrays(np.asarray(variance_C, dtype=float), np.asarray(df_C, dtype=float))
    lends_C = (variance_C > 0) & (df_C > 0)
    half_C = np.where(lends_C, df_C, 1.0) / 2
    log_C = np.log(np.where(lends_C, variance_C, 1.0)) - _log_bias(half_C)
    lenders = lends_C.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = log_C.sum(axis=-1, where=lends_C) / np.where(lenders > 1, lenders, np.nan)
        squares = ((log_C - centre[..., None]) ** 2).sum(axis=-1, where=lends_C)
        scatter = squares / np.where(lenders > 1, lenders - 1, np.nan)
        expected = special.polygamma(1, half_C).sum(axis=-1, where=lends_C) / np.where(lenders > 0, lenders, np.nan)
    excess = SCATTER * scatter - expected
    df = np.where(lenders > 1, 2 * inverse_trigamma(np.maximum(excess, 0.0)), 0.0)
    variance = np.exp(centre + _log_bias(np.where(df > 0, df, 1.0) / 2))
    return Prior(variance, df, scatter, expected, lenders)


def borrowed_df(prior_df: ArrayLike, own_df: ArrayLike, in_question: ArrayLike) -> Array:
    """Say how many degrees of freedom a comparison with ``own_df`` takes from the others.

    As many as the prior has, at most MOST times its own, and none where three comparisons or fewer are ``in_question``:
    the fewer there are, the less their scatter says, and the more one arm that differs in noise can mislead.

    >>> [float(borrowed_df(np.inf, 2, comparisons)) for comparisons in (1, 3, 4, 7, 12)]
    [0.0, 0.0, 0.5, 2.0, 4.0]
    """
    share = np.clip((np.asarray(in_question, dtype=float) - ALONE) / STEP, 0.0, MOST)
    return np.minimum(prior_df, np.asarray(own_df, dtype=float) * share)


def moderated(variance: ArrayLike, own_df: ArrayLike, prior: Prior, in_question: ArrayLike) -> tuple[Array, Array]:
    """Return a comparison's variance with what it borrows, and its degrees of freedom.

    ``prior``'s and the other arrays have to broadcast. The variance is the mean of both, weighted by degrees of
    freedom, and never below the comparison's own.
    """
    variance, own_df = np.asarray(variance, dtype=float), np.asarray(own_df, dtype=float)
    borrowed = borrowed_df(prior.df, own_df, in_question)
    lent = np.where(borrowed > 0, borrowed * np.where(borrowed > 0, prior.variance, 0.0), 0.0)
    total = borrowed + own_df
    return np.maximum((lent + own_df * variance) / np.maximum(total, 1.0), variance), total


def inverse_trigamma(values: ArrayLike) -> Array:
    """Find y > 0 with ψ′(y) = value; infinite for 0.

    Newton's method on 1/ψ′, which is nearly linear (Smyth 2004, appendix).

    >>> float(inverse_trigamma(special.polygamma(1, 2.5)))
    2.5
    """
    values = np.asarray(values, dtype=float)
    known = np.where(values > 0, values, 1.0)
    y = 0.5 + 1 / known
    for _ in range(_NEWTON_STEPS):
        now = special.polygamma(1, y)
        step = now * (1 - now / known) / special.polygamma(2, y)
        y = y + step
        if (np.abs(step) <= _NEWTON_CLOSE * y).all():
            break
    return np.where(values > 0, y, np.inf)


def _log_bias(half_df: Array) -> Array:
    """Mean of log(χ²/df) by half its degrees of freedom; 0 for infinitely many."""
    finite = np.where(np.isinf(half_df), 1.0, half_df)
    return np.where(np.isinf(half_df), 0.0, special.digamma(finite) - np.log(finite))
