"""What every part of the method is worth, with one sign: with it minus without it, larger is better."""

from __future__ import annotations

import math

import pandas as pd

from analysis.effects import pairs
from analysis.question import Question

COLUMNS = ("label", "with", "without", "worth", "low", "high", "significant", "n")


def worth_table(
    study: Question, arms: pd.DataFrame, components: pd.DataFrame, comparisons: pd.DataFrame
) -> pd.DataFrame:
    """Rank what the reference has over each other arm, and what components added to the baseline, by their worth.

    Columns: label, with and without (arms), worth (with − without; the sign is turned where less is better, so that
    larger is always better), low, high, significant (after Holm, of declared comparisons), n (pairs). Arms without a
    pair are left out. Intervals are those of the tables given: ``effects.arms_table``, ``components.components_table``
    and ``effects.comparisons_table``.
    """
    home, sign = study.reference_arm, study.primary.sign
    tested = comparisons.to_dict("records")  # a pair may be declared in either direction
    declared = {frozenset((row["arm"], row["against"])): bool(row["significant"]) for row in tested}
    rows = []
    for row in arms[arms["difference"].notna()].to_dict("records"):
        ends = (row["difference"], row["difference_low"], row["difference_high"])
        is_sure = declared.get(frozenset((row["arm"], home)), False)
        rows.append((f"instead of {row['arm']}", home, row["arm"], *_worth(ends, -sign), is_sure, row["pairs"]))
    for row in components.to_dict("records"):
        # Of one factor alone, the baseline with it is the reference, which is ranked already.
        if row["added"] not in ("", home) and not math.isnan(row["added_difference"]):
            ends = (row["added_difference"], row["added_low"], row["added_high"])
            is_sure = declared.get(frozenset((row["added"], study.baseline_arm)), False)
            label = f"alone: {row['component']}={row['level']}"
            rows.append((label, row["added"], study.baseline_arm, *_worth(ends, sign), is_sure, row["added_n"]))
    found = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"significant": bool})
    return found.sort_values("worth", ascending=False, kind="stable", ignore_index=True)


def replicates_of(study: Question, table: pd.DataFrame, row: dict[str, object]) -> list[float]:
    """Return the paired differences behind a row of ``worth_table``, in its sign; empty if there are no pairs.

    ``table`` is of ``replicates``.
    """
    if not study.is_paired:
        return []
    whole, _ = pairs(table, str(row["with"]), str(row["without"]), study.metric)
    return [study.primary.sign * float(value) for value in whole["arm"] - whole["against"]]


def _worth(ends: tuple[float, float, float], sign: int) -> tuple[float, float, float]:
    difference, low, high = ends
    return (difference, low, high) if sign > 0 else (-difference, -high, -low)
