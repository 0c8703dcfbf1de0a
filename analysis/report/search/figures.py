"""Figures of the search phase: survival, best so far, importance, slices, parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.numbers import THIN, Unit, decimal
from analysis.report.figures import (
    ACCENT,
    DIVERGING,
    QUIET,
    SCALE,
    Spec,
    axis,
    escaped,
    heat,
    in_template,
    joined,
    layout,
    map_layout,
    plain,
    rule,
    scale,
    spec,
)
from analysis.tables.search_phase import unit_scale
from search_spaces.domains import Choice, Domain

Looks = Mapping[str, tuple[str, str]]


def steps(curves: pd.DataFrame, x: str, y: str, looks: Looks, rungs: Sequence[int], titles: tuple[str, str]) -> Spec:
    """Draw one step line an arm, or a dot if it has one point, which is no line."""
    traces = [
        {
            **{"type": "scatter", "mode": "lines" if len(mine) > 1 else "markers", "name": arm, "legendgroup": arm},
            **{"x": mine[x].tolist(), "y": plain(mine[y])},
            "line": {"color": looks[str(arm)][0], "dash": looks[str(arm)][1], "width": 2.5, "shape": "hv"},
            "marker": {"color": looks[str(arm)][0], "size": 8},
            "hovertemplate": f"{in_template(arm)}<br>%{{x}} epochs: %{{y:.4g}}<extra></extra>",
        }
        for arm, mine in curves.groupby("arm", sort=False)
    ]
    look = layout(320, *titles)
    look["xaxis"] |= {"rangemode": "tozero"}
    look["shapes"] = [rule(epoch, dash="dot", width=1) for epoch in rungs]
    return spec("", traces, look)


def correlations(table: pd.DataFrame, arms: Sequence[str], names: Sequence[str]) -> Spec:
    """Draw rank correlations with the score, arms by hyperparameters; in brackets if the interval includes 0."""
    cells = table.set_index(["arm", "name"]).to_dict("index")
    z, text, hover = [], [], []
    for arm in arms:
        found = [cells.get((arm, name)) for name in names]
        known = [cell if cell is not None and math.isfinite(cell["rho"]) else None for cell in found]
        z.append([None if cell is None else cell["rho"] for cell in known])
        text.append(["" if cell is None else _bracketed(cell) for cell in known])
        hover.append(
            [
                "not searched"
                if cell is None
                else f"95{THIN}% interval {decimal(cell['rho_low'], 2)} to {decimal(cell['rho_high'], 2)}, "
                f"{cell['trials']} trials"
                for cell in known
            ]
        )
    trace = heat(arms, names, z, text) | {"customdata": hover, "zmin": -1, "zmax": 1, "colorscale": scale(DIVERGING)}
    trace |= {"hovertemplate": "%{y}<br>%{x}: %{z:+.2f}<br>%{customdata}<extra></extra>"}
    return spec("rank correlation with the score", [trace], map_layout(len(arms), names))


def explained(table: pd.DataFrame, arms: Sequence[str], names: Sequence[str]) -> Spec:
    """Draw the share of score ranks that each hyperparameter explains; in brackets if shuffles reach as much."""
    cells = table.set_index(["arm", "name"]).to_dict("index")
    found = [[cells.get((arm, name)) for name in names] for arm in arms]
    z = [[None if cell is None else 100 * cell["explained"] for cell in row] for row in found]
    text = [
        [
            ""
            if cell is None
            else f"{100 * cell['explained']:.0f}"
            if cell["explained"] > cell["luck"]
            else f"({100 * cell['explained']:.0f})"
            for cell in row
        ]
        for row in found
    ]
    luck = [[None if cell is None else round(100 * cell["luck"]) for cell in row] for row in found]
    trace = heat(arms, names, z, text) | {"customdata": luck, "zmin": 0, "zmax": 100, "colorscale": scale(SCALE)}
    trace |= {"hovertemplate": "%{y}<br>%{x}: %{z:.0f} %<br>luck alone reaches %{customdata} %<extra></extra>"}
    return spec("variance of score ranks explained, %", [trace], map_layout(len(arms), names))


def slices(scores: pd.DataFrame, name: str, domain: Domain, metric: str, unit: Unit, looks: Looks) -> Spec | None:
    """Draw scores at equal epochs against one hyperparameter; open markers: stopped later, so censored."""
    column = f"config.{name}"
    known = scores[scores[column].notna()]
    traces = []
    for arm, mine in known.groupby("arm", sort=False):
        for stopped, symbol in ((False, "circle"), (True, "circle-open")):
            rows = mine[(mine["status"] != "completed") == stopped]
            traces.append(
                {
                    **{"type": "scatter", "mode": "markers", "legendgroup": arm},
                    "name": f"{arm}, stopped" if stopped else arm,
                    **{"x": _values(rows[column], domain), "y": plain(rows["score"] * unit.scale)},
                    "marker": {"color": looks[str(arm)][0], "symbol": symbol, "size": 8, "line": {"width": 1.5}},
                    "customdata": [escaped(text) for text in rows["trial_id"] + ", " + rows["status"]],
                    "hovertemplate": "%{customdata}<br>%{x:.3g}: %{y:.4g}<extra></extra>",
                }
            )
    if known.empty:
        return None
    look = layout(360, escaped(name), axis(f"val {metric}", unit))
    if not isinstance(domain, Choice) and domain.log:
        few_decades = domain.high < 200 * domain.low
        minor = {"dtick": "D1", "ticks": "outside", "ticklen": 3}
        look["xaxis"] |= {"type": "log", "dtick": "D2" if few_decades else 1, "minor": minor}
        look["xaxis"]["exponentformat"] = "none" if few_decades else "power"
    return spec(name, traces, look)


def parallel(
    scores: pd.DataFrame, domains: Mapping[str, Domain], metric: str, unit: Unit, higher_is_better: bool
) -> Spec:
    """Draw each trial as a line through its hyperparameters and score; its arm's best quarter stands out."""
    names = [name for name in domains if scores[f"config.{name}"].notna().any()]
    positions = {name: _places(scores[f"config.{name}"], domains[name]) for name in names}
    low, high = float(scores["score"].min()), float(scores["score"].max())
    frame = pd.DataFrame(positions).assign(score=(scores["score"] - low) / ((high - low) or 1.0))
    rank = scores.groupby("arm")["score"].rank(pct=True, ascending=not higher_is_better)
    traces = []
    for arm, mine in scores.groupby("arm", sort=False):
        for best in (False, True):
            rows = frame.loc[mine.index[(rank[mine.index] <= 0.25) == best]]
            parts = [([i for i, y in enumerate(row) if not math.isnan(y)], [y for y in row if not math.isnan(y)])
                     for row in rows.to_numpy().tolist()]  # fmt: skip
            traces.append(
                {
                    **{"type": "scatter", "mode": "lines", "legendgroup": arm, "hoverinfo": "skip"},
                    "name": f"{arm}, best quarter" if best else f"{arm}, other trials",
                    **joined(parts),
                    "line": {"color": ACCENT if best else QUIET, "width": 2 if best else 1},
                    "opacity": 0.85 if best else 0.5,
                }
            )
    look = layout(360, "", "")
    ends = [_ends(domains[name]) for name in names] + [(unit.at(low, high).bare(low), unit.at(low, high).bare(high))]
    titles = [escaped(name.rpartition(".")[2]) for name in names] + [axis(f"val {metric}", unit)]
    look["xaxis"] |= {"tickvals": list(range(len(titles))), "ticktext": titles, "range": [-0.25, len(titles) - 0.75]}
    look["xaxis"] |= {"showgrid": True, "gridcolor": QUIET, "side": "top", "showline": False}
    look["yaxis"] |= {"visible": False, "range": [-0.1, 1.1]}
    look["margin"] |= {"l": 8, "t": 36, "b": 8}
    look["annotations"] = [
        {"x": index, "y": y, "text": escaped(text), "showarrow": False, "font": {"size": 11.5}}
        for index, (bottom, top) in enumerate(ends)
        for y, text in ((-0.055, bottom), (1.055, top))
    ]
    return spec("", traces, look)


def _places(values: pd.Series[Any], domain: Domain) -> np.ndarray:
    if not isinstance(domain, Choice):
        return unit_scale(domain, values.to_numpy(dtype=float))
    order = {str(value): index for index, value in enumerate(domain.values)}
    return values.astype(str).map(order).to_numpy(dtype=float) / max(1, len(order) - 1)


def _values(values: pd.Series[Any], domain: Domain) -> list[Any]:
    return [escaped(str(value)) for value in values] if isinstance(domain, Choice) else plain(values)


def _ends(domain: Domain) -> tuple[str, str]:
    if isinstance(domain, Choice):
        return str(domain.values[0]), str(domain.values[-1])
    return f"{domain.low:g}", f"{domain.high:g}"


def _bracketed(cell: Mapping[Any, Any]) -> str:
    text = ("+" if cell["rho"] > 0 else "") + decimal(cell["rho"], 2)
    return text if cell["rho_low"] > 0 or cell["rho_high"] < 0 else f"({text})"
