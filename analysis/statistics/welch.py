"""Differences between arms whose repetitions have no pairs: Welch's t, and the power that it has.

Arrays end in the axis of repetitions, with NaN if there is none, as in ``analysis.inference``; but an arm's third
repetition has nothing to do with another arm's third, and their numbers may differ.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ablation.mean_interval import Counts, moments
from ablation.power import ALPHA, MOST_REPLICATES, POWER, fewest, noncentrality, power_of_t
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


def equivalence_p(found: Unpaired, margin: float) -> Array:
    """Compute p of two one-sided t tests that the true difference lies within ±``margin``; NaN if there is no test.

    Source: Schuirmann, "A comparison of the two one-sided tests procedure and the power approach" (1987), with Welch's
    degrees of freedom.
    """
    return np.asarray(special.stdtr(found.df, (np.abs(found.difference) - margin) / found.error))


def repetitions_needed(difference: float, sds: tuple[float, float], alpha: float = ALPHA, power: float = POWER) -> int:
    """Find the fewest repetitions of each of two arms that detect a true ``difference`` with ``power``.

    ``sds`` are the arms' standard deviations, one of them at least > 0. Raises ValueError if 100,000 would not do.
    """

    def is_enough(n: int) -> bool:
        return power_of_t(abs(difference) / _error(sds, n), _freedom(sds, n), alpha) >= power

    return fewest(is_enough, f"difference is {difference} at sds {sds}")


def repetitions_to_equate(
    margin: float, sds: tuple[float, float], alpha: float = ALPHA, power: float = POWER
) -> int | None:
    """Find the fewest repetitions of each of two equal arms that show them to be so within ``margin`` with ``power``.

    None if 100,000 do not; ``sds`` as of ``repetitions_needed``. Both one-sided tests have to reject: the chance of it
    is taken to be 1 less that of either failing, which is a little too low where the power is.
    """

    def is_enough(n: int) -> bool:
        df = _freedom(sds, n)
        one_fails = special.nctdtr(df, margin / _error(sds, n), special.stdtrit(df, 1 - alpha))
        return bool(1 - 2 * one_fails >= power)

    return fewest(is_enough, f"the margin is {margin} at sds {sds}") if is_enough(MOST_REPLICATES) else None


def _error(sds: tuple[float, float], n: int) -> float:
    """Return the standard error of a difference over ``n`` repetitions of each arm."""
    return math.hypot(*sds) / math.sqrt(n)


def _freedom(sds: tuple[float, float], n: int) -> float:
    """Return Welch's degrees of freedom: from n − 1, one arm's alone, to twice that, of arms alike."""
    first, second = (sd**2 for sd in sds)
    return (n - 1) * (first + second) ** 2 / (first**2 + second**2)
