"""Figures of effects: what components are worth, and responses to ordered factors."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.numbers import Unit
from analysis.report.figures import ACCENT, QUIET, Spec, axis, bars, escaped, layout, plain, rule, spec, two_lines


def forest(rows: pd.DataFrame, points: Sequence[Sequence[float]], score: str, unit: Unit) -> Spec:
    """Draw what components are worth with 95 % intervals, and each pair's difference as a dot.

    ``rows`` is as ``worth.worth_table`` returns it; ``points`` has each row's differences, none where
    replicates are no pairs.
    """
    heights = list(range(len(rows)))
    dots = [(value * unit.scale, height + 0.27) for height, mine in zip(heights, points, strict=True) for value in mine]
    traces = [
        {
            **{"type": "scatter", "mode": "markers", "name": "one replicate"},
            **{"x": [x for x, _ in dots], "y": [y for _, y in dots]},  # below the interval, which would hide them
            "marker": {"color": QUIET, "size": 5},
            "hovertemplate": "one replicate: %{x:+.4g}<extra></extra>",
        }
    ]
    placed = rows.assign(height=heights)
    for sure, symbol, name in ((True, "circle", "significant after Holm"), (False, "circle-open", "not significant")):
        mine = placed[placed["significant"] == sure]
        reach = [unit.at(low, high).reach(low, high) for low, high in zip(mine["low"], mine["high"], strict=True)]
        traces.append(
            {
                **{"type": "scatter", "mode": "markers", "name": name},
                "x": plain(mine["worth"] * unit.scale),
                "y": mine["height"].tolist(),
                "marker": {"color": ACCENT, "size": 10, "symbol": symbol, "line": {"width": 2, "color": ACCENT}},
                "error_x": bars(mine["worth"], mine["low"], mine["high"], unit.scale),
                "customdata": [
                    [escaped(with_), escaped(without), ends]
                    for with_, without, ends in zip(mine["with"], mine["without"], reach, strict=True)
                ],
                "hovertemplate": "%{customdata[0]} − %{customdata[1]}: %{x:+.4g} (%{customdata[2]})<extra></extra>",
            }
        )
    title = "worth, percentage points" if unit.points else f"worth in {axis(score, unit)}"
    look = layout(74 + 36 * len(rows), title, "")
    labels = {"tickvals": heights, "ticktext": [two_lines(label) for label in rows["label"]]}
    look["yaxis"] |= labels | {"range": [len(rows) - 0.4, -0.6], "showgrid": False}
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
