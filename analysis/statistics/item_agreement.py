"""Single trained models on single images: McNemar's test of two models, and calibration.

These speak of models, not of arms: another training of the same arm would disagree with itself too. Description only.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from ablation.mean_interval import mean_interval
from analysis.effects import arm_names
from analysis.load import PlannedStudy

BINS = 15
MCNEMAR_COLUMNS = ("arm", "against", "trial_id", "against_trial_id", "images", "only_arm", "only_against", "p")
CALIBRATION_COLUMNS = ("arm", "n", "error", "low", "high", "confidence", "accuracy")
RELIABILITY_COLUMNS = ("arm", "bin", "count", "confidence", "accuracy")


def best_models(study: PlannedStudy, trials: pd.DataFrame) -> dict[str, str]:
    """Name each arm's best completed confirm trial by validation, never by test; ties go to the plan's order."""
    column = study.primary.validation_column
    done = trials[(trials["phase"] == "confirm") & (trials["status"] == "completed")]
    if column not in done or done.empty:
        return {}
    ranked = done.assign(rank=done[column].astype(float)).dropna(subset="rank")
    ranked = ranked.sort_values("rank", ascending=not study.higher_is_better, kind="stable")
    found = ranked.drop_duplicates("arm").set_index("arm")["trial_id"]
    return {str(arm): str(found[arm]) for arm in arm_names(study, trials) if arm in found.index}


def mcnemar_table(study: PlannedStudy, trials: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Compare the best models of compared arms image by image with McNemar's exact test.

    Columns: arm, against, trial_id, against_trial_id, images (scored by both), only_arm (right in the arm's model
    alone), only_against, p (two-sided, exact, not corrected). No rows without predictions of the same images.
    Source: McNemar (1947).
    """
    models = best_models(study, trials)
    right = _right(predictions[predictions["trial_id"].isin(list(models.values()))])
    rows = []
    for arm, against in study.comparisons:
        first, second = models.get(arm), models.get(against)
        if first not in right or second not in right:
            continue
        both = pd.concat([right[first], right[second]], axis=1, join="inner").to_numpy()
        if not len(both):
            continue
        only_arm, only_against = int((both[:, 0] & ~both[:, 1]).sum()), int((~both[:, 0] & both[:, 1]).sum())
        rows.append((arm, against, first, second, len(both), only_arm, only_against, mcnemar_p(only_arm, only_against)))
    return pd.DataFrame(rows, columns=list(MCNEMAR_COLUMNS))


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Compute McNemar's exact two-sided p from the counts of images that only one of two models has right."""
    n = only_first + only_second
    return min(1.0, 2 * float(special.bdtr(min(only_first, only_second), n, 0.5)))


def calibration_error(confidence_N: ArrayLike, right_N: ArrayLike, bins: int = BINS) -> tuple[float, pd.DataFrame]:
    """Compute the expected calibration error over bins of equal mass, with the reliability table behind it.

    The error is the mean gap between confidence and accuracy, weighted by bin; bins differ by at most one image, and
    fewer images than bins give a bin each. The table has count, confidence and accuracy (means, 0..1), a row a bin in
    rising confidence. NaN and no rows without images. It is biased upwards, the more so the fewer images a bin has.
    Source: Naeini et al. (AAAI 2015); equal mass: Nguyen & O'Connor (EMNLP 2015).
    """
    confidence_N, right_N = np.asarray(confidence_N, dtype=float), np.asarray(right_N, dtype=float)
    if confidence_N.size == 0:
        return np.nan, pd.DataFrame(columns=list(RELIABILITY_COLUMNS[2:]))
    # Among equal confidences the right ones come last, so that the order of images changes nothing.
    order = np.lexsort((right_N, confidence_N))
    parts = np.array_split(order, min(bins, order.size))
    counts = np.array([part.size for part in parts])
    confidence = np.array([confidence_N[part].mean() for part in parts])
    accuracy = np.array([right_N[part].mean() for part in parts])
    error = float((counts * np.abs(accuracy - confidence)).sum() / counts.sum())
    return error, pd.DataFrame({"count": counts, "confidence": confidence, "accuracy": accuracy})


def calibration(
    study: PlannedStudy, trials: pd.DataFrame, predictions: pd.DataFrame, bins: int = BINS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Describe how far confidences can be trusted: each arm's calibration error, and its reliability table.

    Returns arm, n (replicates), error (mean over replicates of a trial's expected calibration error), low, high (its
    interval), confidence and accuracy (means over images); and arm, bin, count, confidence, accuracy over the bins of
    all its confirm trials. Arms without predictions are left out.
    """
    done = trials[(trials["phase"] == "confirm") & (trials["status"] == "completed")]
    rows = predictions.merge(done[["trial_id", "arm", "replicate"]], on="trial_id")
    errors, reliability = [], []
    for arm in arm_names(study, trials):
        mine = rows[rows["arm"] == arm]
        if mine.empty:
            continue
        by_replicate: dict[int, list[float]] = {}
        parts = []
        for (replicate, _), trial in mine.groupby(["replicate", "trial_id"]):
            right_N = (trial["label"] == trial["predicted"]).to_numpy()
            error, bins_of_trial = calibration_error(trial["confidence"].to_numpy(), right_N, bins)
            by_replicate.setdefault(int(str(replicate)), []).append(error)
            parts.append(bins_of_trial.assign(bin=range(len(bins_of_trial))))
        found = mean_interval([np.mean(errors_S) for errors_S in by_replicate.values()], largest=1.0)
        means = (float(mine["confidence"].mean()), float((mine["label"] == mine["predicted"]).mean()))
        errors.append((arm, len(by_replicate), float(found.mean), float(found.low), float(found.high), *means))
        reliability.append(_pooled(pd.concat(parts)).assign(arm=arm))
    pooled = pd.concat(reliability, ignore_index=True) if reliability else pd.DataFrame(columns=["arm"])
    return pd.DataFrame(errors, columns=list(CALIBRATION_COLUMNS)), pooled.reindex(columns=list(RELIABILITY_COLUMNS))


def _pooled(parts: pd.DataFrame) -> pd.DataFrame:
    sums = parts.assign(confidence=parts["confidence"] * parts["count"], accuracy=parts["accuracy"] * parts["count"])
    total = sums.groupby("bin", sort=True)[["count", "confidence", "accuracy"]].sum()
    means = total[["confidence", "accuracy"]].div(total["count"], axis=0)
    return means.assign(count=total["count"]).reset_index()


def _right(predictions: pd.DataFrame) -> dict[str, pd.Series[bool]]:
    right = predictions.assign(right=predictions["label"] == predictions["predicted"])
    return {str(trial): rows.set_index("image")["right"] for trial, rows in right.groupby("trial_id")}
