"""Learning curves: confirm means in bold, every search trial thin, crosses where the search stopped one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.effects import arm_names
from analysis.load import Study
from analysis.report.figures import QUIET, axis, layout, plain, spec, styles
from analysis.report.numbers import Unit, unit_of

MOST_POINTS = 120_000  # of search trials in the page, about 2 MB; whole replicates beyond are left to epochs.parquet


def confirm_means(trials: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """Average each metric over an arm's completed confirm trials, epoch by epoch.

    Columns: arm, epoch, trials, then every ``metric.*`` column of ``epochs``. Unfinished trials are left out, since a
    mean over fewer and fewer trials would jump where one ends.
    """
    done = trials.loc[(trials["phase"] == "confirm") & (trials["status"] == "completed"), ["trial_id", "arm"]]
    metrics = [name for name in epochs.columns if name.startswith("metric.")]
    groups = epochs.merge(done, on="trial_id").groupby(["arm", "epoch"], sort=True)
    means = groups[metrics].mean()
    means.insert(0, "trials", groups["trial_id"].nunique())
    return means.reset_index()


def learning_curves(study: Study, trials: pd.DataFrame, epochs: pd.DataFrame) -> tuple[list[dict[str, Any]], int]:
    """Make one figure a metric, the primary validation metric first and with the search trials.

    Returns the figures' specifications and how many replicates of the search are drawn.
    """
    means = confirm_means(trials, epochs)
    primary = f"metric.val_{study.metric}"
    rest = [name for name in means.columns if name.startswith("metric.") and name != primary]
    names = [name for name in (primary, *rest) if name in means.columns and epochs[name].notna().any()]
    search = trials[trials["phase"] == "search"]
    lines = epochs.merge(search[["trial_id", "arm", "replicate", "status", "stopped_at_rung"]], on="trial_id")
    lines, drawn = _within_reach(lines.sort_values(["arm", "replicate", "trial_id", "epoch"]))
    specs = []
    for name in names:
        shown = lines if name == primary else lines.iloc[:0]
        title = name.removeprefix("metric.")
        known = [*means[name].dropna(), *shown[name].dropna()]
        is_score = title.removeprefix("val_").removeprefix("test_") in study.metrics
        unit = unit_of(known, study.higher_is_better and is_score)
        specs.append(spec(_figure(study, arm_names(study, trials), means, shown, name, unit), title.replace("_", " ")))
    return specs, drawn


def _within_reach(lines: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    sizes = lines.groupby("replicate").size().cumsum()
    kept = [replicate for replicate, size in sizes.items() if size <= MOST_POINTS]
    return lines[lines["replicate"].isin(kept)], len(kept)


def _figure(
    study: Study, arms: Sequence[str], means: pd.DataFrame, lines: pd.DataFrame, name: str, unit: Unit
) -> go.Figure:
    figure = go.Figure()
    looks = styles(arms)
    for arm in arms:
        _add_search(figure, arm, lines[lines["arm"] == arm], name, unit, looks[arm])
    for arm in arms:
        mine = means[means["arm"] == arm]
        colour, dash = looks[arm]
        figure.add_scatter(
            x=mine["epoch"].tolist(),
            y=plain(mine[name] * unit.scale),
            mode="lines",
            line={"color": colour, "dash": dash, "width": 3.5},
            legendgroup=arm,
            hovertemplate="epoch %{x}: %{y:.4g}<extra>confirm mean</extra>",
        )
    if len(lines):
        for rung in study.rungs:
            figure.add_vline(x=rung, line={"color": QUIET, "width": 1, "dash": "dot"})
    look = layout(460, "epoch", axis(name.removeprefix("metric."), unit))
    look["xaxis"] |= {"rangemode": "tozero"}
    figure.update_layout(**look)
    return figure


def _add_search(figure: go.Figure, arm: str, lines: pd.DataFrame, name: str, unit: Unit, look: tuple[str, str]) -> None:
    x: list[float | None] = []
    y: list[float | None] = []
    ends: list[Mapping[Any, Any]] = []
    for _, trial in lines.groupby(["replicate", "trial_id"], sort=True):
        x += [*plain(trial["epoch"]), None]
        y += [*plain(trial[name] * unit.scale), None]
        if trial["status"].iloc[0] == "stopped":
            ends.append(trial.iloc[-1].to_dict())
    thin = {"color": look[0], "width": 1}
    figure.add_scatter(x=x, y=y, mode="lines", line=thin, opacity=0.4, legendgroup=arm, hoverinfo="skip")
    figure.add_scatter(
        x=plain(end["epoch"] for end in ends),
        y=plain(end[name] * unit.scale for end in ends),
        mode="markers",
        marker={"symbol": "x-thin", "size": 7, "line": {"color": look[0], "width": 1.5}},
        legendgroup=arm,
        hovertemplate="stopped after epoch %{x} at %{y:.4g}<extra></extra>",
    )
