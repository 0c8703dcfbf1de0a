"""The page's first part: differences to the reference, components, arms, declared comparisons, responses."""

from __future__ import annotations

from collections.abc import Collection
from itertools import count
from typing import Any

import pandas as pd

from analysis import effects
from analysis.report.effects import figures as effects_figures
from analysis.report.effects.wording import RULE, variances_sentence
from analysis.report.figures import Figure, View
from analysis.report.inputs import Inputs
from analysis.report.sections import EffectInputs, Part, Section
from analysis.verdicts import formatted, word


def _differences(inputs: EffectInputs) -> View:
    found, metric = inputs.evidence, inputs.study.metric
    home = inputs.study.reference_arm
    differing = _differing(found.arms, found.comparisons, home)
    if differing.empty:
        return View()
    shown, points = inputs.shown(differing), {}
    for arm in shown["arm"]:
        whole, _ = effects.pairs(found.replicates, arm, home, metric)
        points[arm] = (whole["arm"] - whole["against"]).tolist() if inputs.study.is_paired else []
    drawn = effects_figures.forest(shown, points, inputs.study.score, inputs.unit)
    return View({"forest": Figure((drawn,), differing, "arms")})


def _components(inputs: EffectInputs) -> View:
    found = inputs.evidence
    return View(facts={"components": _rows(found.components), "ablation_path": _rows(found.ablation_path)})


def _marginals(inputs: EffectInputs) -> View:
    found = inputs.evidence
    return View(facts={"marginals": _rows(found.marginals), "interactions": _rows(found.interactions)})


def _arms(inputs: Inputs) -> View:
    found = inputs.evidence
    return View(facts={"arms": _rows(found.arms), "cost_of": {row["arm"]: row for row in _rows(found.effort)}})


def _comparisons(inputs: EffectInputs) -> View:
    judged = list(zip(_rows(inputs.evidence.comparisons), inputs.evidence.verdicts, strict=True))
    rows = [{**row, "word": word(verdict, row["n"])} for row, verdict in judged]
    texts = [(row["arm"], verdict.text) for row, verdict in judged]
    prior = inputs.evidence.variances
    scatter = "" if prior is None else variances_sentence(prior)
    smallest = inputs.study.smallest_effect
    margin = "" if smallest is None else formatted(smallest, inputs.unit)
    return View(facts={"comparisons": rows, "verdicts": texts, "variances": scatter, "rule": RULE, "margin": margin})


def _responses(inputs: EffectInputs) -> View:
    study, table = inputs.study, inputs.evidence.replicates
    figures: dict[str, Figure] = {}
    tables: dict[str, pd.DataFrame] = {}
    curves = effects.responses(study, table)
    for index, (factor, curve) in enumerate(curves.items()):
        dots = curve[["level", "arm"]].merge(table, on="arm").rename(columns={study.metric: "value"})
        drawn = effects_figures.response(dots.dropna(subset="value"), curve, factor, study.score, inputs.unit)
        file = file_name(f"response_{factor}", tables)
        figures[f"response-{index}"], tables[file] = Figure((drawn,), curve, file), curve
    return View(figures, tables, {"responses": list(curves)})


def file_name(name: str, taken: Collection[str]) -> str:
    """Format a name as a file's, with a number after it where another is written so."""
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
    numbered = (safe if index == 1 else f"{safe}_{index}" for index in count(1))
    lower = {other.lower() for other in taken}  # as some file systems see them
    return next(file for file in numbered if file.lower() not in lower)


def _rows(table: pd.DataFrame) -> list[dict[Any, Any]]:
    return table.to_dict("records")


def _differing(arms: pd.DataFrame, comparisons: pd.DataFrame, home: str) -> pd.DataFrame:
    sure = set(comparisons.loc[comparisons["significant"] & (comparisons["against"] == home), "arm"])
    rows = arms[arms["difference"].notna()]
    ends = {"difference_low": "low", "difference_high": "high"}
    columns = ["arm", "difference", "difference_low", "difference_high"]
    return rows[columns].rename(columns=ends).assign(significant=rows["arm"].isin(sure))


PART = Part(
    "effects",
    "Effects",
    (
        Section("differences", "Differences to the reference", _differences, link="Differences"),
        Section(
            "components",
            "What each component is worth",
            _components,
            shows={"ablation_path": "From the baseline to the reference"},
            link="Components",
        ),
        Section("marginals", "Factors on average", _marginals, shows={"interactions": "Interactions"}, link="Factors"),
        Section("arms", "Arms", _arms),
        Section(
            "comparisons",
            "Declared comparisons",
            _comparisons,
            shows={"sampling": "Test-sampling uncertainty", "mcnemar": "Best models, picture by picture"},
            link="Comparisons",
        ),
        Section("responses", "Response to each ordered factor", _responses, link="Responses"),
    ),
    is_for=lambda study: not study.is_plain,
)
