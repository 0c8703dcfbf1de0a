"""Run directory in, one self-contained page and its tables out: the same bytes for the same run, always."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.findings import as_text, findings
from analysis.places import Run, place, report_folders
from analysis.report import effects_view, faces_view, model_view, page, run_view, search_view, tables
from analysis.report.figures import Figure
from analysis.report.inputs import Inputs, read

# What the page prints where an older or hand-made study.json does not say.
UNKNOWN: Mapping[str, Any] = {
    **{"name": "a study without a name", "created_utc": "at an unknown time", "git_commit": None, "budget_name": None},
    **{"command": (), "hardware": {}, "versions": {}},
}


@dataclass(frozen=True)
class Report:
    """All that a report holds, before anything is written."""

    inputs: Inputs
    page: str
    figures: Mapping[str, Figure]
    tables: Mapping[str, pd.DataFrame]
    files: Mapping[str, str]

    @property
    def is_whole(self) -> bool:
        """Whether every planned trial has ended."""
        return self.inputs.open_trials == 0


def build(run: Run, out: Path | None = None, *, refresh_s: int | None = None, faces: bool = False) -> Path:
    """Write the report of ``run`` and return the page's path.

    Args:
        run: run directory or its address; it is read, and written to under ``report/`` only.
        out: folder for index.html, findings.json and tables/; ``report`` in the run where None.
        refresh_s: how often a browser reloads the page of an unfinished run; never where None.
        faces: whether the page shows the photographs that confirm trials left.

    Raises:
        FaultsError: the directory is no run, lacks a file or column, or lies elsewhere and ``out`` is None.
    """
    where = place(run)
    (folder,) = report_folders([where], out)
    write(render(where, refresh_s=refresh_s, faces=faces), folder)
    return folder / "index.html"


def write(report: Report, folder: Path) -> None:
    """Put a report's page, tables and findings into ``folder``; the findings last, so that they vouch for the rest."""
    tables.write(folder / "tables", report.files)
    tables.put(folder / "index.html", report.page)
    tables.put(folder / "findings.json", as_text(findings(report.inputs.evidence)))


def render(run: Run, *, refresh_s: int | None = None, faces: bool = False) -> Report:
    """Make the page and its tables from the run directory alone: no clock, no random ids, no path or address."""
    inputs = read(run)
    effects = effects_view.view(inputs)
    opened = effects_view.opened(inputs.evidence.arms, inputs.study.metric, inputs.study.higher_is_better)
    views = (effects, model_view.view(inputs, opened), search_view.view(inputs, opened), run_view.view(inputs))
    figures = {name: figure for view in views for name, figure in view.figures.items()}
    study, document = inputs.study, inputs.study.document
    context: dict[str, Any] = {
        "study": study,
        "document": {**UNKNOWN, **{name: value for name, value in document.items() if value is not None}},
        "data": {"uri": None, "fingerprint": None, "train_count": None} | dict(document.get("data") or {}),
        "counts": inputs.counts,
        "open_trials": inputs.open_trials,
        "units": inputs.evidence.units,
        "unit": inputs.unit,
        "styles": inputs.looks,
        "figures": {name: page.placed(figure) for name, figure in figures.items()},
        "refresh_s": refresh_s if inputs.open_trials else None,
        "faces": faces_view.faces(inputs) if faces else None,
    }
    for view in views:
        context |= view.facts
    frames = {**inputs.evidence.tables, **{name: frame for view in views for name, frame in view.tables.items()}}
    papers = {
        "arms": tables.paper_arms(frames["arms"], inputs.evidence.units),
        "comparisons": tables.paper_comparisons(frames["comparisons"], inputs.unit),
    }
    files = tables.files(frames, papers)
    return Report(
        inputs, page.render("page.html.j2", context | {"files": dict.fromkeys(files)}), figures, frames, files
    )
