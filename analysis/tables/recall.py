"""Per-class recall of each arm, from the confusion counts that confirm trials leave."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ablation.mean_interval import mean_interval
from analysis import inference
from analysis.effects import REFERENCE, arm_names
from analysis.load import PlannedStudy
from analysis.tables.models import class_name

COLUMNS = (
    *("arm", "label", "class_name", "n", "mean", "low", "high"),
    *("difference", "difference_low", "difference_high"),
)


def per_class_recall(study: PlannedStudy, trials: pd.DataFrame, confusions: pd.DataFrame) -> pd.DataFrame:
    """Average each class's recall over replicates, with interval and paired difference to the reference.

    Args:
        study: for the arms' order and the class names.
        trials: completed confirm trials count; seeds of one replicate are averaged first.
        confusions: trial_id, label, predicted, count, as ``load.confusions`` returns them.

    Returns:
        Columns arm, label, class_name, n (replicates), mean, low, high, difference, difference_low, difference_high, in
        0..1; no rows without counts. Description only: nothing here is tested.
    """
    done = trials[(trials["phase"] == "confirm") & (trials["status"] == "completed")]
    counts = confusions.merge(done[["trial_id", "arm", "replicate"]], on="trial_id")
    if counts.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    counts = counts.assign(hit=counts["count"].where(counts["label"] == counts["predicted"], 0))
    sums = counts.groupby(["arm", "replicate", "trial_id", "label"])[["hit", "count"]].sum()
    by_replicate = (sums["hit"] / sums["count"]).groupby(["arm", "replicate", "label"]).mean().rename("recall")
    wide = by_replicate.unstack("replicate")
    rows = []
    for arm in arm_names(study, trials):
        for label in sorted(counts["label"].unique()):
            if (arm, label) in wide.index:
                home = wide.loc[(REFERENCE, label)] if (REFERENCE, label) in wide.index else None
                rows.append(_row(study, arm, int(label), wide.loc[(arm, label)], home))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(
    study: PlannedStudy, arm: str, label: int, mine: pd.Series[float], home: pd.Series[float] | None
) -> tuple[object, ...]:
    name = class_name(study, label)
    mean = mean_interval(mine.to_numpy(dtype=float), largest=1.0)
    row: tuple[object, ...] = (arm, label, name, int(mine.count()), float(mean.mean), float(mean.low), float(mean.high))
    if home is None or arm == REFERENCE:
        return (*row, np.nan, np.nan, np.nan)
    paired = inference.paired_difference(mine.to_numpy(dtype=float), home.to_numpy(dtype=float))
    return (*row, float(paired.difference), float(paired.low), float(paired.high))
