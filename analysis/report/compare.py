"""Several studies side by side: what each arm reached in each, and its difference to the study's own reference.

Nothing is tested across studies: they may differ in data, budget and seeds, so a page can only set them side by side.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ablation.store import AnyPath
from analysis.answer import answer
from analysis.report import page, table_files
from analysis.report.build import Report
from analysis.report.folder import ReportFolder
from analysis.report.rendering import STALE


def side_by_side(reports: Sequence[Report]) -> pd.DataFrame:
    """List every arm of every study: study, arm, n, metric, mean, low, high, difference, with its interval."""
    parts = []
    for name, report in zip(names(reports), reports, strict=True):
        metric = report.inputs.study.metric
        ends = {metric: "mean", f"{metric}_low": "low", f"{metric}_high": "high"}
        arms = report.inputs.evidence.arms.rename(columns=ends)
        arms = arms[["arm", "n", *ends.values(), "difference", "difference_low", "difference_high"]].copy()
        arms.insert(0, "study", name)
        arms.insert(3, "metric", metric)
        parts.append(arms)
    return pd.concat(parts, ignore_index=True)


def names(reports: Sequence[Report]) -> list[str]:
    """Name each study by its run directory, numbered if two have the same."""
    given = [report.inputs.where.name for report in reports]
    return [f"{name} ({given[:i].count(name) + 1})" if given.count(name) > 1 else name for i, name in enumerate(given)]


def write(reports: Sequence[Report], folders: Sequence[AnyPath], out: AnyPath) -> AnyPath:
    """Write the comparison's page and table into ``out``; ``folders`` are the studies' own reports."""
    table = side_by_side(reports)
    studies = [
        {**_facts(report), "name": name, "link": _link(folder / "index.html", out)}
        for name, report, folder in zip(names(reports), reports, folders, strict=True)
    ]
    cells = {
        (row["study"], row["arm"]): row | {"unit": report.inputs.unit}
        for name, report in zip(names(reports), reports, strict=True)
        for row in table[table["study"] == name].to_dict("records")
    }
    files = table_files.files("studies", table)
    context = {"studies": studies, "arms": list(dict.fromkeys(table["arm"])), "cells": cells, "files": set(files)}
    written = {f"tables/{name}": text for name, text in files.items()}
    ReportFolder(out).put(written | {"index.html": page.render("comparison.html.j2", context)}, STALE)
    return out / "index.html"


def _link(page: AnyPath, folder: AnyPath) -> str:
    """Return the way from a folder to a page; its address where it lies in another store."""
    if isinstance(page, Path) is not isinstance(folder, Path):
        return str(page)
    return Path(os.path.relpath(page.as_posix(), folder.as_posix())).as_posix()


def _facts(report: Report) -> dict[str, Any]:
    study = report.inputs.study
    return {
        "metric": study.metric,
        "less": "" if study.higher_is_better else " (less is better)",
        "points": " (points)" if report.inputs.unit.points else "",
        "budget": study.plan.budget,
        "data": (study.file.data or {}).get("uri") or "none",
        "created": study.file.created_utc,
        "commit": study.file.git_commit,
        "counts": report.inputs.counts,
        "answer": " ".join(answer(report.inputs.evidence)),
    }
