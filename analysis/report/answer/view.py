"""The page's head: what was found, and what weakens it."""

from __future__ import annotations

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


PART = Part("answer", "", (Section("answer", "The answer", _answer),))
