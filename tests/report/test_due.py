"""A study that has ended has the report of its end, whatever page an earlier session or --watch had left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ablation import execution
from ablation.console.messages import Messages
from ablation.faults import FaultsError
from ablation.paths import RunPaths
from ablation.planning.planned_run import plan_run
from ablation.planning.request import Request
from ablation.resources import Resources
from analysis.report.build import build
from tests.support.plain_driver import put_in_place
from tests.toy_study import SPACE

UNFINISHED = "This study is not finished"


def run(out: Path, ended: str, *, resume: bool = True, report: bool = False, replicates: int = 2) -> int:
    """Run, or go on with, a small study; ``ended`` is how its sweep ends."""
    asked = Request(SPACE, arms=("baseline",), replicates=replicates, trials=2)
    with pytest.MonkeyPatch.context() as patch:
        put_in_place(patch, ended)
        return execution.run_prepared(plan_run(asked, "toy", out, Resources(), resume), report)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Build reports in this process, and list them."""
    pages: list[Path] = []

    def write_report(paths: RunPaths[Path], say: Messages) -> Path:
        pages.append(build(paths.root))
        return pages[-1]

    monkeypatch.setattr(execution, "write_report", write_report)
    return pages


def test_a_page_from_before_the_end_is_built_anew_and_once(tmp_path: Path, built: list[Path]) -> None:
    paths = RunPaths(tmp_path / "toy")
    assert run(tmp_path, "interrupted", resume=False) == 130
    build(paths.root)
    assert UNFINISHED in paths.page.read_text()
    assert run(tmp_path, "finished") == 0  # and killed before the report
    assert run(tmp_path, "nothing left", report=True) == 0
    assert built == [paths.page]
    assert UNFINISHED not in paths.page.read_text()
    assert run(tmp_path, "nothing left", report=True) == 0
    assert built == [paths.page]


def test_a_page_from_before_the_study_grew_is_built_anew(tmp_path: Path, built: list[Path]) -> None:
    assert run(tmp_path, "finished", resume=False, report=True) == 0
    assert run(tmp_path, "finished", replicates=3) == 0
    assert run(tmp_path, "nothing left", report=True, replicates=3) == 0
    assert len(built) == 2
    assert json.loads((tmp_path / "toy/report/findings.json").read_text())["accounting"]["planned"] == 18


@pytest.mark.parametrize("lost", ["index.html", "findings.json", "torn"])
def test_a_report_that_is_not_whole_is_built_anew(tmp_path: Path, built: list[Path], lost: str) -> None:
    assert run(tmp_path, "finished", resume=False, report=True) == 0
    report = RunPaths(tmp_path / "toy").report
    before = {path.name: path.read_bytes() for path in report.iterdir() if path.is_file()}
    if lost == "torn":
        (report / "findings.json").write_bytes(before["findings.json"][:100])
    else:
        (report / lost).unlink()
    assert run(tmp_path, "nothing left", report=True) == 0
    assert {path.name: path.read_bytes() for path in report.iterdir() if path.is_file()} == before


def test_what_cannot_be_read_after_a_sweep_is_said_and_the_sweep_is_accounted_for(
    tmp_path: Path, built: list[Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def damaged(root: Path) -> None:
        raise FaultsError(["trials.parquet is damaged"])

    monkeypatch.setattr(execution, "best_facts", damaged)
    assert run(tmp_path, "finished", resume=False, report=True) == 1
    said = "".join(capfd.readouterr())
    assert "trials.parquet is damaged" in said and " planned = " in said


def test_a_store_that_is_away_after_a_sweep_ends_it_with_the_way_on(
    tmp_path: Path, built: list[Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def away(root: Path) -> None:
        raise ConnectionError("the store is away")

    monkeypatch.setattr(execution, "lost_checkpoints", away)
    assert run(tmp_path, "finished", resume=False, report=True) == 1
    assert "the store is away" in "".join(capfd.readouterr())
