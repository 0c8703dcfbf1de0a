"""What ``run`` returns: the files of a run, which a notebook shows as the study's answer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from ablation.paths import P, RunPaths
from ablation.run_dir import run_dir


class StudyResult(RunPaths[P]):
    """The files of a finished run, such as ``trials`` and ``page``; as a notebook's output, what was found."""

    @property
    def answer(self) -> tuple[str, ...]:
        """The first sentences of the report; none if it was not made."""
        return run_dir(self.root).answer()

    def _repr_html_(self) -> str:
        """Format answer, arms and a link to the page; all of it comes from the report."""
        found = run_dir(self.root).findings()
        if not found:
            where = escape(str(self.root))
            return f"<p>{where} has no report; <code>python -m analysis.report {where}</code> makes it.</p>"
        sentences = "".join(f"<p>{escape(sentence)}</p>" for sentence in self.answer)
        # From where the notebook is: a browser follows no file:// out of a page that a server sent.
        link = escape(os.path.relpath(self.page) if isinstance(self.page, Path) else str(self.page))
        return f'{sentences}{_configuration(found)}{_table(found)}<p><a href="{link}">{link}</a></p>'


def _configuration(found: Mapping[str, Any]) -> str:
    """Lay out the best configuration of a study of one arm; of several, the table of arms says more."""
    best = found.get("best")
    if best is None or len(found["arms"]) > 1:
        return ""
    rows = [_row(map(escape, map(str, pair)), "td") for pair in best["configuration"].items()]
    return f"<table>{_row(iter(('hyperparameter', 'best value')), 'th')}{''.join(rows)}</table>"


def _table(found: Mapping[str, Any]) -> str:
    metric = str(found["metric"]["primary"])
    heading = ("arm", f"test {metric.replace('_', ' ')}", "95 % interval", "replicates", "search trials")
    rows = [_row(map(escape, heading), "th"), *(_row(_cells(arm, metric), "td") for arm in found["arms"])]
    return f"<table>{''.join(rows)}</table>"


def _cells(arm: Mapping[str, Any], metric: str) -> Iterator[str]:
    score = arm["metrics"].get(metric) or {}
    yield escape(str(arm["arm"]))
    yield _number(score.get("mean"))
    yield f"{_number(score.get('low'))} to {_number(score.get('high'))}" if score.get("low") is not None else "–"
    yield f"{arm['n']} of {arm['replicates_planned']}"
    yield str(arm["effort"]["search"])


def _row(cells: Iterator[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{cell}</{tag}>' for cell in cells)}</tr>"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
