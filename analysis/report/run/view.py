"""The page's last part: how the run went. Timeline, effort, trials without result."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from analysis.methods import methods_paragraph
from analysis.report.effects.wording import RULE
from analysis.report.figures import (
    ACCENT,
    ALERT,
    QUIET,
    Figure,
    Spec,
    View,
    as_json,
    escaped,
    joined,
    layout,
    plain,
    spec,
)
from analysis.report.inputs import Inputs
from analysis.report.run.trials import trial_table
from analysis.report.run.wording import effort_sentence
from analysis.report.sections import Part, Section, nothing
from analysis.tables import effort, reruns, timeline

MOST_BARS = 1500  # attempts drawn one by one; a larger sweep shows how many ran at once
KINDS = (
    ("search", ("completed", "stopped"), "search", "#6BA8D6"),
    ("confirm", ("completed",), "confirm", ACCENT),
    ("", ("failed", "diverged", "retried"), "failed, diverged or retried", ALERT),
    ("", ("interrupted", "pending"), "not ended", QUIET),
)
CHOICES = ("arm", "phase", "status")  # columns of trials that are filtered by one of their values


def _timeline(inputs: Inputs) -> View:
    found = timeline.attempts(inputs.log, inputs.trials)
    used = timeline.use(inputs.log, found)
    figures = {}
    if used is not None:
        by, name = (
            (3600.0, "hours") if used.sweep_s > 10800 else (60.0, "minutes") if used.sweep_s > 180 else (1.0, "seconds")
        )
        title = f"time since the sweep began, {name}"
        drawn = _bars(found, by, title) if len(found) <= MOST_BARS else _occupancy(found, by, title)
        figures["timeline"] = Figure((drawn,), found, "timeline")
    return View(figures, {"timeline": found}, {"used": used, "attempts": len(found)})


def _effort(inputs: Inputs) -> View:
    rows: list[dict[Any, Any]] = inputs.evidence.effort.to_dict("records")
    return View(
        facts={"effort": rows, "effort_sentence": effort_sentence(rows, inputs.summary.get("sweep_wall_s"))},
    )


def _trials(inputs: Inputs) -> View:
    table = trial_table(inputs)
    open_trials = inputs.evidence.not_completed if inputs.has_evidence else effort.not_completed(inputs.trials)
    given = open_trials[open_trials["reason"] != ""]
    reasons = Counter(zip(given["status"], given["reason"], strict=True))
    named = {column["title"]: column["names"] for column in table["columns"] if "names" in column}
    return View(
        tables={"not_completed": open_trials},
        facts={
            "reasons": [(status, reason, number) for (status, reason), number in reasons.most_common()],
            "trial_table": table,
            "trial_choices": [(name, named[name]) for name in CHOICES],
            "trial_json": as_json(table),
        },
    )


def _bars(found: pd.DataFrame, by: float, title: str) -> Spec:
    slots = int(found["slot"].max()) + 1
    height = min(26.0, 320 / slots)
    traces = []
    for phase, statuses, name, colour in KINDS:
        rows = found[found["status"].isin(statuses) & (found["phase"] == phase if phase else True)]
        starts, ends = rows["start_s"] / by, rows["end_s"] / by
        traces.append(
            {
                **{"type": "bar", "orientation": "h", "name": name, "showlegend": len(rows) > 0},
                **{"base": plain(starts), "x": plain(ends - starts), "y": (rows["slot"] + 1).tolist(), "width": 0.82},
                "marker": {"color": colour, "line": {"width": 0.5, "color": "rgba(255,255,255,0.75)"}},
                "customdata": [
                    escaped(trial) for trial in rows["trial_id"] + ", " + rows["status"] + _on(rows["node"])
                ],
                "hovertemplate": "%{customdata}<br>from %{base:.4g} for %{x:.3g}<extra></extra>",
            }
        )
    middles = found.groupby("node", sort=False)["slot"].agg(lambda on_node: 1 + (on_node.min() + on_node.max()) / 2)
    look = layout(int(110 + height * max(2, slots)), title, "slot" if len(middles) < 2 else "node")
    look |= {"barmode": "overlay", "showlegend": True}
    look["legend"] = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12.5}}
    look["yaxis"] |= {"range": [0.4, slots + 0.6], "dtick": max(1, slots // 8), "showgrid": False, "tick0": 1}
    if len(middles) > 1:
        look["yaxis"] |= {
            "tickmode": "array",
            "tickvals": plain(middles),
            "ticktext": list(map(escaped, middles.index)),
        }
    look["xaxis"] |= {"range": [0, float(found["end_s"].max()) / by * 1.005]}
    look["margin"]["t"] = 36
    return spec("", traces, look)


def _on(nodes: pd.Series) -> pd.Series:
    return (", on " + nodes).where(nodes != "", "")


def _occupancy(found: pd.DataFrame, by: float, title: str) -> Spec:
    running = timeline.occupancy(found)
    trace = {
        **{"type": "scatter", "mode": "lines", "name": "trials running"},
        **joined([(plain(running["time_s"] / by), running["running"].tolist())]),
        **{"line": {"color": ACCENT, "width": 1.5, "shape": "hv"}, "hovertemplate": "%{x:.4g}: %{y}<extra></extra>"},
    }
    look = layout(260, title, "trials running")
    look["yaxis"] |= {"rangemode": "tozero"}
    return spec("", [trace], look)


def _method(inputs: Inputs) -> View:
    return View(facts={"methods": methods_paragraph(inputs.study, RULE)})


def _provenance(inputs: Inputs) -> View:
    return View(facts={"run_again": reruns.sentence(inputs.evidence.reruns)})


PART = Part(
    "run",
    "Run",
    (
        Section("timeline", "Timeline", _timeline),
        Section("effort", "Effort", _effort),
        Section("trials", "Trials", _trials, shows={"not_completed": "The list of trials that did not complete"}),
        Section("tables", "Tables", nothing, shows={"findings": "findings.json"}),
        Section("method", "How to read this page", _method, link="How to read this"),
        Section(
            "provenance",
            "Provenance",
            _provenance,
            shows={"code": "Versions of the code", "reruns": "Trials that were run again"},
        ),
    ),
)
