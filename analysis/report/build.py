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
from analysis.findings import as_text, findings
from analysis.report import page, table_files
from analysis.report.effects import view as effects_view
from analysis.report.figures import Figure, Section, View
from analysis.report.folder import ReportFolder, report_folders
from analysis.report.inputs import Inputs, read
from analysis.report.models import faces as faces_view
from analysis.report.models import view as model_view
from analysis.report.run import view as run_view
from analysis.report.search import view as search_view
from analysis.tables import reruns

STALE = r"index\.html|findings\.json|tables/.*"  # what a report replaces as a whole; figures are asked for apart
MOST_ROWS, MOST_METRICS = 120, 7  # of a table on the page; its files have all
PARTS = ("effects", "models", "search", "run")


@dataclass(frozen=True)
class Report:
    """All that a report holds, before anything is written.

    ``findings`` is the text of findings.json, empty if it could not be made; ``failures`` are the sections that the
    page says are lacking.
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
    write(render(where, refresh_s=refresh_s, faces=faces), folder)
    return folder.path / "index.html"


def write(report: Report, folder: ReportFolder) -> None:
    """Put a report's page, tables and findings into ``folder``; the findings last, so that they vouch for the rest."""
    files = {f"tables/{name}": text for name, text in report.files.items()} | {"index.html": report.page}
    folder.put(files | ({"findings.json": report.findings} if report.findings else {}), STALE)


def render(run: RunLocation, *, refresh_s: int | None = None, faces: bool = False) -> Report:
    """Make the page and its tables from the run directory alone: no clock, no random ids, no path or address.

    A section that cannot be made says so in its place, and is among the report's ``failures``.
    """
    inputs = read(run)
    evidence, study = inputs.evidence, inputs.study
    attempts = Attempts(evidence.failures)
    opened = effects_view.opened(evidence.arms, study.metric, study.higher_is_better)
    sections: dict[str, Section] = {
        **effects_view.sections(inputs),
        **model_view.sections(inputs, opened),
        **search_view.sections(inputs, opened),
        **run_view.sections(inputs),
    }
    if faces:
        sections["faces"] = lambda: View(facts={"faces": faces_view.faces(inputs)})
    nothing: tuple[View, dict[str, Any]] = (View(), {})
    views = [attempts.make(name, partial(_shown, section), nothing) for name, section in sections.items()]
    figures = {name: figure for view, _ in views for name, figure in view.figures.items()}
    frames = {**evidence.tables, **{name: frame for view, _ in views for name, frame in view.tables.items()}}
    files = _files(inputs, frames, attempts)
    found = attempts.make("findings", lambda: as_text(findings(evidence)), "")
    context = _context(inputs, refresh_s) | {"files": dict.fromkeys(files), "faces": None}
    context |= {"figures": {name: placed for _, ready in views for name, placed in ready.items()}}
    for view, _ in views:
        context |= view.facts
    parts = {}
    for part in PARTS:
        filled = context | {"failed": attempts.failed}
        parts[part] = attempts.make(part, partial(page.render, f"{part}/section.html.j2", filled), "")
    whole = page.render("page.html.j2", context | {"failed": attempts.failed, "parts": parts})
    return Report(inputs, whole, figures, frames, files, found, tuple(attempts.failures))


def _shown(section: Section) -> tuple[View, dict[str, Any]]:
    """Make a section, and its figures ready for the template."""
    view = section()
    return view, {name: page.placed(figure) for name, figure in view.figures.items()}


def _files(inputs: Inputs, frames: Mapping[str, pd.DataFrame], attempts: Attempts) -> dict[str, str]:
    """Format every table that has rows; one that cannot be written is left out, and said."""
    units, unit = inputs.evidence.units, inputs.unit
    papers = {
        "arms": lambda: table_files.paper_arms(frames["arms"], units, inputs.study.declared),
        "comparisons": lambda: table_files.paper_comparisons(
            frames["comparisons"], unit, inputs.study.higher_is_better
        ),
    }
    files: dict[str, str] = {}
    for name, frame in frames.items():
        made = partial(table_files.files, name, frame, papers.get(name))
        files |= attempts.make("tables", made, dict[str, str]())
    return files


def _context(inputs: Inputs, refresh_s: int | None) -> dict[str, Any]:
    study = inputs.study
    return {
        "study": study,
        "metric": study.metric.replace("_", " "),
        "plan": study.plan,
        "budget": study.plan.budget,
        "less": "" if study.higher_is_better else " (less is better)",
        "points": " (points)" if inputs.unit.points else "",
        "document": study.file,
        "run_again": reruns.sentence(inputs.evidence.reruns),
        "data": {"uri": None, "fingerprint": None, "train_count": None} | dict(study.file.data or {}),
        "counts": inputs.counts,
        "open_trials": inputs.open_trials,
        "most_rows": MOST_ROWS,
        "most_metrics": MOST_METRICS,
        "arm_count": len(inputs.arms),
        "units": inputs.evidence.units,
        "unit": inputs.unit,
        "styles": inputs.looks,
        "refresh_s": refresh_s if inputs.open_trials else None,
    }
