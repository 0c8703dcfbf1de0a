"""Whether trials were run again after the study, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from analysis.numbers import count

KINDS = ("exact", "rounding", "different")


def rerun_counts(noted: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Count the trials that were run again by how they agreed with what was recorded: exact, rounding, different."""
    found = Counter(str(one.get("agreement")) for one in noted.values())
    return {kind: found[kind] for kind in KINDS}


def sentence(counts: Mapping[str, int]) -> str:
    """Say what running trials again showed, or that it was not done and how it is."""
    total = sum(counts.values())
    if not total:
        return "No trial has been run again; python -m ablation.rerun RUN --sample 5 does, and compares."
    said = f"{count(total, 'trial')} run again: {counts['exact']} the same bit for bit"
    said += f", {counts['rounding']} up to float rounding" if counts["rounding"] else ""
    return said + (f", {counts['different']} different." if counts["different"] else ".")
