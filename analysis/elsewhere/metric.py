"""What the scores of a table are: their name, which way is better, their unit."""

from __future__ import annotations

import re
from typing import cast

import pandas as pd

from analysis.elsewhere.asked import Asked
from analysis.elsewhere.columns import Columns, plain_name
from analysis.numbers import unit_of
from analysis.verdicts import formatted
from search_spaces.metrics import Metric, MetricUnit, effect_faults, unit_taken
from search_spaces.names import RESERVED_METRICS

LESS_IS_BETTER = frozenset(
    ("loss", "error", "err", "rmse", "mse", "mae", "nll", "perplexity", "wer", "cer", "eer", "fid", "ece", "latency")
)
SHARES = frozenset(("accuracy", "acc", "recall", "precision", "f1", "auc", "auroc", "map", "miou", "iou", "dice"))


def metric_of(asked: Asked, columns: Columns, scores: pd.Series[float]) -> tuple[Metric, list[str]]:
    """Return the metric, as asked or by the column's name and the range of its numbers, and what was guessed."""
    plain = plain_name(columns.score or "score")
    name = asked.metric or plain
    name = f"{name} score" if name in RESERVED_METRICS else name
    words, said = set(re.split(r"[\s_]+", name.lower())), []
    is_minimised = asked.is_minimised
    if is_minimised is None:
        is_minimised = bool(words & LESS_IS_BETTER)
        said += [f"less {name.replace('_', ' ')} is better, by its name (--maximise, if not)"] if is_minimised else []
    unit = cast(MetricUnit | None, asked.unit)  # its faults were said before
    if unit is None and words & SHARES and 1 < scores.max() <= 100 and scores.min() >= 0:
        unit = "percent"
        said.append(f"{name.replace('_', ' ')} is in percent, by its name and range (--unit says otherwise)")
    return Metric(name=name, direction="minimize" if is_minimised else "maximize", unit=unit), said


def equivalence_faults(asked: Asked, metric: Metric, scores: pd.Series[float]) -> list[str]:
    """Say what is wrong with the smallest difference that matters, in the unit that these scores have."""
    if asked.equivalence is None:
        return []
    unit = unit_taken(scores, metric.higher_is_better, metric.unit)
    return list(effect_faults("--equivalence", asked.equivalence, metric.model_copy(update={"unit": unit})))


def equivalence_in_words(asked: Asked, metric: Metric, scores: pd.Series[float]) -> tuple[str, ...]:
    """Say which difference counts as none, so that a wrong unit is seen; nothing if none was asked for."""
    if asked.equivalence is None:
        return ()
    margin = formatted(asked.equivalence, unit_of(scores, metric.higher_is_better, metric.unit))
    return (f"practically equal, as asked: within ±{margin} of {metric.name.replace('_', ' ')}",)
