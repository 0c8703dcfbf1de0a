"""The page's first part: the answer, differences to the reference, declared comparisons, arms, responses."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from itertools import count
from typing import Any

import pandas as pd

from analysis import effects
from analysis.answer import answer
from analysis.caveats import caveats
from analysis.report.effects import figures as effects_figures
from analysis.report.effects.wording import variances_sentence
from analysis.report.figures import Figure, Section, View
from analysis.report.inputs import Inputs
from analysis.verdicts import word

SHOWN = ("components", "ablation_path", "marginals", "interactions")


def sections(inputs: Inputs) -> dict[str, Section]:
    """List the sections, each of which can be made by itself."""
    found = inputs.evidence
    return {
        "answer": lambda: _answer(inputs),
        "differences": lambda: _differences(inputs),
        **{name: partial(_shown, inputs, name) for name in SHOWN},
        "arms": lambda: View(
            facts={"arms": _rows(found.arms), "cost_of": {row["arm"]: row for row in _rows(found.effort)}}
        ),
        "comparisons": lambda: _comparisons(inputs),
        "responses": lambda: _responses(inputs),
    }


def _answer(inputs: Inputs) -> View:
    return View(
        facts={
            "answer": answer(inputs.evidence),
            "caveats": [caveat.text for caveat in caveats(inputs.evidence)],
        }
    )


def _differences(inputs: Inputs) -> View:
    found, metric = inputs.evidence, inputs.study.metric
    home = inputs.study.reference_arm
    differing = _differing(found.arms, found.comparisons, home)
    if differing.empty:
        return View()
    shown, points = inputs.shown(differing), {}
    for arm in shown["arm"]:
        whole, _ = effects.pairs(found.replicates, arm, home, metric)
        points[arm] = (whole["arm"] - whole["against"]).tolist()
    drawn = effects_figures.forest(shown, points, metric, inputs.unit)
    return View({"forest": Figure((drawn,), differing, "arms")})


def _shown(inputs: Inputs, name: str) -> View:
    return View(facts={name: _rows(getattr(inputs.evidence, name))})


def _comparisons(inputs: Inputs) -> View:
    judged = list(zip(_rows(inputs.evidence.comparisons), inputs.evidence.verdicts, strict=True))
    rows = [{**row, "word": word(verdict, row["n"])} for row, verdict in judged]
    texts = [(row["arm"], verdict.text) for row, verdict in judged]
    scatter = variances_sentence(inputs.evidence.variances)
    return View(facts={"comparisons": rows, "verdicts": texts, "variances": scatter})


def _responses(inputs: Inputs) -> View:
    study, table = inputs.study, inputs.evidence.replicates
    figures: dict[str, Figure] = {}
    tables: dict[str, pd.DataFrame] = {}
    curves = effects.responses(study, table)
    for index, (factor, curve) in enumerate(curves.items()):
        dots = curve[["level", "arm"]].merge(table, on="arm").rename(columns={study.metric: "value"})
        drawn = effects_figures.response(dots.dropna(subset="value"), curve, factor, study.metric, inputs.unit)
        file = file_name(f"response_{factor}", tables)
        figures[f"response-{index}"], tables[file] = Figure((drawn,), curve, file), curve
    return View(figures, tables, {"responses": list(curves)})


def opened(arms: pd.DataFrame, metric: str, higher_is_better: bool) -> tuple[str, ...]:
    """Choose the arms whose curves show at first: all of a few, else reference, baseline and the best."""
    names = list(arms["arm"])
    if len(names) <= 4:
        return tuple(names)
    ranked = arms.sort_values(metric, ascending=not higher_is_better, kind="stable", na_position="last")
    return tuple(dict.fromkeys([*names[:1], *ranked["arm"].head(1), *arms.loc[arms["role"] != "", "arm"]]))


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
