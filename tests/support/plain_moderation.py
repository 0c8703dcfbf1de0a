"""The moderated paired t a second time, one comparison after another, from the paper's formulas and scipy's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance

from scipy import optimize, special, stats


def prior(variances: Sequence[float], dfs: Sequence[float]) -> tuple[float, float]:
    """Return s0², the pooled variance, and d0 (Smyth 2004, section 6.2) by a root of scipy's in place of Newton."""
    kept = [(v, d) for v, d in zip(variances, dfs, strict=True) if v > 0]
    if len(kept) < 2:
        return math.nan, 0.0
    pooled = sum(d * v for v, d in kept) / sum(d for _, d in kept)
    e = [math.log(v) - special.psi(d / 2) + math.log(d / 2) for v, d in kept]
    excess = variance(e) - fmean(special.zeta(2, d / 2) for _, d in kept)
    if excess <= 0:
        return pooled, math.inf
    half = optimize.brentq(lambda y: math.log(special.zeta(2, y)) - math.log(excess), 1e-8, 1e12, xtol=1e-12)
    return pooled, 2 * half


def p_within(margin: float, difference: float, own: float, n: int, s0: float, d0: float, in_question: int) -> float:
    """Return the larger p of two one-sided tests: that the difference is below −margin, that it is above."""
    error, df = error_and_df(own, n, s0, d0, in_question)
    below = float(stats.t.sf((difference + margin) / error, df))
    above = float(stats.t.cdf((difference - margin) / error, df))
    return max(below, above)


def p_and_ends(
    difference: float, own: float, n: int, s0: float, d0: float, in_question: int
) -> tuple[float, float, float]:
    """Return a comparison's p and the ends of its 95 % interval."""
    error, df = error_and_df(own, n, s0, d0, in_question)
    reach = float(stats.t.ppf(0.975, df)) * error
    return 2 * float(stats.t.sf(abs(difference) / error, df)), difference - reach, difference + reach


def error_and_df(own: float, n: int, s0: float, d0: float, in_question: int) -> tuple[float, float]:
    """Return the standard error of a mean difference with what it borrows, and the degrees of freedom."""
    d = n - 1
    b = min(d0, 0.8 * (math.sqrt(in_question) - 1) * d)
    used = max(own, (b * s0 + d * own) / (b + d) if b else own)
    return math.sqrt(used / n), b + d


def adjusted(samples: Sequence[Sequence[float]], margin: float | None = None) -> list[float]:
    """Adjust every comparison's p, given the differences of each; NaN if a comparison cannot be tested.

    The p is that of a difference, or with a margin that of two one-sided tests.
    """
    tested = [index for index, sample in enumerate(samples) if len(sample) > 1 and variance(sample) > 0]
    s0, d0 = prior([variance(samples[i]) for i in tested], [len(samples[i]) - 1 for i in tested])
    found, reached, largest = [math.nan] * len(samples), 0.0, dict.fromkeys(tested, 0.0)
    left, length = list(tested), len(samples)
    while left:
        for i in left:
            known = (fmean(samples[i]), variance(samples[i]), len(samples[i]), s0, d0, len(left))
            p = p_and_ends(*known)[0] if margin is None else p_within(margin, *known)
            largest[i] = max(largest[i], p)
        first = min(left, key=largest.__getitem__)
        reached = min(1.0, max(reached, length * largest[first]))
        found[first] = reached
        left.remove(first)
        length -= 1
    return found
