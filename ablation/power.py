"""What a number of replicates can detect, and how many it takes: power of the declared comparisons' test.

A plan's effects are in standard deviations of paired differences until a spread is known, from an earlier run or as
stated by the user. The test is the moderated paired t (``ablation.moderation``), at the first and strictest step of
Holm's procedure: what a study's comparisons borrow depends on how alike their variances are. A plan cannot know that
and takes them to be equal; a report gives what it has seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import scipy  # not scipy.special, which takes most of a second and comes when it is used
from numpy.typing import ArrayLike

from ablation.moderation import Array, Prior, borrowed_df, moderated, variance_prior

ALPHA = 0.05
POWER = 0.80
MOST_REPLICATES = 100_000
_HALVINGS = 60  # to the last digit of float64
_DRAWN, _FEWEST_DRAWN = 12_000, 400  # variances, and studies, that stand for all: power is right to about 0.01
_QUANTILES = 400  # of a variance's distribution that stand for it


def power_of_test(
    difference: float, sd: float, n: int, comparisons: int = 1, *, prior: Prior | None = None, alpha: float = ALPHA
) -> float:
    """Compute the chance that a study of ``comparisons`` claims a true ``difference`` of one, whatever the others are.

    ``sd`` is the standard deviation of single differences, in the unit of ``difference``, ``n`` the number of pairs,
    ``alpha`` the family-wise level; ``prior`` is what is known of the comparisons' variances, in the unit's square.
    Of a single comparison this is the paired t test's power, from the noncentral t; else the mean over drawn variances,
    given which the power is a normal tail.
    Raises ValueError if ``n`` < 2 or ``sd`` <= 0.

    >>> round(power_of_test(difference=1.0, sd=1.0, n=10), 3)
    0.803
    """
    _check(n, sd)
    return _power(sd, n, comparisons, prior, alpha)(abs(difference) / sd * n**0.5)


def detectable_difference(
    sd: float, n: int, comparisons: int = 1, *, prior: Prior | None = None, alpha: float = ALPHA
) -> float:
    """Compute the smallest true difference that ``n`` pairs find in POWER of studies, in the unit of ``sd``.

    Arguments and errors are those of ``power_of_test``:

    >>> round(detectable_difference(sd=1.0, n=3), 1)
    3.3
    >>> round(detectable_difference(sd=1.0, n=3, comparisons=12), 1)
    3.6
    """
    _check(n, sd)
    return sd * _smallest(_power(sd, n, comparisons, prior, alpha), POWER) / math.sqrt(n)


def replicates_needed(
    difference: float, sd: float, comparisons: int = 1, *, prior: Prior | None = None, alpha: float = ALPHA
) -> int:
    """Find the fewest pairs that detect a true ``difference`` in POWER of studies; arguments as of ``power_of_test``.

    Raises ValueError if no 100,000 pairs would do, as for a difference of 0.

    >>> replicates_needed(difference=1.0, sd=1.0)
    10
    """

    def is_enough(n: int) -> bool:
        return power_of_test(difference, sd, n, comparisons, prior=prior, alpha=alpha) >= POWER

    return fewest(is_enough, f"difference is {difference} at sd {sd}")


def shown_margin(sd: float, n: int, comparisons: int = 1, *, prior: Prior | None = None, alpha: float = ALPHA) -> float:
    """Compute the smallest margin within which ``n`` pairs show that two equal arms are, in POWER of studies.

    That is by two one-sided tests at the family-wise level; arguments and errors are those of ``power_of_test``.

    >>> round(shown_margin(sd=1.0, n=10), 2)
    1.0
    """
    _check(n, sd)
    return sd * _smallest(_power_to_equate(sd, n, comparisons, prior, alpha), POWER) / math.sqrt(n)


def replicates_to_equate(
    margin: float, sd: float, comparisons: int = 1, *, prior: Prior | None = None, alpha: float = ALPHA
) -> int | None:
    """Find the fewest pairs that show two equal arms to be equal within ``margin``; None if 100,000 do not.

    Otherwise as ``shown_margin``.
    """

    def is_enough(n: int) -> bool:
        return _power_to_equate(sd, n, comparisons, prior, alpha)(margin / sd * n**0.5) >= POWER

    return fewest(is_enough, f"the margin is {margin} at sd {sd}") if is_enough(MOST_REPLICATES) else None


def fewest(is_enough: Callable[[int], bool], wanted: str) -> int:
    """Find the smallest n from 2 up that is enough, where every larger one is, too.

    Raises ValueError, which says what was ``wanted``, if 100,000 are not.
    """
    few, enough = 1, 2
    while not is_enough(enough):
        if enough == MOST_REPLICATES:
            raise ValueError(
                f"{wanted}, but must be within reach of {MOST_REPLICATES} replicates; ask for a larger one"
            )
        few, enough = enough, min(2 * enough, MOST_REPLICATES)
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if is_enough(middle) else (middle, enough)
    return enough


def power_of_t(noncentrality: float, df: float, alpha: float = ALPHA) -> float:
    """Compute the chance that a two-sided t test at ``alpha`` rejects: a true difference in standard errors."""
    edge = scipy.special.stdtrit(df, 1 - alpha / 2)
    wrong_side = scipy.special.nctdtr(df, noncentrality, -edge)  # NaN if it is too small to be computed
    return float(1 - scipy.special.nctdtr(df, noncentrality, edge) + np.nan_to_num(wrong_side))


@cache
def noncentrality(df: float, alpha: float, power: float) -> float:
    """Find the true difference, in standard errors, that a two-sided t test at ``alpha`` finds with ``power``."""
    return _smallest(lambda standard_errors: power_of_t(standard_errors, df, alpha), power)


def _smallest(power_at: Callable[[float], float], power: float) -> float:
    low, high = 0.0, 1.0
    while power_at(high) < power:
        high *= 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if power_at(middle) < power else (low, middle)
    return high


def _power(sd: float, n: int, comparisons: int, prior: Prior | None, alpha: float) -> Callable[[float], float]:
    """Return the power as a function of the true difference in its own standard errors."""
    df, level = n - 1, alpha / comparisons
    if borrowed_df(math.inf if prior is None else prior.df, df, comparisons) == 0:
        return lambda standard_errors: power_of_t(standard_errors, df, level)
    bars = _bars_if_equal(df, comparisons, level) if prior is None else _bars(sd, df, comparisons, prior, level)
    return lambda standard_errors: float(
        np.mean(scipy.special.ndtr(standard_errors - bars) + scipy.special.ndtr(-standard_errors - bars))
    )


def _power_to_equate(
    sd: float, n: int, comparisons: int, prior: Prior | None, alpha: float
) -> Callable[[float], float]:
    """Return the power of two one-sided tests between equal arms as a function of the margin in standard errors."""
    df, level = n - 1, 2 * alpha / comparisons  # each test has its whole level on one side
    bars = _bars_if_equal(df, comparisons, level) if prior is None else _bars(sd, df, comparisons, prior, level)
    return lambda margin: float(np.mean(np.maximum(2 * scipy.special.ndtr(margin - bars) - 1, 0)))


@cache
def _bars_if_equal(df: int, comparisons: int, level: float) -> Array:
    """Draw what a mean must exceed, in its own standard errors, to be claimed in studies of equal true variances."""
    studies = max(_FEWEST_DRAWN, _DRAWN // comparisons)
    # The same quantiles for all df, so that power grows with replicates without steps of chance.
    quantile_SC = np.random.default_rng(0).random((studies, comparisons))
    variance_SC = scipy.special.gammaincinv(df / 2, quantile_SC) / (df / 2)
    prior = variance_prior(variance_SC, df).along_comparisons()
    return _bars_of(variance_SC, df, prior, comparisons, level)


def _bars(sd: float, df: int, comparisons: int, prior: Prior, level: float) -> Array:
    """Return what a mean must exceed for quantiles of its variance, given what the study's variances have in common."""
    quantile_Q = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    variance_Q = sd**2 * scipy.special.gammaincinv(df / 2, quantile_Q) / (df / 2)
    return _bars_of(variance_Q, df, prior, comparisons, level) / sd


def _bars_of(variances: ArrayLike, df: int, prior: Prior, comparisons: int, level: float) -> Array:
    used, total = moderated(variances, df, prior, comparisons)
    return np.asarray(scipy.special.stdtrit(total, 1 - level / 2) * np.sqrt(used))


def _check(n: int, sd: float) -> None:
    if n < 2:
        raise ValueError(f"n is {n}, but a spread needs at least 2 pairs; plan more replicates")
    if not sd > 0:
        raise ValueError(f"sd is {sd}, but must be > 0; the spread of single differences is meant")
