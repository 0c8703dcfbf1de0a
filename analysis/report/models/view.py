"""The page's second part: what confirmed models do on the test data, and what they cost."""

from __future__ import annotations

import pandas as pd

from analysis import effects
from analysis.report.figures import Figure, Spec, View
from analysis.report.inputs import Inputs
from analysis.report.models import class_figures
from analysis.report.models import faces as photographs
from analysis.report.models import figures as model_figures
from analysis.report.sections import Part, Section
from analysis.tables import models

MOST_ARMS = 20  # pictures of single arms on the page; the tables hold all


def _recall(inputs: Inputs) -> View:
    recalls = inputs.evidence.recall
    if recalls.empty:
        return View()
    specs = [class_figures.recall_map(inputs.shown(recalls), "mean")]
    if recalls["difference"].notna().any():
        specs.append(class_figures.recall_map(inputs.shown(recalls), "difference"))
    return View({"recall": Figure(tuple(specs), recalls, "recall")})


def _confusion(inputs: Inputs) -> View:
    shares = models.confusion_shares(inputs.study, inputs.latest, inputs.evidence.confusions)
    specs = tuple(class_figures.confusion(inputs.study, arm, mine) for arm, mine in _by_arm(shares))
    return _table_and_figure("confusion", specs, shares)


def _embedding(inputs: Inputs) -> View:
    points = models.embeddings(inputs.where, inputs.study, inputs.latest)
    specs = tuple(model_figures.embedding(inputs.study, arm, mine) for arm, mine in _by_arm(points))
    return _table_and_figure("embedding", specs, points)


def _attention(inputs: Inputs) -> View:
    maps = models.attention(inputs.where, inputs.study, inputs.latest)
    if maps.empty:
        return View()
    largest = float(maps["relative"].max())
    most = max(1.01, largest, 2 - float(maps["relative"].min()))
    specs = tuple(model_figures.attention(inputs.study, arm, mine, most) for arm, mine in _by_arm(maps))
    shown = _table_and_figure("attention", specs, maps)
    return View(shown.figures, shown.tables, {"most_attention": largest})


def _reliability(inputs: Inputs) -> View:
    table = inputs.evidence.reliability
    if table.empty:
        return View()
    figure = Figure(
        (model_figures.reliability(inputs.shown(table), inputs.looks),),
        table,
        "reliability",
        inputs.drawn,
    )
    return View({"reliability": figure}, facts={"calibration": inputs.evidence.calibration.to_dict("records")})


def _table_and_figure(name: str, specs: tuple[Spec, ...], table: pd.DataFrame) -> View:
    return View({name: Figure(specs, table, name)} if specs else {}, {name: table})


def _cost(inputs: Inputs) -> View:
    if inputs.study.is_plain:
        return View()  # a single dot
    costs = models.cost(inputs.evidence.arms, inputs.evidence.effort, inputs.study.metric)
    if costs.empty:
        return View({}, {"cost": costs})
    longest = float(costs["wall_s"].max())
    by, name = (3600.0, "hours") if longest > 5400 else (60.0, "minutes") if longest > 90 else (1.0, "seconds")
    ways = (("wall_s", 1 / by, f"trial time of the arm, {name}"), ("epochs", 1.0, "epochs trained in the arm"))
    specs = []
    for column, scale, title in ways:
        named = models.undominated(costs, column, inputs.study.higher_is_better) | {effects.REFERENCE, effects.BASELINE}
        specs.append(model_figures.cost(costs, column, scale, title, inputs.study.metric, inputs.unit, named))
    return _table_and_figure("cost", tuple(specs), costs)


def _by_arm(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(arm), mine) for arm, mine in table.groupby("arm", sort=False)][:MOST_ARMS]


def _faces(inputs: Inputs) -> View:
    return View(facts={"faces": photographs.faces(inputs) if inputs.shows_faces else None})


PART = Part(
    "models",
    "Models",
    (
        Section("cost", "Cost against score", _cost, link="Cost"),
        Section(
            "recall", "Recall of each class", _recall, shows={"confusions": "Reading confusion counts"}, link="Classes"
        ),
        Section("confusion", "Confusions", _confusion, is_half=True),
        Section("attention", "Attention", _attention, is_half=True),
        Section("faces", "Photographs", _faces),
        Section("reliability", "Calibration", _reliability, shows={"predictions": "Reading predictions"}),
        Section("embedding", "Embedding", _embedding),
    ),
)
