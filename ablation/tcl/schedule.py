"""Learning-rate schedules, as the share of the peak at a point of training."""

from __future__ import annotations

import math
from collections.abc import Callable

WARM_UP_SHARE = 0.25


def one_cycle(progress: float) -> float:
    """Rise linearly over the first quarter, then fall to zero by a cosine (after Smith and Topin, 2018)."""
    if progress < WARM_UP_SHARE:
        return 0.04 + 0.96 * progress / WARM_UP_SHARE
    return cosine((progress - WARM_UP_SHARE) / (1 - WARM_UP_SHARE))


def cosine(progress: float) -> float:
    """Fall from one to zero by half a cosine (Loshchilov and Hutter, 2017)."""
    return (1 + math.cos(math.pi * progress)) / 2


def step(progress: float) -> float:
    """Fall tenfold at half and at three quarters of training."""
    return 10.0 ** -((progress >= 0.5) + (progress >= 0.75))


def constant(progress: float) -> float:
    """Stay at the peak."""
    return 1.0


# Functions of the share of training done, in 0..1.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "one-cycle": one_cycle,
    "cosine": cosine,
    "step": step,
    "constant": constant,
}
