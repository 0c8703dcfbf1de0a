"""How large a difference is beside the noise: standardised differences, and how often one arm beats another.

Arrays end in the axis of replicates, with NaN if a replicate has no value, as in ``analysis.inference``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ablation.mean_interval import Interval
from analysis.inference import CONFIDENCE, Array, paired_difference

_HALVINGS = 60  # of an interval of length 1: below the spacing of float64


class Standardised(NamedTuple):
    """Paired Cohen's d_z, its small-sample correction g_z, and an interval of the true standardised difference."""

    d_z: Array
    g_z: Array
    low: Array
    high: Array


def standardised_difference(arm_R: ArrayLike, against_R: ArrayLike, confidence: float = CONFIDENCE) -> Standardised:
    """Divide the mean paired difference by the standard deviation of the differences.

    d_z = mean / sd; g_z = J(n - 1) · d_z with Hedges' exact factor, which takes away the bias of d_z. The interval
    inverts the noncentral t. NaN with fewer than two pairs, or where differences have no spread.
    Source: Cohen (1988), section 2.3.5; Hedges (1981); Cumming & Finch (2001).

    >>> found = standardised_difference([0.75, 0.5, 1.0], [0.5, 0.25, 0.5])
    >>> round(float(found.d_z), 3), round(float(found.g_z), 3)
    (2.309, 1.303)
    """
    paired = paired_difference(arm_R, against_R)
    df = np.maximum(paired.n - 1, 1)
    with np.errstate(invalid="ignore"):
        d_z = paired.difference / np.where(paired.sd > 0, paired.sd, np.nan)
        root_n = np.sqrt(np.maximum(paired.n, 1))
        tail = (1 - confidence) / 2
        # The ends for |t| are found on the side where the tails keep their digits, and turned round for t < 0.
        near, far = (special.nctdtrinc(df, p, np.abs(paired.t)) / root_n for p in (1 - tail, tail))
    low, high = np.where(d_z < 0, -far, near), np.where(d_z < 0, -near, far)
    return Standardised(d_z, hedges_factor(df) * d_z, low, high)


def hedges_factor(df: ArrayLike) -> Array:
    """Compute Hedges' J: what d must be multiplied by to be unbiased, given its degrees of freedom (>= 1).

    With one degree of freedom nothing helps: J is 0.
    Source: Hedges, "Distribution Theory for Glass's Estimator of Effect Size and Related Estimators" (1981).
    """
    df = np.asarray(df, dtype=float)
    above = df > 1
    half = np.where(above, df, 2.0) / 2
    factor = np.exp(special.gammaln(half) - special.gammaln(half - 0.5)) / np.sqrt(half)
    return np.asarray(np.where(above, factor, 0.0))


def probability_of_improvement(arm_R: ArrayLike, against_R: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Estimate the chance that a run of ``arm`` scores above a run of ``against``; ties count half.

    The Mann-Whitney statistic over all pairs of replicates, as rliable defines it, in 0..1. The interval is Newcombe's
    score interval for it, which also has a width if the arms do not overlap (a bootstrap has none there); it takes
    the two samples for independent, and is wider than needed if they are paired. NaN without any values.
    Source: Agarwal et al. (NeurIPS 2021); Newcombe, Statistics in Medicine 25 (2006), method 5.

    >>> float(probability_of_improvement([1.0, 2.0, 3.0], [0.0, 2.0, 2.5]).mean)
    0.6111111111111112
    """
    arm, against = np.asarray(arm_R, dtype=float), np.asarray(against_R, dtype=float)
    if arm.shape[:-1] != against.shape[:-1]:
        raise ValueError(f"shapes are {arm.shape} and {against.shape}, but must agree before the last axis")
    n, m = ((~np.isnan(values)).sum(axis=-1) for values in (arm, against))
    above = (arm[..., :, None] > against[..., None, :]).sum(axis=(-2, -1))
    ties = (arm[..., :, None] == against[..., None, :]).sum(axis=(-2, -1))
    share = (above + 0.5 * ties) / np.where(n * m > 0, n * m, np.nan)
    z = float(special.ndtri(0.5 + confidence / 2))
    low = share - _reach(share, n, m, z)
    high = share + _reach(1 - share, n, m, z)
    return Interval(np.asarray(share), np.asarray(low), np.asarray(high))


def _reach(share: Array, n: Array, m: Array, z: float) -> Array:
    """Halve towards the lowest θ with share − θ ≤ z · se(θ); return share − θ. The upper end is its mirror image."""
    low, high = np.zeros_like(share), np.array(share, dtype=float)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        outside = (share - middle) ** 2 > z**2 * _variance(middle, n, m)
        low, high = np.where(outside, middle, low), np.where(outside, high, middle)
    return np.asarray(share - high)


def _variance(theta: Array, n: Array, m: Array) -> Array:
    """Hanley and McNeil's variance of the Mann-Whitney statistic, with Newcombe's averaged sample size."""
    size = (n + m) / 2 - 1
    pairs = np.maximum(n * m, 1)
    return np.asarray(theta * (1 - theta) * (1 + size * (1 - theta) / (2 - theta) + size * theta / (1 + theta)) / pairs)
