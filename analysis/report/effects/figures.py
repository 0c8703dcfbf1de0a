"""Figures of effects: differences to the reference, and responses to ordered factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.numbers import Unit
from analysis.report.figures import ACCENT, QUIET, Spec, axis, bars, escaped, layout, plain, rule, spec, two_lines


def forest(rows: pd.DataFrame, points: Mapping[str, Sequence[float]], score: str, unit: Unit) -> Spec:
    """Draw differences to the reference with 95 % intervals, and each pair's difference as a dot.

    ``rows`` holds arm, difference, low, high and significant (after Holm); ``points`` each arm's differences.
    """
    positions = {arm: index for index, arm in enumerate(rows["arm"])}
    dots = [(value * unit.scale, index + 0.27) for arm, index in positions.items() for value in points.get(arm, ())]
    traces = [
        {
            **{"type": "scatter", "mode": "markers", "name": "one replicate"},
            **{"x": [x for x, _ in dots], "y": [y for _, y in dots]},  # below the interval, which would hide them
            "marker": {"color": QUIET, "size": 5},
            "hovertemplate": "one replicate: %{x:+.4g}<extra></extra>",
        }
    ]
    for sure, symbol, name in ((True, "circle", "significant after Holm"), (False, "circle-open", "not significant")):
        mine = rows[rows["significant"] == sure]
        reach = [unit.at(low, high).reach(low, high) for low, high in zip(mine["low"], mine["high"], strict=True)]
        traces.append(
            {
                **{"type": "scatter", "mode": "markers", "name": name},
                "x": plain(mine["difference"] * unit.scale),
                "y": [positions[arm] for arm in mine["arm"]],
                "marker": {"color": ACCENT, "size": 10, "symbol": symbol, "line": {"width": 2, "color": ACCENT}},
                "error_x": bars(mine["difference"], mine["low"], mine["high"], unit.scale),
                "customdata": [[escaped(arm), ends] for arm, ends in zip(mine["arm"], reach, strict=True)],
                "hovertemplate": "%{customdata[0]}: %{x:+.4g} (%{customdata[1]})<extra></extra>",
            }
        )
    title = "difference, percentage points" if unit.points else f"difference in {axis(score, unit)}"
    look = layout(74 + 36 * len(positions), title, "")
    labels = {"tickvals": list(positions.values()), "ticktext": [two_lines(arm) for arm in positions]}
    look["yaxis"] |= labels | {"range": [len(positions) - 0.4, -0.6], "showgrid": False}
    look["shapes"] = [rule(0)]
    return spec("", traces, look)


def response(points: pd.DataFrame, curve: pd.DataFrame, factor: str, score: str, unit: Unit) -> Spec:
    """Draw mean and 95 % interval over an ordered factor's levels, each replicate as a thin line through its dots.

    ``points`` holds replicate, level and value, ``curve`` level, mean, low, high; the axis is logarithmic where
    positive levels span more than tenfold.
    """
    traces = [
        {
            **{"type": "scatter", "mode": "lines+markers", "name": "one replicate", "opacity": 0.55},
            **{"x": plain(mine["level"]), "y": plain(mine["value"] * unit.scale)},
            **{"line": {"color": QUIET, "width": 1}, "marker": {"color": QUIET, "size": 5}},
            "hovertemplate": "%{x}: %{y:.4g}<extra>one replicate</extra>",
        }
        for _, mine in points.sort_values(["replicate", "level"]).groupby("replicate")
    ]
    ends = zip(curve["low"], curve["high"], strict=True)
    traces.append(
        {
            **{"type": "scatter", "mode": "lines+markers", "name": "mean, 95 % interval"},
            **{"x": plain(curve["level"]), "y": plain(curve["mean"] * unit.scale)},
            **{"line": {"color": ACCENT, "width": 2}, "marker": {"color": ACCENT, "size": 9}},
            "error_y": bars(curve["mean"], curve["low"], curve["high"], unit.scale),
            "customdata": [unit.at(*pair).interval(*pair) for pair in ends],
            "hovertemplate": "%{x}: %{y:.4g} (%{customdata})<extra></extra>",
        }
    )
    levels = [float(level) for level in curve["level"]]
    look = layout(340, escaped(factor), axis(score, unit))
    look["xaxis"] |= {"tickvals": levels, "ticktext": [f"{level:g}" for level in levels]}
    if min(levels) > 0 and max(levels) > 10 * min(levels):
        look["xaxis"]["type"] = "log"
    return spec(factor, traces, look)
