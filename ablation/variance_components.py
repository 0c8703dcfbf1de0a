"""How much of the spread of scores lies between replicates, how much between the runs of one: a report's and a plan's.

Arrays end in the axes replicates and seeds, with NaN for a run without a score.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class Components(NamedTuple):
    """Variances of one run's score, by where they come from.

    Attributes:
        between: of replicates: their searches, and whatever else a replicate's runs have in common. At least 0.
        within: of the runs of one replicate, which differ in their seed.
        between_df: degrees of freedom of the replicates' mean square.
        within_df: degrees of freedom of the runs'.
        is_clipped: whether the estimate of ``between`` was negative, for which 0 stands.
    """

    between: float
    within: float
    between_df: int
    within_df: int
    is_clipped: bool


def variance_components(scores_ARS: ArrayLike) -> Components | None:
    """Split the variance of scores into that between replicates and that within them, pooled over arms.

    A one-way random-effects analysis of variance in each arm, the mean squares pooled by their degrees of freedom, so
    that arms may have different means. The expected mean square between replicates is within + n0 · between, with n0
    the weighted number of runs a replicate; a negative difference is 0, as usual. None unless an arm has two replicates
    with scores, and a replicate two runs: there is nothing to split.
    Source: Searle, Casella & McCulloch, "Variance Components" (1992), section 3.6.

    >>> found = variance_components([[[1.0, 3.0], [5.0, 7.0]]])
    >>> found.between, found.within, found.between_df, found.within_df
    (7.0, 2.0, 1, 2)
    """
    scores_ARS = np.asarray(scores_ARS, dtype=float)
    known_ARS = ~np.isnan(scores_ARS)
    count_AR = known_ARS.sum(axis=-1)
    count_A = count_AR.sum(axis=-1)
    replicates_A = (count_AR > 0).sum(axis=-1)
    between_df, within_df = int(np.maximum(replicates_A - 1, 0).sum()), int(np.maximum(count_AR - 1, 0).sum())
    if between_df == 0 or within_df == 0:
        return None
    filled_ARS = np.where(known_ARS, scores_ARS, 0.0)
    mean_AR = filled_ARS.sum(axis=-1) / np.maximum(count_AR, 1)
    mean_A = filled_ARS.sum(axis=(-2, -1)) / np.maximum(count_A, 1)
    within = float((np.where(known_ARS, scores_ARS - mean_AR[..., None], 0.0) ** 2).sum()) / within_df
    square = float((count_AR * (mean_AR - mean_A[:, None]) ** 2).sum()) / between_df
    runs_each = float((count_A - (count_AR**2).sum(axis=-1) / np.maximum(count_A, 1)).sum()) / between_df
    between = (square - within) / runs_each
    return Components(max(between, 0.0), within, between_df, within_df, between < 0)
