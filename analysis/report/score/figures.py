"""The figure of a score: every confirm run on one line, and their mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.numbers import Unit
from analysis.report.figures import ACCENT, QUIET, Spec, axis, bars, escaped, layout, plain, spec

DOTS, MEAN = 1.0, 0.0  # heights of the two rows


def strip(runs: pd.DataFrame, mean: Mapping[Any, Any], metric: str, unit: Unit) -> Spec:
    """Draw completed confirm runs as dots, filled if they trained the best configuration, over a mean with interval.

    ``runs`` is what ``best.confirm_runs`` returned, ``mean`` a row of ``best.scores``.
    """
    traces = [
        {
            **{"type": "scatter", "mode": "markers", "name": name},
            **{"x": plain(mine[metric] * unit.scale), "y": [DOTS] * len(mine)},
            "marker": {"color": colour, "size": 9, "symbol": symbol, "line": {"width": 1.5, "color": colour}},
            "customdata": [escaped(trial) for trial in mine["trial_id"]],
            "hovertemplate": "%{customdata}: %{x:.4g}<extra></extra>",
        }
        for is_best, name, symbol, colour in (
            (False, "another configuration", "circle-open", QUIET),
            (True, "the best configuration", "circle", ACCENT),
        )
        for mine in (runs[runs["is_best"] == is_best],)
    ]
    one = pd.DataFrame([mean])
    reach = unit.at(mean["low"], mean["high"]).interval(mean["low"], mean["high"])
    traces.append(
        {
            **{"type": "scatter", "mode": "markers", "name": "mean"},
            **{"x": plain(one["mean"] * unit.scale), "y": [MEAN]},
            "marker": {"color": ACCENT, "size": 10, "symbol": "diamond"},
            "error_x": bars(one["mean"], one["low"], one["high"], unit.scale),
            "hovertemplate": f"mean: %{{x:.4g}} ({reach})<extra></extra>",
        }
    )
    look = layout(150, axis(f"test {metric}", unit), "")
    ticks = {"tickvals": [DOTS, MEAN], "ticktext": ["runs", "mean"]}
    look["yaxis"] |= {**ticks, "range": [-0.6, 1.6], "showgrid": False}
    return spec("", traces, look)
