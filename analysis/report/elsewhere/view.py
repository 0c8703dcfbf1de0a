"""The page of a table of results: the parts about effects that a run's page has, and how the table was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from analysis.elsewhere.evidence import TableEvidence, gather, table_answer, table_caveats
from analysis.elsewhere.question import TableQuestion
from analysis.elsewhere.results import Results
from analysis.numbers import Unit
from analysis.report.answer import view as answer_view
from analysis.report.effects import view as effects_view
from analysis.report.figures import View, styles
from analysis.report.inputs import MOST_ARMS
from analysis.report.sections import Part, Section, nothing
from analysis.tables.variance_sources import SHARED, shares_in_words


@dataclass(frozen=True)
class TableInputs:
    """A table of results as its page sees it."""

    results: Results

    @cached_property
    def evidence(self) -> TableEvidence:
        """Everything that the analysis comes to."""
        return gather(self.results)

    @property
    def has_evidence(self) -> bool:
        """True: what claims rest on is computed, or the command ends with its error."""
        return True

    @property
    def study(self) -> TableQuestion:
        """What is compared with what."""
        return self.results.question

    @property
    def unit(self) -> Unit:
        """How the scores are printed."""
        return self.evidence.units[self.study.metric]

    @property
    def looks(self) -> Mapping[str, tuple[str, str]]:
        """Colour and dash of each arm."""
        return styles([arm.name for arm in self.study.arms])

    def shown(self, table: pd.DataFrame) -> pd.DataFrame:
        """Keep the rows of arms that figures show: all of a few, else the best by mean, in the table's order."""
        study, arms = self.study, self.evidence.arms
        ranked = arms.sort_values(study.metric, ascending=not study.higher_is_better, kind="stable")
        return table[table["arm"].isin(set(ranked["arm"].head(MOST_ARMS)))]


def _answer(inputs: TableInputs) -> View:
    said = [caveat.text for caveat in table_caveats(inputs.evidence)]
    return View(facts={"answer": table_answer(inputs.evidence), "caveats": said})


def _arms(inputs: TableInputs) -> View:
    return View(facts={"arms": inputs.evidence.arms.to_dict("records"), "cost_of": {}})


def _spread(inputs: TableInputs) -> View:
    found = inputs.evidence.variance_sources
    whose = f"one run’s {inputs.study.score}"
    said = "" if found.empty else shares_in_words(found, whose, SHARED, inputs.unit)
    return View(facts={"variance_sources": found.to_dict("records"), "variance_said": said})


def _read(inputs: TableInputs) -> View:
    return View(facts={"said": inputs.results.said, "sha256": inputs.results.file.sha256})


def _of_tables(section: Section) -> Section:
    """Take a section of a run's page as it is for a table: nothing is known to have been declared beforehand."""
    return {
        "arms": replace(section, make=_arms),
        "components": replace(section, title="What each part is worth", link="Worth"),
        "comparisons": replace(section, make=effects_view.compared, title="Comparisons", shows={}),
    }.get(section.name, section)


PARTS = (
    replace(answer_view.PART, sections=(Section("answer", "The answer", _answer),)),
    replace(effects_view.PART, sections=tuple(map(_of_tables, effects_view.PART.sections))),
    Part(
        "elsewhere",
        "The table",
        (
            Section("variance_sources", "Where the spread comes from", _spread, link="Spread"),
            Section("read", "How the table was read", _read),
            Section("files", "Tables", nothing),
            Section("method", "How to read this page", nothing),
        ),
    ),
)
