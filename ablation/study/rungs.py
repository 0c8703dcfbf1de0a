"""ASHA's decisions: asynchronous successive halving in its stopping form, as pure functions of recorded values.

Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020), Algorithm 2, with early stopping in
place of pausing, as in Ray Tune and Vizier. Rungs are whole epochs (``Plan.rungs``).
"""

from __future__ import annotations

from collections.abc import Sequence


def goes_on(value: float, earlier: Sequence[float], reduction_factor: int) -> bool:
    """Decide at a rung whether a trial goes on, given the values recorded at that rung before it (larger is better).

    It does while fewer than max(1, ⌊n/η⌋) of them are better, n counting itself: so the first to arrive always goes
    on, which leaves every search a survivor.

    >>> goes_on(0.5, [], reduction_factor=3)
    True
    >>> goes_on(0.5, [0.6], reduction_factor=3)
    False
    >>> goes_on(0.5, [0.6, 0.4, 0.3, 0.2, 0.1], reduction_factor=3)
    True
    """
    survivors = max(1, (len(earlier) + 1) // reduction_factor)
    return sum(other > value for other in earlier) < survivors
