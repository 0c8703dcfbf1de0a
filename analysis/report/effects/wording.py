"""What a study cost, and what its comparisons borrow of each other, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ablation.moderation import SHARE, Prior
from analysis import caveats
from analysis.numbers import count, decimal, duration

RULE = (
    "Moderated paired t: each comparison’s variance is averaged with the mean variance of all, which counts for at "
    f"most {SHARE}·(√m − 1) times its own degrees of freedom while m comparisons are undecided (less where the "
    "variances really scatter), and is never taken to be smaller than its own."
)


def effort_sentence(rows: Iterable[Mapping[str, Any]], sweep_wall_s: float | None) -> str:
    """Sum up what the study cost, and say whether every arm was given the same search."""
    rows = list(rows)
    planned = sorted({row["search"] for row in rows})
    epochs = count(sum(row["epochs"] for row in rows), "epoch")
    took = f"; the sweep took {duration(sweep_wall_s)}" if sweep_wall_s is not None else ""
    given = f"Every arm was given {count(planned[0], 'search trial')}." if planned[0] else "Nothing was searched."
    fair = caveats.unequal_search(planned) or given
    trial_time = duration(sum(row["wall_s"] for row in rows))
    return f"{fair} In all, {epochs} were trained in {trial_time} of trial time{took}."


def variances_sentence(prior: Prior) -> str:
    """Say how much the comparisons' variances scattered, against what chance alone gives; empty for fewer than two."""
    lenders = int(prior.lenders)
    if lenders < 2:
        return ""
    seen, expected = decimal(float(prior.scatter), 2), decimal(float(prior.expected), 2)
    return (
        f"The log variances of these {lenders} comparisons scatter by {seen}, where equal true variances give "
        f"{expected} on average."
    )
