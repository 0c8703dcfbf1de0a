"""The mean of a few values with an interval that stays where such means can be: what reports and commands print.

Arrays end in the axis of values; NaN marks one that there is not.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy  # not scipy.special, which takes most of a second and comes when it is used
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

CONFIDENCE = 0.95
NO_SPREAD = 1e-12  # relative: what differences of equal decimals leave behind in float64


class Interval(NamedTuple):
    """A mean with a two-sided interval; arrays if many samples were given at once."""

    mean: Array
    low: Array
    high: Array


class Moments(NamedTuple):
    """Mean, standard deviation (of a sample, n − 1) and number of values."""

    mean: Array
    sd: Array
    n: Counts


def mean_interval(values_R: ArrayLike, largest: float = math.inf, confidence: float = CONFIDENCE) -> Interval:
    """Estimate the mean over the last axis with an interval, of values of 0 to ``largest`` within that range.

    Without a range this is Student's t interval. With one, t times the standard error is taken on the scale of log
    odds, by the delta method, and the ends are turned back. Near an end of the range, where values are skewed, t covers
    the mean less often than it promises; this covers it more often (a test simulates both). Values that leave the
    range after all get the t interval. Fewer than two values, or values without spread, give NaN ends: an interval of
    no width would claim certainty.
    Sources: Student, "The Probable Error of a Mean" (1908); the logit limits of Korn and Graubard, "Analysis of Health
    Surveys" (1999), which are ``svyciprop(method = "xlogit")`` in R's survey package.

    >>> [round(float(value), 3) for value in mean_interval([1.0, 2.0, 3.0])]
    [2.0, -0.484, 4.484]
    >>> [round(float(value), 3) for value in mean_interval([0.25, 0.5, 0.75], largest=1.0)]
    [0.5, 0.077, 0.923]
    """
    values_R = np.asarray(values_R, dtype=float)
    mean, sd, n = moments(values_R)
    reach = standard_error(sd, n) * scipy.special.stdtrit(np.maximum(n - 1, 1), 0.5 + confidence / 2)
    low, high = mean - reach, mean + reach
    if math.isinf(largest):
        return Interval(mean, low, high)
    known_R = np.where(np.isnan(values_R), 0.0, values_R)
    has_range = ((known_R >= 0) & (known_R <= largest)).all(axis=-1) & ~np.isnan(reach)
    share = np.where(has_range, mean / largest, 0.5)
    centre, reach_of_log_odds = scipy.special.logit(share), reach / largest / (share * (1 - share))
    return Interval(
        mean,
        np.where(has_range, largest * scipy.special.expit(centre - reach_of_log_odds), low),
        np.where(has_range, largest * scipy.special.expit(centre + reach_of_log_odds), high),
    )


def moments(values_R: Array, scale: Array | float = 0.0) -> Moments:
    """Describe the values on the last axis; NaN if there are too few.

    Values that differ by no more than rounding leaves behind have no spread: beside the largest of them and ``scale``.
    """
    known_R = ~np.isnan(values_R)
    n = known_R.sum(axis=-1)
    filled_R = np.where(known_R, values_R, 0.0)
    with np.errstate(invalid="ignore"):  # of infinite values, whose spread is NaN
        mean = np.asarray(filled_R.sum(axis=-1) / np.where(n > 0, n, np.nan))
        centred_R = np.where(known_R, filled_R - mean[..., None], 0.0)
    sd = np.where(n > 1, np.sqrt((centred_R**2).sum(axis=-1) / np.maximum(n - 1, 1)), np.nan)
    size = np.maximum(np.abs(filled_R).max(axis=-1, initial=0.0), scale)
    return Moments(mean, np.where(sd <= NO_SPREAD * size, 0.0, sd), n)


def standard_error(sd: Array, n: Counts) -> Array:
    """Return the standard error of a mean; NaN without spread, since the noise is then unknown."""
    return np.asarray(np.where(sd == 0.0, np.nan, sd / np.sqrt(np.maximum(n, 1))))
