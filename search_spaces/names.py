"""Names that a space may use: arms, trial ids, files and tables are made of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from search_spaces.domains import Choice, Level
from search_spaces.metrics import is_prefixed

# Columns that the report's tables have beside one for each metric.
RESERVED_METRICS = frozenset(
    (
        *("run", "study", "trial_id", "arm", "role", "replicate", "seeds", "ended", "planned", "n", "missing", "pairs"),
        *("difference", "difference_low", "difference_high", "metric", "level", "value", "mean", "low", "high", "unit"),
    )
)


def short_names(factors: Iterable[str]) -> dict[str, str]:
    """Return as much of each factor's name as says it apart."""
    factors = list(factors)
    lasts = [factor.rpartition(".")[2] for factor in factors]
    return {name: last if lasts.count(last) == 1 else name for name, last in zip(factors, lasts, strict=True)}


def arm_name_faults(factors: Mapping[str, Choice]) -> Iterator[str]:
    """Say which factors and levels would give arms the same name, or names that file names do not give back."""
    between = "which stand between the parts of trial ids"
    short = short_names(factors)
    for name, choice in factors.items():
        if "/" in short[name] or "__" in short[name]:
            yield f"factor {name!r} holds '/' or '__' in the arms' names, {between}; rename it"
        written: dict[str, Level] = {}
        for level in choice.values:
            text = str(level)
            # An arm's name may end with a level, and "__" follows it.
            if "/" in text or "__" in f"{text}_":
                yield f"level {level!r} of {name} holds '/' or '__' or ends with '_', {between}; rename it"
            if any(f",{other}=" in text for other in short.values()):
                yield f"level {level!r} of {name} reads as levels of two factors in an arm's name; rename it"
            if written.setdefault(text, level) != level:
                yield f"levels {written[text]!r} and {level!r} of {name} are written alike; rename one"


def level_faults(choices: Mapping[str, Choice]) -> Iterator[str]:
    """Say which levels are the same to Python, and so to every table, or are no finite numbers."""
    for name, choice in choices.items():
        first: dict[Level, Level] = {}
        for level in choice.values:
            if isinstance(level, float) and not math.isfinite(level):
                yield f"level {level!r} of {name} must be finite; write it as text, such as 'none'"
            elif level in first:
                yield f"levels {first[level]!r} and {level!r} of {name} are equal, so one would be lost; keep one"
            first.setdefault(level, level)


def metric_faults(metrics: Iterable[str]) -> Iterator[str]:
    """Say which metrics would share a column of a table with something else."""
    metrics = list(metrics)
    for name in dict.fromkeys(metrics):
        if name in RESERVED_METRICS:
            yield f"metric {name!r} is a column of the report's tables already; rename it, such as '{name}_score'"
        if is_prefixed(name):
            yield f"metric {name!r} begins as records do; leave 'val_' and 'test_' away, trials put them before it"
        if "/" in name or not name.isprintable() or not name.strip():
            yield f"metric {name!r} holds '/' or what cannot be printed, or is empty; rename it"
        if metrics.count(name) > 1:
            yield f"metric {name!r} is listed twice; keep one"
        for end in ("low", "high"):
            if f"{name}_{end}" in metrics:
                yield f"metric '{name}_{end}' is the column for the interval of {name!r}; rename it"
