"""Learning curves: confirm means in bold, search trials thin, crosses where the search stopped one."""

from __future__ import annotations

import pandas as pd

from analysis.numbers import Unit
from analysis.report.figures import Figure, Spec, axis, joined, layout, plain, rule, spec, thinned
from analysis.report.inputs import Inputs
from search_spaces.metrics import is_column, reported_name

MOST_TRIALS = 300  # search trials drawn, over all arms
MOST_METRICS = 40  # with a figure; curves.csv has all
MOST_POINTS = 60  # of one curve


def confirm_means(trials: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """Average each metric over an arm's completed confirm trials, epoch by epoch.

    Columns: arm, epoch, trials, then every ``metric.*`` column of ``epochs``. Unfinished trials are left out, since a
    mean over fewer and fewer trials would jump where one ends.
    """
    done = trials.loc[(trials["phase"] == "confirm") & (trials["status"] == "completed"), ["trial_id", "arm"]]
    metrics = list(filter(is_column, epochs.columns))
    mine = epochs[epochs["trial_id"].isin(done["trial_id"])]
    groups = mine.astype({"trial_id": str}).merge(done, on="trial_id").groupby(["arm", "epoch"], sort=True)
    means = groups[metrics].mean()
    return groups["trial_id"].nunique().to_frame("trials").join(means).copy().reset_index()


def drawn_trials(trials: pd.DataFrame, most: int = MOST_TRIALS) -> pd.DataFrame:
    """Choose the search trials to draw: whole replicates from the first on, as many as fit, or part of the first."""
    search = trials[(trials["phase"] == "search") & (trials["epochs_trained"] > 0)]
    sizes = search.groupby("replicate").size().cumsum()
    kept = search[search["replicate"].isin(sizes.index[sizes <= most])]
    if len(kept) or search.empty:
        return kept
    first = search[search["replicate"] == sizes.index[0]]
    few: pd.DataFrame = first.groupby("arm", sort=False).head(max(1, most // first["arm"].nunique()))
    return few


def learning_curves(inputs: Inputs) -> tuple[Figure | None, pd.DataFrame, int]:
    """Make one figure a metric, the primary validation metric first and with the search trials.

    Returns the figure, the means it shows, and how many search trials are drawn.
    """
    trials, epochs = inputs.trials, inputs.epochs
    means = confirm_means(inputs.latest, epochs)
    primary = inputs.study.primary.validation_column
    columns = sorted(filter(is_column, epochs.columns), key=lambda name: name != primary)
    known = [name for name in columns if epochs[name].notna().any()]
    validated = {metric.validation_column for metric in inputs.study.declared.values()}
    scores = [name for name in known if name in validated]
    kept = set(list(dict.fromkeys([*scores, *known]))[:MOST_METRICS])
    names = [name for name in known if name in kept]
    search = drawn_trials(inputs.shown(trials))
    lines = epochs.loc[epochs["trial_id"].isin(search["trial_id"]), ["trial_id", "epoch", *names]]
    lines = lines.astype({"trial_id": str}).merge(search[["trial_id", "arm", "replicate", "status"]], on="trial_id")
    lines = lines.sort_values(["arm", "replicate", "trial_id", "epoch"])
    specs = []
    for name in names:
        shown = lines if name == primary else lines.iloc[:0]
        # A curve goes through the epochs that were validated; a gap in any other metric says something.
        shown, drawn = (frame.dropna(subset=[name]) if name in validated else frame for frame in (shown, means))
        title = reported_name(name)
        unit = inputs.unit_of_metric(title, pd.concat([drawn[name], shown[name]]).dropna())
        if len(shown) or drawn[name].notna().any():
            few = drawn[["arm", "epoch", name]]
            specs.append(_figure(inputs, few, shown, name, unit))
    if not specs:
        return None, means, 0
    return Figure(tuple(specs), means, "curves", inputs.drawn), means, len(search)


def _figure(inputs: Inputs, means: pd.DataFrame, lines: pd.DataFrame, name: str, unit: Unit) -> Spec:
    traces = []
    for arm in inputs.drawn:
        mine = lines[lines["arm"] == arm]
        if len(mine):
            traces += _search_traces(arm, mine, name, unit, inputs.looks[arm][0])
    for arm in inputs.drawn:
        mean = thinned(means[means["arm"] == arm], 2 * MOST_POINTS)
        colour, dash = inputs.looks[arm]
        traces.append(
            {
                **{"type": "scatter", "mode": "lines", "name": arm, "legendgroup": arm},
                **{"x": mean["epoch"].tolist(), "y": plain(mean[name] * unit.scale)},
                "line": {"color": colour, "dash": dash, "width": 3},
                "hovertemplate": "epoch %{x}: %{y:.4g}<extra>confirm mean</extra>",
            }
        )
    title = reported_name(name)
    look = layout(420, "epoch", axis(title, unit))
    look["xaxis"] |= {"rangemode": "tozero"}
    if len(lines):
        look["shapes"] = [rule(epoch, dash="dot", width=1) for epoch in inputs.study.rungs]
    return spec(title.replace("_", " "), traces, look)


def _search_traces(arm: str, lines: pd.DataFrame, name: str, unit: Unit, colour: str) -> list[Spec]:
    groups = [thinned(trial, MOST_POINTS) for _, trial in lines.groupby(["replicate", "trial_id"], sort=True)]
    ends = lines[lines["status"] == "stopped"].groupby("trial_id", sort=False).tail(1)
    line = {
        **{"type": "scatter", "mode": "lines", "legendgroup": arm, "opacity": 0.4, "hoverinfo": "skip"},
        **joined((plain(trial["epoch"]), plain(trial[name] * unit.scale)) for trial in groups),
        **{"line": {"color": colour, "width": 1}, "name": f"{arm}, search"},
    }
    crosses = {
        **{"type": "scatter", "mode": "markers", "legendgroup": arm, "name": f"{arm}, stopped"},
        **{"x": plain(ends["epoch"]), "y": plain(ends[name] * unit.scale)},
        "marker": {"symbol": "x-thin", "size": 7, "line": {"color": colour, "width": 1.5}},
        "hovertemplate": "stopped after epoch %{x} at %{y:.4g}<extra></extra>",
    }
    return [line, crosses]
