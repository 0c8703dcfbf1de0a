"""Run directory in, one self-contained page and its tables out: the same bytes for the same run, always."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from ablation.run_dir import RunLocation, run_dir
from ablation.store import AnyPath
from analysis.findings import findings
from analysis.report.answer import view as answer_view
from analysis.report.effects import view as effects_view
from analysis.report.folder import report_folders
from analysis.report.inputs import Inputs, read
from analysis.report.models import view as model_view
from analysis.report.rendering import Rendered, rendered, write
from analysis.report.run import view as run_view
from analysis.report.score import view as score_view
from analysis.report.search import view as search_view

PARTS = (answer_view.PART, score_view.PART, effects_view.PART, model_view.PART, search_view.PART, run_view.PART)


@dataclass(frozen=True, kw_only=True)
class Report(Rendered):
    """The report of a run, before anything is written."""

    inputs: Inputs

    @property
    def is_whole(self) -> bool:
        """Whether every planned trial has ended."""
        return self.inputs.open_trials == 0


@overload
def build(
    run: RunLocation, out: Path, *, refresh_s: int | None = None, faces: bool = False, title: str | None = None
) -> Path: ...
@overload
def build(
    run: Path, out: None = None, *, refresh_s: int | None = None, faces: bool = False, title: str | None = None
) -> Path: ...
@overload
def build(
    run: RunLocation,
    out: AnyPath | None = None,
    *,
    refresh_s: int | None = None,
    faces: bool = False,
    title: str | None = None,
) -> AnyPath: ...
def build(
    run: RunLocation,
    out: AnyPath | None = None,
    *,
    refresh_s: int | None = None,
    faces: bool = False,
    title: str | None = None,
) -> AnyPath:
    """Write the report of ``run`` and return the page's path.

    Args:
        run: run directory or its address; it is read, and written to under ``report/`` only.
        out: folder for index.html, findings.json and tables/; ``report`` in the run where None.
        refresh_s: how often a browser reloads the page of an unfinished run; never where None.
        faces: whether the page shows the photographs that confirm trials left.
        title: heading of the page; what the run was given, else its name, where None.

    Raises:
        FaultsError: the directory is no run, lacks a file or column, or what lies in the folder was not
            written by a report.
    """
    where = run_dir(run)
    (folder,) = report_folders([where], out)
    write(render(where, refresh_s=refresh_s, faces=faces, title=title, lies_in_run=folder.is_own), folder)
    return folder.path / "index.html"


def render(
    run: RunLocation,
    *,
    refresh_s: int | None = None,
    faces: bool = False,
    title: str | None = None,
    lies_in_run: bool = False,
) -> Report:
    """Make the page and its tables from the run directory alone: no clock, no random ids, no path or address.

    ``lies_in_run`` lets the page, which will lie in the run's own ``report/``, link to logs and checkpoints.

    A section that cannot be made says so in its place and in findings.json, and is among the report's ``failures``.
    Raises FaultsError if the run cannot be read at all.
    """
    inputs = read(run, shows_faces=faces, lies_in_run=lies_in_run).titled(title)
    parts = [part for part in PARTS if part.is_for(inputs.study)]
    return Report(**vars(rendered(inputs, parts, _context(inputs, refresh_s), findings)), inputs=inputs)


def _context(inputs: Inputs, refresh_s: int | None) -> dict[str, Any]:
    study = inputs.study
    return {
        "plan": study.plan,
        "title": study.file.heading,
        "kind": "Ablation" if study.space.factors else "Search" if study.plan.budget.trials else "Score",
        "budget": study.plan.budget,
        "document": study.file,
        "document_command": shlex.join(study.file.command),
        "data": {"uri": None, "fingerprint": None, "train_count": None} | dict(study.file.data or {}),
        "counts": inputs.counts,
        "open_trials": inputs.open_trials,
        "arm_count": len(inputs.arms),
        "drawn": inputs.drawn,
        "opened": inputs.opened,
        "refresh_s": refresh_s if inputs.open_trials else None,
    }
