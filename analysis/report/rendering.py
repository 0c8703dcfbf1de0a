"""From what was computed to files: sections filled one by one, tables, findings; a fault in one costs no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from analysis.attempts import Attempts, Failure
from analysis.findings import no_findings
from analysis.plain_json import as_text
from analysis.report import page, table_files
from analysis.report.figures import Figure, View
from analysis.report.folder import ReportFolder
from analysis.report.sections import EffectInputs, Part, Section

STALE = r"index\.html|findings\.json|tables/.*"  # what a report replaces as a whole; figures are asked for apart
MOST_ROWS, MOST_METRICS = 120, 7  # of a table on the page; its files have all


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """All that a report holds, before anything is written.

    ``findings`` is the text of findings.json; ``failures`` are the sections that the page says are lacking.
    """

    page: str
    figures: Mapping[str, Figure]
    tables: Mapping[str, pd.DataFrame]
    files: Mapping[str, str]
    findings: str
    failures: tuple[Failure, ...]


def write(report: Rendered, folder: ReportFolder) -> None:
    """Put a report's page, tables and findings into ``folder``; the findings last, so that they vouch for the rest."""
    files = {f"tables/{name}": text for name, text in report.files.items()} | {"index.html": report.page}
    folder.put(files | {"findings.json": report.findings}, STALE)


def rendered(
    inputs: EffectInputs,
    parts: Sequence[Part],
    about: Mapping[str, Any],
    findings: Callable[[Any, Mapping[str, str]], dict[str, Any]],
    template: str = "page.html.j2",
) -> Rendered:
    """Fill a page's sections, tables and findings; what cannot be made is said in its place and in findings.json.

    Args:
        inputs: what the sections are made of.
        parts: the page's parts, of which the first is its head.
        about: what templates are given beside what follows from ``inputs``.
        findings: collects them of the evidence and of the sections that are lacking, with why.
        template: the page around the sections.
    """
    attempts = Attempts(inputs.evidence.failures if inputs.has_evidence else ())
    made = {
        section.name: attempts.make(section.name, partial(_made, section, inputs), None)
        for part in parts
        for section in part.sections
    }
    views = [one.view for one in made.values() if one is not None]
    frames = dict(inputs.evidence.tables) if inputs.has_evidence else {}
    frames |= {name: frame for view in views for name, frame in view.tables.items()}
    files = _files(inputs, frames, attempts)
    context = {**_context(inputs), **about, "files": dict.fromkeys(files)}
    texts: dict[str, Any] = {}
    for part in parts:
        texts[part.folder] = attempts.make(part.folder, partial(page.filled, part, "lead", context), "")
        for section in part.sections:
            one = made[section.name]
            if one is not None:
                facts = {**context, **one.view.facts, "figures": one.figures}
                texts[section.name] = attempts.make(section.name, partial(page.filled, part, section.name, facts), "")
    found = attempts.make("findings", lambda: findings(inputs.evidence, attempts.failed), None)
    if found is None:
        found = no_findings(attempts.failed)
    figures = {name: figure for view in views for name, figure in view.figures.items()}
    context |= {"has_arms": any(len(figure.arms) > 1 for figure in figures.values()), "figures": {}}
    return Rendered(
        page=page.put_together(parts, texts, attempts.failed, context, template),
        figures=figures,
        tables=frames,
        files=files,
        findings=as_text(found),
        failures=tuple(attempts.failures),
    )


@dataclass(frozen=True)
class _Made:
    """What a section shows, and its figures as the template takes them."""

    view: View
    figures: Mapping[str, Any]


def _made(section: Section, inputs: EffectInputs) -> _Made:
    view = section.make(inputs)
    return _Made(view, {name: page.placed(figure) for name, figure in view.figures.items()})


def _files(inputs: EffectInputs, frames: Mapping[str, pd.DataFrame], attempts: Attempts) -> dict[str, str]:
    """Format every table that has rows; one that cannot be written is left out, and said."""
    study = inputs.study
    papers = {
        "arms": lambda: table_files.paper_arms(frames["arms"], inputs.evidence.units, study.declared, study.score),
        "scores": lambda: table_files.paper_scores(frames["scores"], inputs.evidence.units, study.declared),
        "comparisons": lambda: table_files.paper_comparisons(
            frames["comparisons"], inputs.unit, study.higher_is_better, is_paired=study.is_paired
        ),
        "components": lambda: table_files.paper_components(frames["components"], inputs.unit, study.higher_is_better),
    }
    files: dict[str, str] = {}
    for name, frame in frames.items():
        made = partial(table_files.files, name, frame, papers.get(name))
        files |= attempts.make("tables", made, dict[str, str]())
    return files


def _context(inputs: EffectInputs) -> dict[str, Any]:
    study = inputs.study
    context = {
        "study": study,
        "metric": study.metric.replace("_", " "),
        "score": study.score,
        "less": "" if study.higher_is_better else " (less is better)",
        "most_rows": MOST_ROWS,
        "most_metrics": MOST_METRICS,
        "styles": inputs.looks,
    }
    if inputs.has_evidence:
        points = " (points)" if inputs.unit.points else ""
        context |= {"units": inputs.evidence.units, "unit": inputs.unit, "points": points}
    return context
