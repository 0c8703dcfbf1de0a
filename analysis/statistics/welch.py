"""Differences between arms whose repetitions have no pairs: Welch's t, and the power that it has.

Arrays end in the axis of repetitions, with NaN if there is none, as in ``analysis.inference``; but an arm's third
repetition has nothing to do with another arm's third, and their numbers may differ.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ablation.mean_interval import Counts, moments
from ablation.power import ALPHA, POWER, fewest, noncentrality, power_of_t
from analysis.inference import CONFIDENCE, Array


class Unpaired(NamedTuple):
    """A difference of two means with its interval, t and two-sided p.

    Attributes:
        error: standard error of the difference; NaN if the noise is unknown.
        sds: standard deviation of each arm, on a leading axis of two.
        df: Welch and Satterthwaite's degrees of freedom.
        n: repetitions of the arm that has fewer.
    """

    difference: Array
    low: Array
    high: Array
    error: Array
    t: Array
    p: Array
    sds: Array
    df: Array
    n: Counts


def unpaired_difference(arm_R: ArrayLike, against_R: ArrayLike, confidence: float = CONFIDENCE) -> Unpaired:
    """Estimate ``arm - against`` from independent repetitions of both, which may differ in spread and number.

    NaN for interval, t and p if an arm has fewer than two repetitions or neither has spread.
    Source: Welch, "The Generalization of 'Student's' Problem when Several Different Population Variances are
    Involved" (1947).

    >>> found = unpaired_difference([3.0, 4.0, 5.0], [1.0, 2.0, 3.0, 2.0])
    >>> round(float(found.difference), 3), round(float(found.t), 3), round(float(found.df), 3), int(found.n)
    (2.0, 2.828, 3.857, 3)
    """
    sides = (moments(np.asarray(of_R, dtype=float)) for of_R in (arm_R, against_R))
    mean_2, sd_2, n_2 = map(np.stack, zip(*sides, strict=True))
    difference = mean_2[0] - mean_2[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        part_2 = sd_2**2 / n_2
        df = part_2.sum(axis=0) ** 2 / (part_2**2 / (n_2 - 1)).sum(axis=0)
        error = np.sqrt(part_2.sum(axis=0))
        error = np.where(error > 0, error, np.nan)
        t = difference / error
    reach = error * special.stdtrit(df, 0.5 + confidence / 2)
    p = 2 * special.stdtr(df, -np.abs(t))
    ends = difference - reach, difference + reach
    return Unpaired(difference, *ends, error, t, p, sd_2, df, n_2.min(axis=0))


def detectable_unpaired(found: Unpaired, alpha: float = ALPHA, power: float = POWER) -> Array:
    """Compute the smallest true difference that as many repetitions with this spread find with ``power``.

    NaN if there is no test. Source: noncentral t, with Welch's degrees of freedom.
    """
    known = np.atleast_1d(~np.isnan(found.error))
    reach = np.full(known.shape, np.nan)
    reach[known] = [noncentrality(float(df), alpha, power) for df in np.atleast_1d(found.df)[known]]
    return np.asarray(found.error * reach.reshape(np.shape(found.error)))


def repetitions_needed(difference: float, sds: tuple[float, float], alpha: float = ALPHA, power: float = POWER) -> int:
    """Find the fewest repetitions of each of two arms that detect a true ``difference`` with ``power``.

    ``sds`` are the arms' standard deviations, one of them at least > 0. Raises ValueError if 100,000 would not do.
    """
    first, second = (sd**2 for sd in sds)
    freedom = (first + second) ** 2 / (first**2 + second**2)  # times n − 1: from 1, one arm alone, to 2, both alike

    def is_enough(n: int) -> bool:
        return power_of_t(abs(difference) * (n / (first + second)) ** 0.5, (n - 1) * freedom, alpha) >= power

    return fewest(is_enough, f"difference is {difference} at sds {sds}")
