"""The page's first part: the answer, differences to the reference, declared comparisons, arms, responses."""

from __future__ import annotations

import pandas as pd

from analysis import effects
from analysis.effects import REFERENCE
from analysis.report import effects_figures, wording
from analysis.report.figures import Figure, View
from analysis.report.inputs import Inputs

SHOWN = ("arms", "comparisons", "components", "ablation_path", "marginals", "interactions")


def view(inputs: Inputs) -> View:
    """Compute effects once, and show them."""
    study, found = inputs.study, inputs.evidence
    table, arms, comparisons = found.replicates, found.arms, found.comparisons
    responses = effects.responses(study, table)
    figures = {}
    differing = _differing(arms, comparisons)
    if len(differing):
        points = {}
        for arm in differing["arm"]:
            whole, _ = effects.pairs(table, arm, REFERENCE, study.metric)
            points[arm] = (whole["arm"] - whole["against"]).tolist()
        drawn = effects_figures.forest(differing, points, study.metric, inputs.unit)
        figures["forest"] = Figure((drawn,), differing, "arms")
    tables: dict[str, pd.DataFrame] = {}
    for place, (factor, curve) in enumerate(responses.items()):
        dots = curve[["level", "arm"]].merge(table, on="arm").rename(columns={study.metric: "value"})
        drawn = effects_figures.response(dots.dropna(subset="value"), curve, factor, study.metric, inputs.unit)
        figures[f"response-{place}"] = Figure((drawn,), curve, f"response_{file_name(factor)}")
        tables[f"response_{file_name(factor)}"] = curve
    facts = {
        "answer": wording.answer(study, comparisons, inputs.unit, inputs.open_trials),
        "caveats": wording.caveats(study, inputs.counts, comparisons),
        "verdicts": [
            (row["arm"], verdict.text)
            for row, verdict in zip(comparisons.to_dict("records"), found.verdicts, strict=True)
        ],
        **{name: getattr(found, name).to_dict("records") for name in SHOWN},
        "responses": list(responses),
        "cost_of": {row["arm"]: row for row in found.effort.to_dict("records")},
    }
    return View(figures, tables, facts)


def opened(arms: pd.DataFrame, metric: str, higher_is_better: bool) -> tuple[str, ...]:
    """Choose the arms whose curves show at first: all of a few, else reference, baseline and the best."""
    names = list(arms["arm"])
    if len(names) <= 4:
        return tuple(names)
    ranked = arms.sort_values(metric, ascending=not higher_is_better, kind="stable", na_position="last")
    return tuple(dict.fromkeys([*names[:1], *ranked["arm"].head(1), *arms.loc[arms["role"] != "", "arm"]]))


def file_name(factor: str) -> str:
    """Spell a factor as part of a file name."""
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in factor)


def _differing(arms: pd.DataFrame, comparisons: pd.DataFrame) -> pd.DataFrame:
    sure = set(comparisons.loc[comparisons["significant"] & (comparisons["against"] == REFERENCE), "arm"])
    rows = arms[arms["difference"].notna()]
    ends = {"difference_low": "low", "difference_high": "high"}
    columns = ["arm", "difference", "difference_low", "difference_high"]
    return rows[columns].rename(columns=ends).assign(significant=rows["arm"].isin(sure))
