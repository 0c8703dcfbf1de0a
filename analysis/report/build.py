"""Run directory in, one self-contained page and its tables out: the same bytes for the same run, always."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, overload

import pandas as pd

from ablation.run_dir import RunLocation, run_dir
from ablation.store import AnyPath
from analysis.attempts import Attempts, Failure
from analysis.findings import as_text, findings, no_findings
from analysis.report import page, table_files
from analysis.report.answer import view as answer_view
from analysis.report.effects import view as effects_view
from analysis.report.figures import Figure, View
from analysis.report.folder import ReportFolder, report_folders
from analysis.report.inputs import Inputs, read
from analysis.report.models import view as model_view
from analysis.report.run import view as run_view
from analysis.report.search import view as search_view
from analysis.report.sections import Section

STALE = r"index\.html|findings\.json|tables/.*"  # what a report replaces as a whole; figures are asked for apart
MOST_ROWS, MOST_METRICS = 120, 7  # of a table on the page; its files have all
PARTS = (answer_view.PART, effects_view.PART, model_view.PART, search_view.PART, run_view.PART)


@dataclass(frozen=True)
class Report:
    """All that a report holds, before anything is written.

    ``findings`` is the text of findings.json; ``failures`` are the sections that the page says are lacking.
    """

    inputs: Inputs
    page: str
    figures: Mapping[str, Figure]
    tables: Mapping[str, pd.DataFrame]
    files: Mapping[str, str]
    findings: str
    failures: tuple[Failure, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every planned trial has ended."""
        return self.inputs.open_trials == 0


@overload
def build(run: RunLocation, out: Path, *, refresh_s: int | None = None, faces: bool = False) -> Path: ...
@overload
def build(run: Path, out: None = None, *, refresh_s: int | None = None, faces: bool = False) -> Path: ...
@overload
def build(
    run: RunLocation, out: AnyPath | None = None, *, refresh_s: int | None = None, faces: bool = False
) -> AnyPath: ...
def build(
    run: RunLocation, out: AnyPath | None = None, *, refresh_s: int | None = None, faces: bool = False
) -> AnyPath:
    """Write the report of ``run`` and return the page's path.

    Args:
        run: run directory or its address; it is read, and written to under ``report/`` only.
        out: folder for index.html, findings.json and tables/; ``report`` in the run where None.
        refresh_s: how often a browser reloads the page of an unfinished run; never where None.
        faces: whether the page shows the photographs that confirm trials left.

    Raises:
        FaultsError: the directory is no run, lacks a file or column, or what lies in the folder was not
            written by a report.
    """
    where = run_dir(run)
    (folder,) = report_folders([where], out)
    write(render(where, refresh_s=refresh_s, faces=faces, lies_in_run=folder.is_own), folder)
    return folder.path / "index.html"


def write(report: Report, folder: ReportFolder) -> None:
    """Put a report's page, tables and findings into ``folder``; the findings last, so that they vouch for the rest."""
    files = {f"tables/{name}": text for name, text in report.files.items()} | {"index.html": report.page}
    folder.put(files | {"findings.json": report.findings}, STALE)


def render(run: RunLocation, *, refresh_s: int | None = None, faces: bool = False, lies_in_run: bool = False) -> Report:
    """Make the page and its tables from the run directory alone: no clock, no random ids, no path or address.

    ``lies_in_run`` lets the page, which will lie in the run's own ``report/``, link to logs and checkpoints.

    A section that cannot be made says so in its place and in findings.json, and is among the report's ``failures``.
    Raises FaultsError if the run cannot be read at all.
    """
    inputs = read(run, shows_faces=faces, lies_in_run=lies_in_run)
    attempts = Attempts(inputs.evidence.failures if inputs.has_evidence else ())
    made = {
        section.name: attempts.make(section.name, partial(_made, section, inputs), None)
        for part in PARTS
        for section in part.sections
    }
    views = [one.view for one in made.values() if one is not None]
    frames = dict(inputs.evidence.tables) if inputs.has_evidence else {}
    frames |= {name: frame for view in views for name, frame in view.tables.items()}
    files = _files(inputs, frames, attempts)
    context = _context(inputs, refresh_s) | {"files": dict.fromkeys(files)}
    texts: dict[str, Any] = {}
    for part in PARTS:
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
    context |= {"has_arms": any(figure.arms for figure in figures.values()), "figures": {}}
    whole = page.put_together(PARTS, texts, attempts.failed, context)
    return Report(inputs, whole, figures, frames, files, as_text(found), tuple(attempts.failures))


@dataclass(frozen=True)
class _Made:
    """What a section shows, and its figures as the template takes them."""

    view: View
    figures: Mapping[str, Any]


def _made(section: Section, inputs: Inputs) -> _Made:
    view = section.make(inputs)
    return _Made(view, {name: page.placed(figure) for name, figure in view.figures.items()})


def _files(inputs: Inputs, frames: Mapping[str, pd.DataFrame], attempts: Attempts) -> dict[str, str]:
    """Format every table that has rows; one that cannot be written is left out, and said."""
    papers = {
        "arms": lambda: table_files.paper_arms(frames["arms"], inputs.evidence.units, inputs.study.declared),
        "comparisons": lambda: table_files.paper_comparisons(
            frames["comparisons"], inputs.unit, inputs.study.higher_is_better
        ),
    }
    files: dict[str, str] = {}
    for name, frame in frames.items():
        made = partial(table_files.files, name, frame, papers.get(name))
        files |= attempts.make("tables", made, dict[str, str]())
    return files


def _context(inputs: Inputs, refresh_s: int | None) -> dict[str, Any]:
    study = inputs.study
    context = {
        "study": study,
        "metric": study.metric.replace("_", " "),
        "plan": study.plan,
        "budget": study.plan.budget,
        "less": "" if study.higher_is_better else " (less is better)",
        "document": study.file,
        "data": {"uri": None, "fingerprint": None, "train_count": None} | dict(study.file.data or {}),
        "counts": inputs.counts,
        "open_trials": inputs.open_trials,
        "most_rows": MOST_ROWS,
        "most_metrics": MOST_METRICS,
        "arm_count": len(inputs.arms),
        "styles": inputs.looks,
        "drawn": inputs.drawn,
        "opened": inputs.opened,
        "refresh_s": refresh_s if inputs.open_trials else None,
    }
    if inputs.has_evidence:
        points = " (points)" if inputs.unit.points else ""
        context |= {"units": inputs.evidence.units, "unit": inputs.unit, "points": points}
    return context
