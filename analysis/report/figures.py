"""The page's figures, as Plotly specifications in plain data: no ids, no clock, colours that work on light and dark."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.effects import REFERENCE
from analysis.load import Study
from analysis.report.numbers import Unit

# Okabe and Ito's palette without black and yellow, which vanish on a dark or a light page.
HUES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("solid", "dash", "dot", "dashdot")
QUIET = "#8a8f98"
ACCENT = HUES[0]
# One hue, and two that everyone can tell apart; light enough throughout for dark numbers to be read.
SCALE = ("#f5f9fc", "#cfe2f1", "#8fbde0")
DIVERGING = ("#eba25f", "#f8dfc6", "#f4f4f2", "#c9dff0", "#8abbe0")
CELL_TEXT = "#15212c"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def styles(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Give each arm a colour and a dash; the reference is quiet grey, since everything is measured against it."""
    others = [name for name in names if name != REFERENCE]
    found = {name: (HUES[i % len(HUES)], DASHES[i // len(HUES) % len(DASHES)]) for i, name in enumerate(others)}
    return {name: found.get(name, (QUIET, "solid")) for name in names}


def spec(figure: go.Figure, name: str = "") -> dict[str, Any]:
    """Turn a figure into plain data for the page's own loader, with numbers rounded to six digits."""
    plain = json.loads(figure.to_json())
    plain["layout"].pop("template", None)
    return {"name": name, "data": _rounded(plain["data"]), "layout": plain["layout"]}


def forest(comparisons: pd.DataFrame, points: Mapping[str, Sequence[float]], unit: Unit) -> go.Figure:
    """Draw paired differences to the reference with 95 % intervals, and each replicate's difference as a dot.

    ``comparisons`` holds arm, difference, low, high and significant (after Holm); ``points`` each arm's differences.
    """
    figure = go.Figure()
    places = {arm: place for place, arm in enumerate(comparisons["arm"])}
    dots = [(value * unit.scale, place + 0.26) for arm, place in places.items() for value in points.get(arm, ())]
    figure.add_scatter(
        x=[x for x, _ in dots],
        y=[y for _, y in dots],  # below the interval, which would hide them
        mode="markers",
        marker={"color": QUIET, "size": 6},
        hovertemplate="one replicate: %{x:+.4g}<extra></extra>",
    )
    for sure, symbol in ((True, "circle"), (False, "circle-open")):
        rows = comparisons[comparisons["significant"] == sure]
        reach = [unit.reach(low, high) for low, high in zip(rows["low"], rows["high"], strict=True)]
        figure.add_scatter(
            x=plain(rows["difference"] * unit.scale),
            y=[places[arm] for arm in rows["arm"]],
            mode="markers",
            marker={"color": ACCENT, "size": 11, "symbol": symbol, "line": {"width": 2, "color": ACCENT}},
            error_x=_bars(rows["difference"], rows["low"], rows["high"], unit.scale),
            customdata=[[html.escape(arm), ends] for arm, ends in zip(rows["arm"], reach, strict=True)],
            hovertemplate="%{customdata[0]}: %{x:+.4g} (%{customdata[1]})<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": QUIET, "width": 1.5})
    title = f"difference{', percentage points' if unit.points else ''}"
    look = layout(110 + 38 * len(places), title, "")
    labels = {"tickvals": list(places.values()), "ticktext": [_two_lines(arm) for arm in places]}
    look["yaxis"] |= labels | {"range": [len(places) - 0.4, -0.6], "showgrid": False, "automargin": True}
    figure.update_layout(**look)
    return figure


def response(points: pd.DataFrame, curve: pd.DataFrame, factor: str, metric: str, unit: Unit) -> go.Figure:
    """Draw mean and 95 % interval over a numeric factor's levels, each replicate as a thin line through its dots.

    ``points`` holds replicate, level and value, ``curve`` level, mean, low, high; the axis is logarithmic where
    positive levels span more than tenfold.
    """
    figure = go.Figure()
    for _, mine in points.sort_values(["replicate", "level"]).groupby("replicate"):
        figure.add_scatter(
            x=plain(mine["level"]),
            y=plain(mine["value"] * unit.scale),
            mode="lines+markers",
            line={"color": QUIET, "width": 1},
            marker={"color": QUIET, "size": 6},
            opacity=0.55,
            hovertemplate="%{x}: %{y:.4g}<extra>one replicate</extra>",
        )
    figure.add_scatter(
        x=plain(curve["level"]),
        y=plain(curve["mean"] * unit.scale),
        mode="lines+markers",
        line={"color": ACCENT, "width": 2},
        marker={"color": ACCENT, "size": 10},
        error_y=_bars(curve["mean"], curve["low"], curve["high"], unit.scale),
        customdata=[unit.interval(low, high) for low, high in zip(curve["low"], curve["high"], strict=True)],
        hovertemplate="%{x}: %{y:.4g} (%{customdata})<extra></extra>",
    )
    levels = [float(level) for level in curve["level"]]
    look = layout(380, html.escape(factor), axis(f"test {metric}", unit))
    look["xaxis"] |= {"tickvals": levels, "ticktext": [f"{level:g}" for level in levels]}
    if min(levels) > 0 and max(levels) > 10 * min(levels):
        look["xaxis"]["type"] = "log"
    figure.update_layout(**look)
    return figure


def recall_map(table: pd.DataFrame, column: str, study: Study) -> go.Figure:
    """Draw per-class recall (``mean``) or its difference to the reference (``difference``), arms by classes."""
    differs = column == "difference"
    rows = table[table["arm"] != REFERENCE] if differs else table
    arms, classes = list(dict.fromkeys(rows["arm"])), list(dict.fromkeys(rows["class_name"]))
    grid = rows.set_index(["arm", "class_name"])[[column, "low", "high", "n"]] * [100.0, 100.0, 100.0, 1.0]
    cells = [[grid.loc[(arm, name)] if (arm, name) in grid.index else None for name in classes] for arm in arms]
    z = [[None if cell is None or np.isnan(cell[column]) else float(cell[column]) for cell in row] for row in cells]
    largest = max((abs(value) for row in z for value in row if value is not None), default=1.0) or 1.0
    colours = DIVERGING if differs else SCALE
    points = Unit(1.0, "", "", 1)
    text = [[_cell(value, points if differs else None) for value in row] for row in z]
    hover = "%{y}<br>%{x}: %{z:.1f}<br>%{customdata}<extra></extra>"
    figure = go.Figure(
        go.Heatmap(
            z=z,
            x=[html.escape(name) for name in classes],
            y=[_two_lines(arm) for arm in arms],
            text=text,
            texttemplate="%{text}",
            textfont={"color": CELL_TEXT},
            customdata=[["" if differs else _recall_hover(cell) for cell in row] for row in cells],
            hovertemplate=hover,
            colorscale=[[i / (len(colours) - 1), colour] for i, colour in enumerate(colours)],
            zmin=-largest if differs else 0.0,
            zmax=largest if differs else 100.0,
            xgap=2,
            ygap=2,
            showscale=False,
        )
    )
    look = layout(60 + 36 * len(arms), "", "")
    bare = {"showgrid": False, "showline": False, "ticks": "", "automargin": True}
    look["xaxis"] |= {**bare, "side": "top"}
    look["yaxis"] |= {**bare, "autorange": "reversed"}
    look["margin"] |= {"t": 40, "b": 8}
    figure.update_layout(**look)
    return figure


def _cell(value: float | None, signed: Unit | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if signed is None else signed.difference(value)


def _recall_hover(cell: pd.Series[float] | None) -> str:
    if cell is None:
        return ""
    ends = "no interval" if np.isnan(cell["low"]) else f"95 % interval {cell['low']:.1f} to {cell['high']:.1f}"
    return f"{ends}, {int(cell['n'])} replicates"


def layout(height: int, x_title: str, y_title: str) -> dict[str, Any]:
    """Lay out a figure of ``height`` px: transparent, quiet, without legend, since the page has its own."""
    lines = {"gridcolor": "rgba(138,143,152,0.25)", "zeroline": False, "linecolor": QUIET, "fixedrange": True}
    return {
        "height": height,
        "font": {"family": FONT, "size": 13, "color": QUIET},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 56, "r": 16, "t": 16, "b": 52},
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {**lines, "title": {"text": x_title, "font": {"size": 13}, "standoff": 8}},
        "yaxis": {**lines, "title": {"text": y_title, "font": {"size": 13}, "standoff": 8}},
    }


def axis(metric: str, unit: Unit) -> str:
    """Title an axis of values of a metric."""
    return html.escape(metric.replace("_", " ")) + (", %" if unit.points else "")


def _bars(mean: pd.Series[float], low: pd.Series[float], high: pd.Series[float], scale: float) -> dict[str, Any]:
    up, down = ((high - mean) * scale).fillna(0.0), ((mean - low) * scale).fillna(0.0)
    return {"type": "data", "array": plain(up), "arrayminus": plain(down), "color": ACCENT, "thickness": 2, "width": 5}


def plain(column: Iterable[float]) -> list[float | None]:
    """Turn numbers into JSON's: None where there is none."""
    return [None if value is None or not np.isfinite(value) else float(value) for value in column]


def _two_lines(arm: str) -> str:
    """Break an arm's name at its last equals sign, so that labels fit a telephone; Plotly reads markup, so escape."""
    head, sign, tail = arm.rpartition("=")
    return f"{html.escape(head)}=<br>{html.escape(tail)}" if sign and len(arm) > 16 else html.escape(arm)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return {key: _rounded(item) for key, item in value.items()} if isinstance(value, dict) else value
