"""Intervals, tests and multiplicity for small numbers of paired replicates.

Arrays end in the axis of replicates: ``values_R`` is one sample, ``values_AR`` is one sample an arm, ``values_SCR`` is
many studies at once, and everything works on all of them. NaN marks a replicate without a value: it is left out, with
its pair. Why paired t and not the bootstrap: in simulations with 3 to 20 replicates BCa intervals cover 72 to 94 %,
paired t covers 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ablation.mean_interval import CONFIDENCE as CONFIDENCE
from ablation.mean_interval import Array as Array
from ablation.mean_interval import Counts, moments, standard_error
from ablation.power import ALPHA as ALPHA

MOST_SIGN_FLIPS = 44  # two halves of 2^22 sums each: 32 MiB a half


class Paired(NamedTuple):
    """A mean paired difference with its interval, spread, t and two-sided p, over ``n`` pairs."""

    difference: Array
    low: Array
    high: Array
    sd: Array
    t: Array
    p: Array
    n: Counts


def paired_difference(arm_R: ArrayLike, against_R: ArrayLike, confidence: float = CONFIDENCE) -> Paired:
    """Estimate ``arm - against`` over replicates paired along the last axis, with t interval and two-sided p.

    Fewer than two pairs, or differences without spread, give NaN for interval, t and p: the noise is unknown.
    Raises ValueError if the shapes differ.

    >>> paired = paired_difference([0.75, 0.5, 1.0], [0.5, 0.25, 0.5])
    >>> round(float(paired.difference), 3), round(float(paired.t), 3), int(paired.n)
    (0.333, 4.0, 3)
    """
    arm, against = np.asarray(arm_R, dtype=float), np.asarray(against_R, dtype=float)
    if arm.shape != against.shape:
        raise ValueError(f"shapes are {arm.shape} and {against.shape}, but must be equal; drop what has no pair")
    scale = np.fmax(np.abs(arm), np.abs(against)).max(axis=-1, initial=0.0, where=~np.isnan(arm - against))
    return _one_sample(arm - against, confidence, scale)


def holm(p_values_C: ArrayLike, alpha: float = ALPHA) -> tuple[Array, NDArray[np.bool_]]:
    """Adjust p values for the whole list on the last axis by Holm's step-down rule; return adjusted p and rejections.

    A NaN p stays NaN and is never rejected, but counts in the length of the list.
    Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure" (1979).

    >>> adjusted, is_rejected = holm([0.01, 0.04, 0.03])
    >>> [round(float(p), 3) for p in adjusted], is_rejected.tolist()
    ([0.03, 0.06, 0.06], [True, False, False])
    """
    p_C = np.asarray(p_values_C, dtype=float)
    p_SC = p_C.reshape(math.prod(p_C.shape[:-1]), p_C.shape[-1])
    adjusted_C = stepped_down(lambda which_S, _: p_SC[which_S], ~np.isnan(p_SC)).reshape(p_C.shape)
    return adjusted_C, adjusted_C <= alpha


def stepped_down(
    p_of: Callable[[NDArray[np.int64], NDArray[np.int64]], Array], is_tested_SC: NDArray[np.bool_]
) -> Array:
    """Adjust p values by Holm's procedure, where they depend on how many comparisons are in question.

    ``p_of`` gives the p of all comparisons of some studies (by index), for each one's number of tested comparisons
    still in question. Returns adjusted p, the smallest level at which a comparison is rejected; NaN if it is untested.
    """
    total, tested_S = is_tested_SC.shape[-1], is_tested_SC.sum(axis=-1)
    is_open_SC, p_SC = is_tested_SC.copy(), np.zeros(is_tested_SC.shape)
    adjusted_SC, reached_S = np.where(is_tested_SC, 1.0, np.nan), np.zeros(len(tested_S))
    for passed in range(total):
        which_S = np.flatnonzero((tested_S > passed) & (reached_S < 1.0))
        if not which_S.size:
            break
        p_SC[which_S] = np.fmax(p_SC[which_S], p_of(which_S, tested_S[which_S] - passed))
        next_S = np.where(is_open_SC[which_S], p_SC[which_S], np.inf).argmin(axis=-1)
        steps_S = p_SC[which_S, next_S] * (total - passed)
        reached_S[which_S] = np.clip(steps_S, reached_S[which_S], 1.0)
        adjusted_SC[which_S, next_S] = reached_S[which_S]
        is_open_SC[which_S, next_S] = False
    return adjusted_SC


def sign_flip_p(differences_R: ArrayLike) -> Array:
    """Compute the exact two-sided p of the mean over all 2^n sign flips of the differences on the last axis.

    Sums of two halves are matched by sorting, so n = 40 takes a moment and not a year. Raises ValueError above 44
    differences. Source: Fisher, "The Design of Experiments" (1935), section 21.

    >>> float(sign_flip_p([1.0, 2.0, 3.0]))
    0.25
    """
    differences = np.asarray(differences_R, dtype=float)
    n = int((~np.isnan(differences)).sum(axis=-1).max(initial=0))
    if n > MOST_SIGN_FLIPS:
        raise ValueError(f"{n} differences given, but at most {MOST_SIGN_FLIPS} can be enumerated; use the t test")
    if differences.shape[-1] == 0:
        return np.full(differences.shape[:-1], np.nan)
    return np.asarray(np.apply_along_axis(_sign_flip_p, -1, differences), dtype=float)


def sign_flip_floor(n: int) -> float:
    """Return the smallest p that a two-sided sign-flip test of ``n`` differences can reach: 2^(1 - n), at most 1.

    >>> sign_flip_floor(6)
    0.03125
    """
    return min(1.0, 2.0 ** (1 - n))


def _one_sample(values_R: Array, confidence: float, scale: Array | float = 0.0) -> Paired:
    mean, sd, n = moments(values_R, scale)
    df, error = np.maximum(n - 1, 1), standard_error(sd, n)
    reach = error * special.stdtrit(df, 0.5 + confidence / 2)
    t = mean / error
    return Paired(mean, mean - reach, mean + reach, sd, t, 2 * special.stdtr(df, -np.abs(t)), n)


def _sign_flip_p(differences_R: Array) -> float:
    differences_R = differences_R[~np.isnan(differences_R)]
    n = differences_R.size
    if n == 0:
        return np.nan
    left, right = _signed_sums(differences_R[: n // 2]), np.sort(_signed_sums(differences_R[n // 2 :]))
    total = np.abs(differences_R).sum()
    seen = abs(differences_R.sum()) - 1e-12 * total  # equal sums in another order of addition are ties
    if seen <= 0:
        return 1.0
    above = right.size - np.searchsorted(right, seen - left, side="left")
    below = np.searchsorted(right, -seen - left, side="right")
    return float((above.sum() + below.sum()) / 2.0**n)


def _signed_sums(values_R: Array) -> Array:
    sums = np.zeros(1)
    for value in values_R:
        sums = np.concatenate([sums + value, sums - value])
    return sums
