"""Table of results in, one self-contained page and its tables out, as of a run."""

from __future__ import annotations

from pathlib import PurePath

from ablation.store import AnyPath, located
from analysis.elsewhere.evidence import table_findings
from analysis.elsewhere.results import Results
from analysis.report.elsewhere.view import PARTS, TableInputs
from analysis.report.folder import ReportFolder
from analysis.report.rendering import Rendered, rendered


def render_table(results: Results) -> Rendered:
    """Make the page of a table of results, and its tables: no clock, no path. Sections that fail say so."""
    question = results.question
    about = {
        "title": results.heading,
        "file_name": results.file.name,
        "about": results.file.about,
        "rows": len(results.file.cells),
        "arm_count": len(question.arms),
        "refresh_s": None,
        "open_trials": 0,
    }
    return rendered(TableInputs(results), PARTS, about, table_findings, "elsewhere/page.html.j2")


def folder_of(file: str, out: AnyPath | str | None) -> ReportFolder:
    """Choose the folder of a table's report: ``out``, else one beside the file, by its name.

    Raises FaultsError if what is there already is not ours to replace.
    """
    path = located(file)
    chosen = path.parent / f"{PurePath(path.name).stem}-report" if out is None else located(out)
    folder = ReportFolder(chosen)
    folder.check(("index.html", "findings.json", "tables/arms.csv"))
    return folder
