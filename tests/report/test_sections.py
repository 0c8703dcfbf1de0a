"""A section that cannot be made says so in its place and to whoever ran the command; the rest of the page is there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ablation.console.messages import messages_for
from ablation.paths import RunPaths
from ablation.report_process import write_report
from analysis.report import page
from analysis.report.__main__ import app
from analysis.report.build import render
from analysis.report.effects import figures as effects_figures
from analysis.report.effects import view as effects_view
from analysis.report.effects import wording
from analysis.report.search import figures as search_figures
from analysis.statistics import item_agreement
from analysis.tables import marginals
from tests.support.report_runs import write_full_run

BROKEN = {
    "Differences to the reference": (effects_figures, "forest"),
    "Importance of hyperparameters": (search_figures, "explained"),
    "Each trial": (search_figures, "parallel"),
    "Factors on average": (marginals, "marginals"),
    "Best models, picture by picture": (item_agreement, "mcnemar_table"),
    "Run": (wording, "effort_sentence"),
    "The answer": (effects_view, "answer"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_full_run(tmp_path_factory.mktemp("sections") / "run")


def fail(*_: object, **__: object) -> Any:
    raise ValueError("cannot convert\nfloat <NaN> to integer")


@pytest.mark.parametrize("title", BROKEN)
def test_a_section_that_fails_says_so_in_its_place_and_the_rest_is_there(
    run: Path, monkeypatch: pytest.MonkeyPatch, title: str
) -> None:
    whole = render(run)
    monkeypatch.setattr(*BROKEN[title], fail)
    report = render(run)
    assert report.page.count("This section could not be made") == 1
    assert f">{title}</h" in report.page
    assert "<code>float &lt;NaN&gt; to integer</code>" in report.page
    assert "This page lacks 1 section" in report.page
    assert [failure.error for failure in report.failures] == ["float <NaN> to integer"]
    assert "in fail" in report.failures[0].traceback
    assert len(report.page) > 0.9 * len(whole.page)
    found, before = json.loads(report.findings), json.loads(whole.findings)
    assert [row["verdict"] for row in found["comparisons"]] == [row["verdict"] for row in before["comparisons"]]


def test_a_figure_that_json_cannot_hold_fails_alone(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        search_figures, "steps", lambda *_: {"name": "", "data": [float("nan")], "layout": {"height": 1, "yaxis": {}}}
    )
    assert [failure.name for failure in render(run).failures] == ["survival", "best"]


def test_the_command_writes_the_page_says_what_it_lacks_and_ends_with_3(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_figures, "explained", fail)
    result = CliRunner().invoke(app, [str(run), "--out", str(tmp_path)])
    assert result.exit_code == 3
    assert "Traceback" in result.output
    assert "the page lacks 'importance': float <NaN> to integer" in result.output
    assert "This section could not be made" in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert (tmp_path / "findings.json").is_file()


def test_a_sweep_says_which_page_lacks_a_section_and_does_not_count_it_as_whole(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = subprocess.CompletedProcess([], 3, "", "the page lacks 'importance': made")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert write_report(RunPaths(run), messages_for("json")) is None
    reported = json.loads(capsys.readouterr().err)
    assert reported["page"] == str(run / "report" / "index.html")
    assert reported["error"] == done.stderr


def test_findings_that_cannot_be_made_do_not_vouch_for_another_page(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [str(run), "--out", str(tmp_path)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    monkeypatch.setattr("analysis.report.build.findings", fail)
    assert CliRunner().invoke(app, arguments).exit_code == 3
    assert (tmp_path / "index.html").is_file()
    assert not (tmp_path / "findings.json").exists()


def test_every_section_has_a_title(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "placed", fail)
    for failure in render(run).failures:
        assert page.TITLES[failure.name]
