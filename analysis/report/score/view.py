"""The part of the page that a study of one arm has in place of effects: the score of its best configuration."""

from __future__ import annotations

from analysis.report.figures import Figure, View
from analysis.report.inputs import Inputs
from analysis.report.score import figures as score_figures
from analysis.report.sections import Part, Section
from analysis.tables.best import confirm_runs


def _scores(inputs: Inputs) -> View:
    return View(facts={"scores": inputs.evidence.scores.to_dict("records")})


def _confirmed(inputs: Inputs) -> View:
    found = inputs.evidence.best
    if found is None:
        return View(facts={"confirmed": []})
    runs = confirm_runs(inputs.study, inputs.trials, found)
    facts = {"confirmed": runs.to_dict("records"), "best": found}
    metric, scores = inputs.study.metric, inputs.evidence.scores
    known = runs[(runs["status"] == "completed") & runs[metric].notna()]
    if len(known) < 2:
        return View({}, {"confirm_runs": runs}, facts)
    mean = scores[scores["metric"] == metric].to_dict("records")[-1]  # of the procedure, if searches were repeated
    drawn = score_figures.strip(known, mean, metric, inputs.unit)
    return View({"strip": Figure((drawn,), runs, "confirm_runs")}, {"confirm_runs": runs}, facts)


PART = Part(
    "score",
    "Score",
    (
        Section("scores", "Test scores", _scores),
        Section("confirmed", "Confirm runs", _confirmed),
    ),
    is_for=lambda study: study.is_plain,
)
