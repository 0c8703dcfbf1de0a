"""The page's second part: what confirmed models do on the test data, and what they cost."""

from __future__ import annotations

import pandas as pd

from analysis import effects, models
from analysis.report import class_figures, model_figures
from analysis.report.figures import Figure, View
from analysis.report.inputs import Inputs

MOST_ARMS = 20  # pictures of single arms on the page; the tables hold all


def view(inputs: Inputs, opened: tuple[str, ...]) -> View:
    """Show recall, confusions, embeddings, attention as far as trials left them, and cost against score."""
    study, trials = inputs.study, inputs.trials
    recalls = inputs.evidence.recall
    shares = models.confusion_shares(study, trials, inputs.evidence.confusions)
    points = models.embeddings(inputs.where, study, trials)
    maps = models.attention(inputs.where, study, trials)
    reliability = inputs.evidence.reliability
    costs = models.cost(inputs.evidence.arms, inputs.evidence.effort, study.metric)
    figures: dict[str, Figure] = {}
    if len(recalls):
        specs = [class_figures.recall_map(recalls, "mean")]
        if recalls["difference"].notna().any():
            specs.append(class_figures.recall_map(recalls, "difference"))
        figures["recall"] = Figure(tuple(specs), recalls, "recall")
    if len(shares):
        specs = [class_figures.confusion(study, arm, mine) for arm, mine in _by_arm(shares)]
        figures["confusion"] = Figure(tuple(specs), shares, "confusion")
    if len(points):
        specs = [model_figures.embedding(study, arm, mine) for arm, mine in _by_arm(points)]
        figures["embedding"] = Figure(tuple(specs), points, "embedding")
    if len(maps):
        most = max(1.01, float(maps["relative"].max()), 2 - float(maps["relative"].min()))
        specs = [model_figures.attention(study, arm, mine, most) for arm, mine in _by_arm(maps)]
        figures["attention"] = Figure(tuple(specs), maps, "attention")
    if len(reliability):
        drawn = model_figures.reliability(reliability, inputs.looks)
        figures["reliability"] = Figure((drawn,), reliability, "reliability", tuple(inputs.arms), opened)
    if len(costs):
        figures["cost"] = _cost(inputs, costs)
    tables = {"confusion": shares, "embedding": points, "attention": maps, "cost": costs}
    even = float(maps["relative"].max()) if len(maps) else 1.0
    return View(
        figures, tables, {"most_attention": even, "calibration": inputs.evidence.calibration.to_dict("records")}
    )


def _cost(inputs: Inputs, costs: pd.DataFrame) -> Figure:
    longest = float(costs["wall_s"].max())
    by, name = (3600.0, "hours") if longest > 5400 else (60.0, "minutes") if longest > 90 else (1.0, "seconds")
    ways = (("wall_s", 1 / by, f"trial time of the arm, {name}"), ("epochs", 1.0, "epochs trained in the arm"))
    specs = []
    for column, scale, title in ways:
        named = models.undominated(costs, column, inputs.study.higher_is_better) | {effects.REFERENCE, effects.BASELINE}
        specs.append(model_figures.cost(costs, column, scale, title, inputs.study.metric, inputs.unit, named))
    return Figure(tuple(specs), costs, "cost")


def _by_arm(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(arm), mine) for arm, mine in table.groupby("arm", sort=False)][:MOST_ARMS]
