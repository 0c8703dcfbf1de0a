"""The page's head: what was found, and what weakens it."""

from __future__ import annotations

from ablation.how_to_load import how_to_load
from analysis.answer import answer
from analysis.caveats import caveats
from analysis.report.figures import View
from analysis.report.inputs import Inputs
from analysis.report.sections import Part, Section


def _answer(inputs: Inputs) -> View:
    return View(
        facts={
            "answer": answer(inputs.evidence),
            "caveats": [caveat.text for caveat in caveats(inputs.evidence)],
        }
    )


def _configuration(inputs: Inputs) -> View:
    found = inputs.evidence.best
    if found is None:
        return View(facts={"best": None})
    # The page says the same wherever the run lies, so it names the run and not its place.
    run = f"runs/{inputs.study.file.name}"
    checkpoint = None if found.checkpoint is None else f"{run}/{found.checkpoint}"
    rows = found.configuration.assign(value=[_short(value) for value in found.configuration["value"]])
    is_shown = (rows["searched"] != "") | rows["name"].isin(list(inputs.study.space.factors))
    if not is_shown.any():
        is_shown = ~is_shown
    facts = {
        "best": found,
        "best_values": rows[is_shown].to_dict("records"),
        "held": rows[~is_shown].to_dict("records"),
    }
    lines = how_to_load(inputs.study.file, run, checkpoint)
    return View({}, {"best_configuration": found.configuration}, {**facts, "load_lines": lines})


def _short(value: object) -> str:
    """Format a hyperparameter with as many digits as matter; the table's file has all."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


PART = Part(
    "answer",
    "",
    (Section("answer", "The answer", _answer), Section("configuration", "Best configuration", _configuration)),
)
