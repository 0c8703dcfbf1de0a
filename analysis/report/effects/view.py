"""The page's first part: what components are worth, arms, declared comparisons, responses."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import count
from typing import Any

import pandas as pd

from analysis import effects
from analysis.report.effects import figures as effects_figures
from analysis.report.effects.settling import Settling, settled_by
from analysis.report.effects.wording import RULE, variances_sentence
from analysis.report.figures import Figure, View
from analysis.report.inputs import Inputs
from analysis.report.sections import EffectInputs, Part, Section
from analysis.tables import worth
from analysis.verdicts import Verdict, formatted, word


def _components(inputs: EffectInputs) -> View:
    found, study = inputs.evidence, inputs.study
    facts = {"components": _rows(found.components), "ablation_path": _rows(found.ablation_path)}
    ranked = worth.worth_table(study, found.arms, found.components, found.comparisons)
    if ranked.empty:
        return View(facts=facts)
    others = ranked["without"].where(ranked["with"] == study.reference_arm, ranked["with"])
    shown = inputs.shown(ranked.assign(arm=others))
    points = [worth.replicates_of(study, found.replicates, row) for row in _rows(shown)]
    forest = effects_figures.forest(shown, points, study.score, inputs.unit)
    return View({"forest": Figure((forest,), ranked, "worth")}, {"worth": ranked}, facts)


def _marginals(inputs: EffectInputs) -> View:
    found = inputs.evidence
    return View(facts={"marginals": _rows(found.marginals), "interactions": _rows(found.interactions)})


def _arms(inputs: Inputs) -> View:
    found = inputs.evidence
    return View(facts={"arms": _rows(found.arms), "cost_of": {row["arm"]: row for row in _rows(found.effort)}})


def _comparisons(inputs: Inputs) -> View:
    return compared(inputs, lambda verdict: settled_by(inputs, verdict))


def compared(inputs: EffectInputs, settled: Callable[[Verdict], Settling | None] = lambda _: None) -> View:
    """Show the comparisons, those apart that nothing decided; ``settled`` says what would, where a run can go on."""
    judged = list(zip(_rows(inputs.evidence.comparisons), inputs.evidence.verdicts, strict=True))
    rows = [
        {**row, "word": word(verdict, row["n"]), "kind": verdict.kind, "settled": settled(verdict)}
        for row, verdict in judged
    ]
    prior = inputs.evidence.variances
    smallest = inputs.study.smallest_effect
    facts = {
        "decided": [row for row in rows if row["kind"] != "undecided"],
        "undecided": [row for row in rows if row["kind"] == "undecided"],
        "comparisons": rows,
        "verdicts": [(row["arm"], verdict.text) for row, verdict in judged],
        "variances": "" if prior is None else variances_sentence(prior),
        "rule": RULE,
        "margin": "" if smallest is None else formatted(smallest, inputs.unit),
    }
    return View(facts=facts)


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


PART = Part(
    "effects",
    "Effects",
    (
        Section(
            "components",
            "What each component is worth",
            _components,
            shows={
                "differences": "The table of differences",
                "ablation_path": "From the baseline to the reference",
            },
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
