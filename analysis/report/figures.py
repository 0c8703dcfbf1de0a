"""What all figures share: plain Plotly specifications, one look, colours that work on light, dark and paper."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis.effects import BASELINE, REFERENCE
from analysis.numbers import Unit

Spec = dict[str, Any]

# After Okabe and Ito; orange and sky blue darkened, violet for yellow: each has about 3:1 on white and near black.
HUES = ("#0072B2", "#009E73", "#CC79A7", "#B07D00", "#4A97C4", "#8468C8")
ALERT = "#D55E00"
DASHES = ("solid", "dash", "dot", "dashdot")
QUIET = "#868c95"
ACCENT = HUES[0]
# One hue, and two that everyone can distinguish; light enough throughout for dark numbers to be read.
SCALE = ("#f5f9fc", "#cfe2f1", "#8fbde0")
DIVERGING = ("#eba25f", "#f8dfc6", "#f4f4f2", "#c9dff0", "#8abbe0")
CELL_TEXT = "#15212c"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
ROW_PX, LETTER_PX = 38, 7  # of a map: a name of a row may take two lines


@dataclass(frozen=True)
class Figure:
    """One place on the page: alternatives to choose from, their numbers as a table, and the arms that it can show.

    ``arms`` is empty where the page's choice of arms is nothing to it.
    """

    specs: tuple[Spec, ...]
    table: pd.DataFrame
    file: str
    arms: tuple[str, ...] = ()


@dataclass(frozen=True)
class View:
    """A part of the page: its figures by id, its tables by file name, and facts for its template."""

    figures: Mapping[str, Figure] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def styles(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Give each arm a colour and a dash; the reference is quiet grey and the baseline vermilion, like nothing else."""
    homes = {REFERENCE: (QUIET, "solid"), BASELINE: (ALERT, "solid")}
    others = [name for name in names if name not in homes]
    few = len(others) <= len(HUES)
    found = {
        name: (HUES[i % len(HUES)], "solid" if few else DASHES[(i + i // len(HUES)) % len(DASHES)])
        for i, name in enumerate(others)
    }
    return {name: homes.get(name) or found[name] for name in names}


def spec(name: str, traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any]) -> Spec:
    """Put a figure together as plain data, with numbers rounded to five digits."""
    return {"name": name, "data": [_rounded(dict(trace)) for trace in traces], "layout": dict(layout)}


def layout(height: int, x_title: str, y_title: str) -> dict[str, Any]:
    """Lay out a figure of ``height`` px: transparent, quiet, without legend, since the page has its own."""
    lines = {"gridcolor": "rgba(134,140,149,0.22)", "zeroline": False, "linecolor": QUIET, "fixedrange": True}
    ticks = {"automargin": True, "tickfont": {"size": 12.5}}
    return {
        "height": height,
        "font": {"family": FONT, "size": 13, "color": QUIET},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 50, "r": 14, "t": 12, "b": 46},
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {"font": {"family": FONT, "size": 13}},
        "xaxis": {**lines, **ticks, "title": {"text": x_title, "font": {"size": 13}, "standoff": 8}},
        "yaxis": {**lines, **ticks, "title": {"text": y_title, "font": {"size": 13}, "standoff": 8}},
    }


def axis(metric: str, unit: Unit) -> str:
    """Title an axis of values of a metric."""
    return escaped(metric.replace("_", " ")) + (", %" if unit.points else "")


def rule(x: float, *, dash: str = "solid", width: float = 1.5) -> dict[str, Any]:
    """Draw a quiet vertical line over the whole height, behind the data."""
    line = {"color": QUIET, "width": width, "dash": dash}
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line, "layer": "below"}


def bars(mean: pd.Series[float], low: pd.Series[float], high: pd.Series[float], scale: float) -> dict[str, Any]:
    """Format an interval as Plotly's error bars; none where an end is missing."""
    up, down = ((high - mean) * scale).fillna(0.0), ((mean - low) * scale).fillna(0.0)
    return {"type": "data", "array": plain(up), "arrayminus": plain(down), "color": ACCENT, "thickness": 2, "width": 5}


def heat(
    rows: Sequence[str], columns: Sequence[str], z: Sequence[Sequence[float | None]], text: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Draw a map of numbers with their text in the cells; names are escaped here."""
    return {
        **{"type": "heatmap", "z": [plain(row) for row in z], "text": [list(row) for row in text]},
        **{"x": [escaped(name) for name in columns], "y": [two_lines(name) for name in rows]},
        **{"texttemplate": "%{text}", "textfont": {"color": CELL_TEXT, "size": 12.5}, "xgap": 2, "ygap": 2},
        "showscale": False,
    }


def scale(colours: Sequence[str]) -> list[list[float | str]]:
    """Spread colours evenly over a colour scale."""
    return [[index / (len(colours) - 1), colour] for index, colour in enumerate(colours)]


def map_layout(rows: int, columns: Sequence[str]) -> dict[str, Any]:
    """Lay out a map: no grid, column names above, first row on top.

    ``meta`` says by how much the page makes it higher on a telephone, where column names stand upright.
    """
    look = layout(72 + ROW_PX * rows, "", "")
    bare = {"showgrid": False, "showline": False, "ticks": "", "automargin": True}
    # Upright or level: at a slant the names of one column stand over the next.
    look["xaxis"] |= {**bare, "side": "top", "autotickangles": [0, -90]}
    look["yaxis"] |= {**bare, "autorange": "reversed"}
    look["margin"] |= {"l": 8, "t": 36, "b": 8}
    look["meta"] = {"upright_px": LETTER_PX * max(map(len, columns), default=0)}
    return look


def joined(parts: Iterable[tuple[Iterable[Any], Iterable[Any]]]) -> dict[str, list[Any]]:
    """String many lines into one trace's x and y, with a gap after each."""
    x: list[Any] = []
    y: list[Any] = []
    for xs, ys in parts:
        x += [*xs, None]
        y += [*ys, None]
    return {"x": x, "y": y}


def plain(column: Iterable[float | None]) -> list[float | None]:
    """Turn numbers into JSON's: None if there is none."""
    return [None if value is None or not math.isfinite(value) else float(value) for value in column]


def escaped(text: object) -> str:
    """Format text for Plotly, which reads markup but knows few entities: quotation marks stay themselves."""
    return html.escape(str(text), quote=False)


def in_template(text: object) -> str:
    """Format text as part of a hover template, in which a percent sign could begin a variable."""
    return escaped(text).replace("%", "&#37;")


def two_lines(arm: str) -> str:
    """Break an arm's name at its last equals sign, so that labels fit a telephone; Plotly reads markup, so escape."""
    head, sign, tail = arm.rpartition("=")
    return f"{escaped(head)}=<br>{escaped(tail)}" if sign and len(arm) > 16 else escaped(arm)


def as_json(value: Any) -> Any:
    """Format a value as JSON that may stand in a script element."""
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Inside a script element only these could end it or start a comment; the escapes mean the same to JSON.
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def thinned(frame: pd.DataFrame, most: int) -> pd.DataFrame:
    """Keep at most ``most`` rows, evenly spaced, the first and the last among them."""
    if len(frame) <= most:
        return frame
    positions = sorted({round(i * (len(frame) - 1) / (most - 1)) for i in range(most)})
    return frame.iloc[positions]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return value.item() if hasattr(value, "item") else value
