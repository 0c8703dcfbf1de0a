"""What a study cost, in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from analysis import caveats
from analysis.numbers import count, duration


def effort_sentence(rows: Iterable[Mapping[str, Any]], sweep_wall_s: float | None) -> str:
    """Sum up what the study cost, and say whether every arm was given the same search."""
    rows = list(rows)
    planned = sorted({row["search"] for row in rows})
    epochs = sum(row["epochs"] for row in rows)
    trained = f"{count(epochs, 'epoch')} {'was' if epochs == 1 else 'were'} trained"
    took = f"; the sweep took {duration(sweep_wall_s)}" if sweep_wall_s is not None else ""
    who = "Every arm was given" if len(rows) > 1 else f"There {'was' if planned[0] == 1 else 'were'}"
    given = f"{who} {count(planned[0], 'search trial')}." if planned[0] else "Nothing was searched."
    fair = caveats.unequal_search(planned) or given
    trial_time = duration(sum(row["wall_s"] for row in rows))
    return f"{fair} In all, {trained} in {trial_time} of trial time{took}."
