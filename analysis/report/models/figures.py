"""Figures of confirmed models: embeddings, attention, calibration, and cost against score."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.effects import REFERENCE
from analysis.load import PlannedStudy
from analysis.numbers import Unit
from analysis.report.figures import (
    ALERT,
    CELL_TEXT,
    DIVERGING,
    HUES,
    QUIET,
    Spec,
    axis,
    bars,
    escaped,
    in_template,
    layout,
    plain,
    scale,
    spec,
)
from analysis.tables.models import class_name


def embedding(study: PlannedStudy, arm: str, table: pd.DataFrame) -> Spec:
    """Draw one trial's embedding in two dimensions, items as dots, whatever else lies there as diamonds."""
    traces: list[dict[str, Any]] = []
    for kind, symbol, size in (("image", "circle", 4.5), ("", "diamond", 13)):
        for label, mine in table.groupby("label", sort=True):
            rows = mine[(mine["kind"] == "image") == (kind == "image")]
            if rows.empty:
                continue
            known_as = class_name(study, int(str(label)))
            edge = {"width": 0} if kind else {"width": 1.5, "color": CELL_TEXT}
            traces.append(
                {
                    **{
                        "type": "scatter",
                        "mode": "markers",
                        "name": escaped(known_as),
                        "x": plain(rows["x"]),
                        "y": plain(rows["y"]),
                    },
                    "marker": {"color": _hue(int(str(label))), "size": size, "symbol": symbol, "line": edge},
                    "opacity": 0.6 if kind else 1.0,
                    "showlegend": bool(kind),
                    "hovertemplate": f"{in_template(known_as)} ({in_template(rows['kind'].iloc[0])})<extra></extra>",
                }
            )
    look = layout(460, "first principal component", "second principal component")
    look |= {"showlegend": True, "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}}
    look["legend"] |= {"itemsizing": "constant", "font": {"size": 12.5}}
    look["margin"]["t"] = 48
    return spec(arm, traces, look)


def attention(study: PlannedStudy, arm: str, table: pd.DataFrame, most: float) -> Spec:
    """Draw mean attention over places, one map a class, in units of even attention."""
    labels = sorted(set(table["label"]))
    columns = min(4, len(labels))
    rows = math.ceil(len(labels) / columns)
    look: dict[str, Any] = layout(24 + 140 * rows, "", "")
    look |= {"margin": {"l": 4, "r": 4, "t": 24, "b": 4}, "annotations": []}
    for name in ("xaxis", "yaxis"):
        del look[name]
    traces = []
    for index, label in enumerate(labels):
        grid = table[table["label"] == label].pivot(index="row", columns="column", values="relative")
        row, column = divmod(index, columns)
        left, right = (column + 0.04) / columns, (column + 0.96) / columns
        bottom, top = 1 - (row + 0.96) / rows, 1 - (row + 0.14) / rows
        number = str(index + 1) if index else ""
        hidden = {"visible": False, "fixedrange": True}
        look[f"xaxis{number}"] = {**hidden, "domain": [left, right], "anchor": f"y{number}", "constrain": "domain"}
        look[f"yaxis{number}"] = {**hidden, "domain": [bottom, top], "anchor": f"x{number}", "autorange": "reversed"}
        look[f"yaxis{number}"] |= {"scaleanchor": f"x{number}", "constrain": "domain"}
        title = {
            "x": (left + right) / 2,
            "y": top,
            "xref": "paper",
            "yref": "paper",
            "yanchor": "bottom",
            "xanchor": "center",
        }
        title |= {"text": escaped(class_name(study, int(label))), "showarrow": False, "font": {"size": 12.5}}
        look["annotations"].append(title)
        traces.append(
            {
                **{"type": "heatmap", "z": [plain(line) for line in grid.to_numpy()], "showscale": False},
                **{"xaxis": f"x{number}", "yaxis": f"y{number}", "xgap": 1, "ygap": 1},
                **{"zmin": 2 - most, "zmax": most, "colorscale": scale(DIVERGING)},
                "hovertemplate": "row %{y}, column %{x}: %{z:.2f} × even<extra></extra>",
            }
        )
    return spec(arm, traces, look)


def cost(
    table: pd.DataFrame, column: str, scale_by: float, title: str, metric: str, unit: Unit, named: Collection[str]
) -> Spec:
    """Draw each arm's test score with its interval against what the arm cost; ``named`` ones with their names."""
    scores = table["mean"] * unit.scale
    tops = (table["high"] * unit.scale).fillna(scores)
    dots = {
        **{"type": "scatter", "mode": "markers", "name": "arms"},
        **{"x": plain(table[column] * scale_by), "y": plain(scores)},
        "error_y": bars(table["mean"], table["low"], table["high"], unit.scale) | {"color": QUIET, "width": 0},
        "marker": {"color": [HUES[0] if arm != REFERENCE else QUIET for arm in table["arm"]], "size": 10},
        "customdata": [escaped(arm) for arm in table["arm"]],
        "hovertemplate": "%{customdata}<br>%{x:.4g}: %{y:.4g}<extra></extra>",
    }
    is_named = table["arm"].isin(list(named))
    # At the top of its interval, which would cross a name beside the dot.
    names = {
        **{"type": "scatter", "mode": "text", "name": "names", "hoverinfo": "skip", "cliponaxis": False},
        **{"x": plain(table[column][is_named] * scale_by), "y": plain(tops[is_named])},
        "text": [escaped(arm) for arm in table["arm"][is_named]],
        **{"textposition": _sides(table[column][is_named].tolist()), "textfont": {"size": 11.5}},
    }
    return spec(title, [dots, names], layout(400, title, axis(f"test {metric}", unit)))


def reliability(table: pd.DataFrame, looks: Mapping[str, tuple[str, str]]) -> Spec:
    """Draw how often predictions of a confidence are right; on the diagonal confidences can be taken at their word."""
    traces: list[dict[str, Any]] = [
        {
            **{"type": "scatter", "mode": "lines", "name": "as confident as right", "x": [0, 100], "y": [0, 100]},
            **{"line": {"color": QUIET, "width": 1, "dash": "dot"}, "hoverinfo": "skip"},
        }
    ]
    for arm, mine in table.groupby("arm", sort=False):
        colour, dash = looks[str(arm)]
        traces.append(
            {
                **{"type": "scatter", "mode": "lines+markers", "name": arm, "legendgroup": arm},
                **{"x": plain(mine["confidence"] * 100), "y": plain(mine["accuracy"] * 100)},
                **{"line": {"color": colour, "dash": dash, "width": 2}, "marker": {"size": 6}},
                "customdata": mine["count"].tolist(),
                "hovertemplate": f"{in_template(arm)}<br>confidence %{{x:.1f}} %: right %{{y:.1f}} %"
                "<br>%{customdata} predictions<extra></extra>",
            }
        )
    return spec("", traces, layout(360, "mean confidence, %", "right, %"))


def _sides(values: Sequence[float]) -> list[str]:
    middle = (min(values) + max(values)) / 2
    return ["top right" if value <= middle else "top left" for value in values]


def _hue(label: int) -> str:
    hues = (*HUES, ALERT, "#8A5A3C", "#5F8A2B", "#A8325E")
    return hues[label % len(hues)]
