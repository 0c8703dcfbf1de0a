"""How much of an interval is the luck of the replicates, and how much that of the test images: a two-way bootstrap.

A t interval over replicates holds for the test images at hand. Here both are drawn again, crossed: every replicate of
every arm scored the same images. Description only.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from analysis.effects import values
from analysis.inference import CONFIDENCE, Array
from analysis.load import PlannedStudy

DRAWS = 1000
MOST_CELLS = 2**22  # draws by images held at once: 32 MiB
COLUMNS = (
    *("arm", "against", "metric", "n", "images", "difference", "se_replicates", "se_images", "se_both"),
    *("low", "high"),
)
SAME = 1e-6  # a share recounted from predictions and the same share as a trial reported it


def generator(seed: int, *names: object) -> np.random.Generator:
    """Return a random generator that belongs to a study's seed and the names alone."""
    digest = hashlib.sha256("/".join(map(str, (seed, *names))).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def sampling_table(
    study: PlannedStudy, trials: pd.DataFrame, table: pd.DataFrame, predictions: pd.DataFrame
) -> pd.DataFrame:
    """Set the uncertainty from test images beside that from replicates, for the declared comparisons.

    Args:
        study: for the comparisons and the seed.
        trials: for the place of each trial.
        table: what ``effects.replicates`` returned: only replicates that count there count here.
        predictions: trial_id, image, label, predicted, as ``load.predictions`` returns them.

    Returns:
        Columns arm, against, metric, n (pairs), images, difference, se_replicates, se_images, se_both (standard errors
        of the difference), low and high: difference ± t(n − 1) · se_both. The metric is the study's primary one where
        it is the share of correct predictions or the mean of classes' recalls, else the share correct. No rows without
        predictions or comparisons, or where no image was scored by every trial.
    """
    hits, label_N = hits_of(study, trials, table, predictions)
    metric, weights_KN = counted_as(study, table, hits, label_N)
    rows = []
    for arm, against in study.comparisons:
        shared = sorted(set(hits.get(arm, {})) & set(hits.get(against, {})))
        if len(shared) < 2:
            continue
        differences_RN = np.stack([hits[arm][r] - hits[against][r] for r in shared])
        random = generator(study.plan.seed, "two-way bootstrap", arm, against)
        found = two_way(differences_RN, weights_KN, random)
        rows.append((arm, against, metric, len(shared), label_N.size, *found))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def two_way(
    differences_RN: Array, groups_KN: Array, random: np.random.Generator, draws: int = DRAWS
) -> tuple[float, float, float, float, float, float]:
    """Draw replicates and images again; return difference, its three standard errors, and the interval's two ends.

    Args:
        differences_RN: of right (1) and wrong (0) predictions, replicates by images.
        groups_KN: one-hot rows of images; the difference is the mean over groups of each group's mean. One row of
            ones gives the difference of accuracies, one row a class that of macro recalls.
        random: draws both.
        draws: of the bootstrap.

    R − 1 of the R replicates are drawn, so that the bootstrap's variance is s²/R and not (R − 1)/R of it. Crossed
    bootstraps count the interaction of replicate and image more than once and so err on the wide side.
    Source: Rao & Wu (1988); Owen, "The pigeonhole bootstrap" (2007).
    """
    replicates, images = differences_RN.shape
    share_KN = groups_KN / groups_KN.sum(axis=1, keepdims=True) / len(groups_KN)
    per_replicate_R = differences_RN @ share_KN.sum(axis=0)
    difference = float(per_replicate_R.mean())
    picks = random.integers(0, replicates, (draws, replicates - 1))
    weight_BR = _counts(picks, replicates) / (replicates - 1)
    both_B, images_B = np.empty(draws), np.empty(draws)
    step = max(1, MOST_CELLS // images)
    mean_N = differences_RN.mean(axis=0)
    for start in range(0, draws, step):
        chunk = slice(start, min(start + step, draws))
        count_BN = _counts(random.integers(0, images, (chunk.stop - start, images)), images)
        both_B[chunk] = _grouped(count_BN, weight_BR[chunk] @ differences_RN, groups_KN)
        images_B[chunk] = _grouped(count_BN, mean_N, groups_KN)
    spread = [float(per_replicate_R.std(ddof=1) / replicates**0.5), float(images_B.std(ddof=1))]
    spread.append(float(both_B.std(ddof=1)))
    reach = float(special.stdtrit(replicates - 1, 0.5 + CONFIDENCE / 2)) * spread[2]
    return difference, spread[0], spread[1], spread[2], difference - reach, difference + reach


def _counts(picks_BM: NDArray[np.int64], size: int) -> Array:
    """Count how often each of ``size`` things was picked, row by row."""
    rows = len(picks_BM)
    flat = picks_BM + size * np.arange(rows)[:, None]
    return np.bincount(flat.ravel(), minlength=rows * size).reshape(rows, size).astype(float)


def _grouped(count_BN: Array, differences_BN: Array, groups_KN: Array) -> Array:
    """Average the drawn images within groups, then over the groups that were drawn at all."""
    sums_BK = (count_BN * differences_BN) @ groups_KN.T
    sizes_BK = count_BN @ groups_KN.T
    means_BK = np.divide(sums_BK, sizes_BK, out=np.zeros_like(sums_BK), where=sizes_BK > 0)
    return np.asarray(means_BK.sum(axis=1) / (sizes_BK > 0).sum(axis=1))


def hits_of(
    study: PlannedStudy, trials: pd.DataFrame, table: pd.DataFrame, predictions: pd.DataFrame
) -> tuple[dict[str, dict[int, Array]], NDArray[np.int64]]:
    """Average right predictions over seeds, by arm and replicate, over the images that every trial scored."""
    done = trials[(trials["phase"] == "confirm") & (trials["status"] == "completed")]
    rows = predictions.merge(done[["trial_id", "arm", "replicate"]], on="trial_id")
    if rows.empty:
        return {}, np.zeros(0, dtype=np.int64)
    right = (rows["label"] == rows["predicted"]).astype(float)
    wide = (
        rows.assign(right=right).pivot_table(index=["arm", "replicate"], columns="image", values="right").dropna(axis=1)
    )
    if wide.empty:
        return {}, np.zeros(0, dtype=np.int64)
    label_N = rows.drop_duplicates("image").set_index("image")["label"].reindex(wide.columns).to_numpy(dtype=np.int64)
    found: dict[str, dict[int, Array]] = {}
    for (arm, replicate), hits_N in zip(wide.index, wide.to_numpy(), strict=True):
        if np.isfinite(values(table, arm, study.metric).get(replicate, np.nan)):
            found.setdefault(str(arm), {})[int(replicate)] = hits_N
    return found, label_N


def counted_as(
    study: PlannedStudy, table: pd.DataFrame, hits: dict[str, dict[int, Array]], label_N: NDArray[np.int64]
) -> tuple[str, Array]:
    """Find which way of counting gives the study's primary metric; return its name and the groups it averages."""
    everything_1N = np.ones((1, label_N.size))
    classes_KN = (label_N == np.unique(label_N)[:, None]).astype(float)
    for groups_KN in (everything_1N, classes_KN):
        gaps = [
            abs(float(_grouped(np.ones((1, label_N.size)), hits_N, groups_KN)[0]) - known)
            for arm, by_replicate in hits.items()
            for replicate, hits_N in by_replicate.items()
            for known in [float(values(table, arm, study.metric)[replicate])]
        ]
        if gaps and max(gaps) < SAME:
            return study.metric, groups_KN
    return "share correct", everything_1N
