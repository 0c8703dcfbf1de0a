"""A report is headed with the title that was asked for, else with what the run was given, else with its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analysis.report.__main__ import app
from analysis.report.build import Report, render
from tests.support.made_runs import write_run

TABLE = "model,seed,loss\nfull,0,0.3\nfull,1,0.4\nplain,0,0.5\nplain,1,0.65\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("made") / "run")


def headings(page: str, findings: str) -> tuple[str, str, str]:
    """Return a report's title in the browser, its heading, and what findings.json calls it."""
    title, heading = (page.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0] for tag in ("title", "h1"))
    return title.removesuffix(" – ablation report"), heading, json.loads(findings)["study"]["title"]


def of_report(report: Report) -> tuple[str, str, str]:
    return headings(report.page, report.findings)


def of_folder(folder: Path) -> tuple[str, str, str]:
    return headings((folder / "index.html").read_text(), (folder / "findings.json").read_text())


def test_a_run_without_a_title_is_headed_with_its_name(run: Path) -> None:
    assert of_report(render(run)) == ("made-bridges",) * 3


def test_a_recorded_title_heads_the_page_and_another_may_be_asked_for(run: Path, tmp_path: Path) -> None:
    titled = write_run(tmp_path / "titled")
    study = json.loads((titled / "study.json").read_text())
    (titled / "study.json").write_text(json.dumps({**study, "title": "Wood or steel?"}))
    report = render(titled)
    assert of_report(report) == ("Wood or steel?",) * 3
    assert '<p class="facts">made-bridges · 2030' in report.page, "the name is still said"
    result = CliRunner().invoke(app, [str(titled), "--out", str(tmp_path / "out"), "--title", "Bridges"])
    assert result.exit_code == 0, result.output
    assert of_folder(tmp_path / "out") == ("Bridges",) * 3
    assert json.loads((titled / "study.json").read_text())["title"] == "Wood or steel?"


def test_a_title_is_text_and_no_markup(run: Path) -> None:
    page = render(run, title="a <b>c</b>").page
    assert "<h1>a &lt;b&gt;c&lt;/b&gt;</h1>" in page


def test_a_table_of_results_takes_a_title(tmp_path: Path) -> None:
    (tmp_path / "losses.csv").write_text(TABLE)
    asked = [str(tmp_path / "losses.csv"), "--reference", "full"]
    assert CliRunner().invoke(app, asked).exit_code == 0
    assert of_folder(tmp_path / "losses-report") == ("losses",) * 3
    assert CliRunner().invoke(app, [*asked, "--title", "Full against plain"]).exit_code == 0
    assert of_folder(tmp_path / "losses-report") == ("Full against plain",) * 3


@pytest.mark.parametrize("title", ["", "  ", "two\nlines"])
def test_a_title_that_heads_nothing_is_refused(run: Path, tmp_path: Path, title: str) -> None:
    result = CliRunner().invoke(app, [str(run), "--out", str(tmp_path / "out"), "--title", title])
    assert result.exit_code == 2 and "--title is" in result.output and "one line of text" in result.output
    assert not (tmp_path / "out").exists()


def test_one_title_is_refused_for_several_runs(run: Path) -> None:
    result = CliRunner().invoke(app, [str(run), str(run), "--title", "Bridges"])
    assert result.exit_code == 2 and "--title heads one page, but 2 runs are given" in result.output
