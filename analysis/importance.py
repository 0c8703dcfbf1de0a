"""Which searched hyperparameters go with the score, within an arm and at equal epochs; and how little that can say.

Rank statistics at the first rung, where no trial is censored yet. Optuna's evaluators take completed trials only,
which here are the ones that early stopping selected, and give shares without error; these give both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.effects import arm_names
from analysis.load import PlannedStudy
from analysis.statistics.resampling import generator
from analysis.tables.search_phase import comparison_epoch, domains, scores_at, unit_scale
from search_spaces.domains import Choice, Domain

Array = NDArray[np.float64]

DRAWS = 500
FEWEST_TRIALS = 6  # below, a rank correlation can say nothing at all
LUCK = 0.95  # quantile of what shuffled scores reach
COLUMNS = ("arm", "name", "trials", "epoch", "rho", "rho_low", "rho_high", "explained", "luck")


def importance(study: PlannedStudy, trials: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """Relate each searched hyperparameter to the primary validation score after the first rung, arm by arm.

    Columns: arm, name, trials, epoch; ``rho``, Spearman's correlation with the score (larger is better scores, so a
    positive one means that larger values did better), with a 95 % percentile bootstrap interval over trials; NaN
    for unordered choices. ``explained``: share of the variance of score ranks that a parabola in the hyperparameter
    (or its classes) explains, which also sees an optimum inside the range; ``luck``: what 95 % of shuffles stay
    below. Deterministic: draws are seeded by the study's seed and the arm's name. Arms with fewer than
    FEWEST_TRIALS trials at the rung are left out, and so are those whose trials all score alike there (``alike``).
    """
    epoch = comparison_epoch(study)
    scores = scores_at(study, trials, epochs, epoch)
    sign = study.primary.sign
    known = domains(study)
    searched = {arm.name: arm.searched for arm in study.arms}
    rows: list[tuple[object, ...]] = []
    for arm in arm_names(study, trials):
        mine = scores[scores["arm"] == arm]
        if len(mine) < FEWEST_TRIALS or mine["score"].nunique() < 2:
            continue
        ranks_N = _ranks((sign * mine["score"]).to_numpy())
        random = generator(study.plan.seed, "importance", arm)
        picks_DN = random.integers(0, len(mine), (DRAWS, len(mine)))
        shuffled_DN = random.permuted(np.tile(ranks_N, (DRAWS, 1)), axis=1)
        for name in searched.get(arm, ()):
            values = mine.get(f"config.{name}")
            if values is None or values.isna().any() or values.nunique() < 2:
                continue
            design_NP, ordered_N = _design(known[name], values)
            rho = _rho(ordered_N, ranks_N, picks_DN) if ordered_N is not None else (np.nan,) * 3
            explained = float(_explained(design_NP, ranks_N[None])[0])
            luck = float(np.quantile(_explained(design_NP, shuffled_DN), LUCK))
            rows.append((arm, name, len(mine), epoch, *rho, explained, luck))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def alike(study: PlannedStudy, trials: pd.DataFrame, epochs: pd.DataFrame) -> list[str]:
    """Name the arms with FEWEST_TRIALS or more trials at the rung that all score the same there."""
    scores = scores_at(study, trials, epochs, comparison_epoch(study)).groupby("arm")["score"].agg(["size", "nunique"])
    found = set(scores.index[(scores["size"] >= FEWEST_TRIALS) & (scores["nunique"] == 1)])
    return [arm for arm in arm_names(study, trials) if arm in found]


def _design(domain: Domain, values: pd.Series[Any]) -> tuple[Array, Array | None]:
    """Return centred, orthonormal columns that a score may depend on, and ranks where values have an order."""
    if isinstance(domain, Choice):
        columns_NC = np.asarray(pd.get_dummies(values.astype(str)), dtype=np.float64)
        ordered_N = None
    else:
        place_N = unit_scale(domain, values.to_numpy(dtype=float))
        columns_NC, ordered_N = np.stack([place_N, place_N**2], axis=1), _ranks(place_N)
    left, sizes, _ = np.linalg.svd(columns_NC - columns_NC.mean(axis=0), full_matrices=False)
    return np.asarray(left[:, sizes > 1e-9 * sizes.max()]), ordered_N


def _ranks(values_N: Array) -> Array:
    """Rank values from 1, ties at their mean."""
    return np.asarray(pd.Series(values_N).rank(), dtype=np.float64)


def _explained(design_NP: Array, ranks_DN: Array) -> Array:
    """Compute R² of least squares for each row of ranks."""
    centred_DN = ranks_DN - ranks_DN.mean(axis=1, keepdims=True)
    total_D = (centred_DN**2).sum(axis=1)
    return np.asarray(((centred_DN @ design_NP) ** 2).sum(axis=1) / np.where(total_D > 0, total_D, np.nan))


def _rho(ordered_N: Array, ranks_N: Array, picks_DN: NDArray[np.int64]) -> tuple[float, float, float]:
    """Correlate ranks, and the same trials drawn again with replacement; draws without spread are left out."""
    if np.ptp(ranks_N) == 0:
        return np.nan, np.nan, np.nan
    x_DN, y_DN = ordered_N[picks_DN], ranks_N[picks_DN]
    x_DN, y_DN = x_DN - x_DN.mean(axis=1, keepdims=True), y_DN - y_DN.mean(axis=1, keepdims=True)
    spread_D = np.sqrt((x_DN**2).sum(axis=1) * (y_DN**2).sum(axis=1))
    drawn = (x_DN * y_DN).sum(axis=1)[spread_D > 0] / spread_D[spread_D > 0]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(np.corrcoef(ordered_N, ranks_N)[0, 1]), float(low), float(high)
