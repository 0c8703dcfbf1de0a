"""Figures of confirmed models class by class: recall and confusions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from analysis.effects import REFERENCE
from analysis.load import PlannedStudy
from analysis.numbers import Unit, count
from analysis.report.figures import DIVERGING, SCALE, Spec, heat, map_layout, plain, scale, spec
from analysis.tables.models import class_name

POINTS = Unit(1.0, "", "", 1)


def recall_map(table: pd.DataFrame, column: str) -> Spec:
    """Draw per-class recall (``mean``) or its difference to the reference (``difference``), arms by classes."""
    differs = column == "difference"
    rows = table[table["arm"] != REFERENCE] if differs else table
    arms, classes = list(dict.fromkeys(rows["arm"])), list(dict.fromkeys(rows["class_name"]))
    cells = rows.set_index(["arm", "class_name"]).to_dict("index")
    found = [[cells.get((arm, name)) for name in classes] for arm in arms]
    z = [[None if cell is None or math.isnan(cell[column]) else 100 * cell[column] for cell in row] for row in found]
    text = [
        ["" if value is None else POINTS.difference(value) if differs else f"{value:.0f}" for value in row] for row in z
    ]
    largest = max((abs(value) for row in z for value in row if value is not None), default=1.0) or 1.0
    trace = heat(arms, classes, z, text) | {
        "customdata": [["" if differs or cell is None else _ends(cell) for cell in row] for row in found],
        "hovertemplate": "%{y}<br>%{x}: %{z:.1f}<br>%{customdata}<extra></extra>",
        "colorscale": scale(DIVERGING if differs else SCALE),
        "zmin": -largest if differs else 0.0,
        "zmax": largest if differs else 100.0,
    }
    name = "difference to the reference, percentage points" if differs else "recall, %"
    return spec(name, [trace], map_layout(len(arms), classes))


def confusion(study: PlannedStudy, arm: str, table: pd.DataFrame) -> Spec:
    """Draw one arm's mean confusion matrix: true classes by predicted classes, in percent of the true class."""
    labels = sorted(set(table["label"]) | set(table["predicted"]))
    names = [class_name(study, label) for label in labels]
    grid = table.pivot(index="label", columns="predicted", values="share").reindex(index=labels, columns=labels) * 100
    counts = table.pivot(index="label", columns="predicted", values="count").reindex(index=labels, columns=labels)
    z = [plain(row) for row in grid.to_numpy()]
    text = [["" if value is None else f"{value:.0f}" for value in row] for row in z]
    trace = heat(names, names, z, text) | {
        "customdata": [[None if math.isnan(count) else int(count) for count in row] for row in counts.to_numpy()],
        "hovertemplate": "true %{y}, predicted %{x}<br>%{z:.1f} % (%{customdata} items)<extra></extra>",
        **{"colorscale": scale(SCALE), "zmin": 0, "zmax": 100},
    }
    look = map_layout(len(labels), names)
    look["height"] += 24
    look["margin"]["t"] = 60
    look["xaxis"]["title"] = {"text": "predicted", "font": {"size": 13}, "standoff": 14}
    look["yaxis"]["title"] = {"text": "true", "font": {"size": 13}, "standoff": 6}
    return spec(arm, [trace], look)


def _ends(cell: dict[Any, Any]) -> str:
    n = count(cell["n"], "replicate")
    if np.isnan(cell["low"]):
        return f"no interval, {n}"
    return f"95 % interval {100 * cell['low']:.1f} to {100 * cell['high']:.1f}, {n}"
