"""Sentences about the searches: what arms chose, and how little a correlation says."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import pandas as pd

from analysis.numbers import count


def chosen_values(values: Sequence[object]) -> str:
    """Format what replicates chose: each value of a few, median and range of more than four numbers."""
    figures = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(values) > 4 and len(figures) == len(values):
        return f"{median(figures):.3g} ({min(figures):.3g} to {max(figures):.3g})"
    return " · ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in values)


def edge_warnings(edges: pd.DataFrame) -> list[str]:
    """Warn of arms in which at least half of the replicates, and at least two, chose a value at its range's end."""
    often = edges[(edges["at_edge"] >= 2) & (2 * edges["at_edge"] >= edges["replicates"])]
    return [
        f"{row['arm']}: {row['at_edge']} of {row['replicates']} replicates chose {row['name']} at the {row['end']} end "
        f"of its range ({row['bound']:g}); a wider range might serve this arm better."
        for row in often.to_dict("records")
    ]


def importance_summary(table: pd.DataFrame) -> str:
    """Say how many of the correlations could be reported from none; empty if there are none."""
    known = table[table["rho"].notna()]
    if known.empty:
        return ""
    sure = int(((known["rho_low"] > 0) | (known["rho_high"] < 0)).sum())
    fewest, most = int(known["trials"].min()), int(known["trials"].max())
    each = str(fewest) if fewest == most else f"{fewest} to {most}"
    excluded = f"{sure} of {count(len(known), 'interval')} {'excludes' if sure == 1 else 'exclude'} 0"
    return (
        f"{excluded}, where chance alone would give about {0.05 * len(known):.0f}. "
        f"With {each} trials an arm this says little: read it as a hint of what to tune, not as a result."
    )
