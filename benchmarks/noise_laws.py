"""Ten laws of noise that arms of a study may follow: equal and normal, or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from analysis.inference import Array

# Scores without effects by study, arm (the reference first) and replicate. The sd is 1 unless the law says otherwise.
Law = Callable[[np.random.Generator, tuple[int, int, int]], Array]


def normal(random: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """Draw normal noise of sd 1 in every arm."""
    return random.standard_normal(shape)


def skewed(random: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """Draw exponential noise around its mean."""
    return random.standard_exponential(shape) - 1.0


def heavy_tailed(random: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """Draw Student's t with 4 degrees of freedom, brought to sd 1."""
    return np.asarray(random.standard_t(4, shape) / np.sqrt(2))


def scattered(spread: float) -> Law:
    """Return the law in which arms differ in noise: the logs of their sds are normal with sd ``spread``."""

    def draw(random: np.random.Generator, shape: tuple[int, int, int]) -> Array:
        sd_SA1: Array = np.exp(spread * random.standard_normal((*shape[:2], 1)))
        return random.standard_normal(shape) * sd_SA1

    return draw


def one_arm_apart(arm: int, sd: float) -> Law:
    """Return the law in which one arm's sd is ``sd``."""

    def draw(random: np.random.Generator, shape: tuple[int, int, int]) -> Array:
        scores_SAR = random.standard_normal(shape)
        scores_SAR[:, arm] *= sd
        return scores_SAR

    return draw


LAWS: Mapping[str, Law] = {
    "normal": normal,
    "skewed": skewed,
    "t with 4 df": heavy_tailed,
    "log sds scatter by 0.3": scattered(0.3),
    "log sds scatter by 0.5": scattered(0.5),
    "log sds scatter by 0.7": scattered(0.7),
    "log sds scatter by 1.0": scattered(1.0),
    "last arm 4 times as noisy": one_arm_apart(-1, 4.0),
    "reference 3 times as noisy": one_arm_apart(0, 3.0),
    "reference 0.3 times as noisy": one_arm_apart(0, 0.3),
}
