"""From a notebook: a study runs in a thread and under an event loop, and its result shows what it found."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from ablation.resources import Resources
from ablation.run import run
from ablation.study_result import StudyResult
from tests.toy_study import SPACE

ROOT = Path(__file__).parents[2]
HERE = Resources(executor="in-process")


def small(out: Path, name: str = "small", *, report: bool = False) -> StudyResult[Path]:
    result = run(
        SPACE, budget="quick", arms="baseline", replicates=2, trials=2, epochs=2, name=name, out=out, resources=HERE,
        report=report,
    )  # fmt: skip
    assert result == StudyResult(out / name)
    return StudyResult(out / name)


def is_whole(result: StudyResult[Path]) -> bool:
    trials = pd.read_parquet(result.trials)
    return len(trials) == 2 * 2 * (2 + 1) and set(trials["status"]) <= {"completed", "stopped"}


class Cells(HTMLParser):
    """The cells of a table, row by row; raises if a tag is left open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("td", "th"):
            self.rows[-1].append(data)


def test_a_result_shows_answer_arms_and_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = small(tmp_path, report=True)
    monkeypatch.chdir(tmp_path)
    html = result._repr_html_()
    heading, *arms = Cells(html).rows
    assert heading[:2] == ["arm", "test score"] and [row[0] for row in arms] == ["reference", "baseline"]
    trials = pd.read_parquet(result.trials)
    for row in arms:
        mine = trials[(trials["arm"] == row[0]) & (trials["phase"] == "confirm")]
        assert float(row[1]) == pytest.approx(mine["metric.test_score"].mean(), abs=5e-5)
        assert row[3:] == ["2 of 2", "4"]
    assert len(result.answer) == 2 and all(sentence[:20] in html for sentence in result.answer)
    assert re.findall('href="(.*?)"', html) == ["small/report/index.html"]
    assert Path("small/report/index.html").is_file()


def test_a_result_without_a_report_says_how_it_is_made(tmp_path: Path) -> None:
    result = small(tmp_path)
    assert f"python -m analysis.report {tmp_path}/small" in result._repr_html_() and result.answer == ()


def test_names_of_arms_are_text(tmp_path: Path) -> None:
    result = StudyResult(tmp_path)
    result.report.mkdir()
    arm = {"arm": "<b>", "n": 0, "replicates_planned": 2, "metrics": {}, "effort": {"search": 0}}
    found = {"metric": {"primary": "score"}, "answer": ["1 < 2"], "arms": [arm]}
    (result.report / "findings.json").write_text(json.dumps(found))
    assert Cells(result._repr_html_()).rows[1] == ["<b>", "–", "–", "0 of 2", "0"]
    assert "1 &lt; 2" in result._repr_html_()


def test_a_study_runs_in_a_thread(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert is_whole(pool.submit(small, tmp_path).result())


def test_a_study_runs_under_an_event_loop(tmp_path: Path) -> None:
    async def cell() -> StudyResult[Path]:
        return small(tmp_path)

    assert is_whole(asyncio.run(cell()))


def test_a_thread_is_left_as_it_was(tmp_path: Path) -> None:
    before = threading.active_count()
    small(tmp_path)
    assert threading.active_count() == before


@pytest.mark.ray
def test_a_study_runs_on_ray_in_a_thread_under_an_event_loop(tmp_path: Path) -> None:
    code = f"""
import asyncio
from ablation import run
from tests.toy_study import SPACE

async def cell():
    asked = dict(budget="quick", arms="baseline", replicates=2, trials=2, epochs=2, out={str(tmp_path)!r}, report=False)
    await asyncio.to_thread(run, SPACE, name="thread", **asked)

asyncio.run(cell())
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert is_whole(StudyResult(tmp_path / "thread"))
