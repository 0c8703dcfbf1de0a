"""A section that cannot be made says so in its place and to whoever ran the command; the rest of the page is there."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ablation.console.messages import messages_for
from ablation.paths import RunPaths
from ablation.report_process import write_report
from analysis import effects, load
from analysis.attempts import Attempts
from analysis.findings_schema import SCHEMA
from analysis.report import build, page
from analysis.report.__main__ import app
from analysis.report.build import Report
from analysis.report.inputs import Inputs, read
from analysis.report.score import view as score
from analysis.report.search import figures as search_figures
from analysis.report.sections import Part, Section
from analysis.statistics import item_agreement, survival
from analysis.tables import effort, marginals
from tests.support.report_runs import write_full_run

jsonschema: Any = import_module("jsonschema")  # has no types

PARTS = [part for part in build.PARTS if part is not score.PART]  # which is for studies of one arm
SECTIONS = {section.name: section for part in PARTS for section in part.sections}
BROKEN = {
    "importance": (search_figures, "explained"),
    "slices": (search_figures, "parallel"),
    "marginals": (marginals, "marginals"),
    "mcnemar": (item_agreement, "mcnemar_table"),
    "effort": (effort, "effort_table"),
    "predictions": (load, "predictions"),
    "survival": (survival, "survival_table"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_full_run(tmp_path_factory.mktemp("sections") / "run")


@pytest.fixture(scope="module")
def whole(run: Path) -> Report:
    return build.render(run)


def fail(*_: object, **__: object) -> Any:
    raise ValueError("cannot convert\nfloat <NaN> to integer")


def texts(page: str) -> dict[str, str]:
    """Return each section of a page by its id, without those within it."""
    starts = [
        (found.start(), found[1])
        for found in re.finditer(r'<section [^>]*id="([\w-]+)"|<p class="accounting"|</main>', page)
    ]
    ends = [start for start, _ in starts[1:]]
    return {name: page[start:end] for (start, name), end in zip(starts, ends, strict=False) if name}


def check(report: Report, whole: Report, name: str) -> None:
    """Hold that a report lacks ``name``, says so where it must, and has everything else."""
    assert report.page.count("could not be made") == 2  # at the top, and in its place
    assert f'<a href="#lacking-{name}">' in report.page
    assert f'id="lacking-{name}"' in report.page
    assert "<code>float &lt;NaN&gt; to integer</code>" in report.page
    assert "This page lacks 1 section" in report.page
    assert {failure.error for failure in report.failures} == {"float <NaN> to integer"}
    assert all("in fail" in failure.traceback for failure in report.failures)
    found, before = json.loads(report.findings), json.loads(whole.findings)
    assert found["lacking"] == [{"section": name, "reason": "float <NaN> to integer"}]
    assert before["lacking"] == []
    assert [row["verdict"] for row in found["comparisons"]] == [row["verdict"] for row in before["comparisons"]]


@pytest.fixture(scope="module")
def ready(run: Path) -> tuple[Inputs, tuple[Part, ...]]:
    """Read the run, and make every section of it, once for all tests."""
    inputs = read(run)

    def once(section: Section) -> Section:
        view = section.make(inputs)
        return replace(section, make=lambda _: view)

    return inputs, tuple(replace(part, sections=tuple(map(once, part.sections))) for part in PARTS)


@pytest.mark.parametrize(
    ("name", "stage"),  # all are filled alike, by their part's template: one of each part will do
    [(name, "made") for name in SECTIONS] + [(part.sections[0].name, "filled") for part in PARTS],
)
def test_whichever_section_fails_says_so_in_its_place_and_every_other_is_there(
    ready: tuple[Inputs, tuple[Part, ...]], whole: Report, monkeypatch: pytest.MonkeyPatch, name: str, stage: str
) -> None:
    inputs, parts = ready
    monkeypatch.setattr(build, "read", lambda *_, **__: inputs)
    if stage == "made":
        parts = tuple(
            replace(part, sections=tuple(replace(one, make=fail) if one.name == name else one for one in part.sections))
            for part in parts
        )
    else:
        filled = page.filled
        monkeypatch.setattr(
            page, "filled", lambda part, block, facts: fail() if block == name else filled(part, block, facts)
        )
    monkeypatch.setattr(build, "PARTS", parts)
    report = build.render(inputs.where)
    check(report, whole, name)
    before, after = texts(whole.page), texts(report.page)
    assert list(after) == [one for one in SECTIONS_AND_PARTS if one in before or one == name]
    lost_links = {"tables"} if stage == "made" else set[str]()  # files of what was not made are not linked
    assert [one for one in before if after[one] != before[one] and one not in {name, *lost_links}] == []
    assert SECTIONS[name].title in after[name]


SECTIONS_AND_PARTS = [
    name for part in PARTS for name in ([part.folder] if part.title else []) + [s.name for s in part.sections]
]


@pytest.mark.parametrize("name", BROKEN)
def test_whatever_a_section_rests_on_fails_it_alone(
    run: Path, whole: Report, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(*BROKEN[name], fail)
    report = build.render(run)
    assert report.failures[0].name == name
    place = next(section for section in SECTIONS.values() if name in section.titles)
    assert f'id="lacking-{name}"' in texts(report.page)[place.name]
    assert json.loads(report.findings)["lacking"][0]["section"] == name
    assert report.page.count("<figure data-plot") > 0.6 * whole.page.count("<figure data-plot")


def test_what_claims_rest_on_fails_with_the_same_reason_wherever_it_is_needed_and_nothing_is_claimed(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effects, "comparisons_table", fail)
    report = build.render(run)
    lost = {failure.name for failure in report.failures}
    assert {"answer", "arms", "comparisons", "findings"} <= lost
    assert not {"curves", "best", "slices", "tuned", "timeline", "method"} & lost
    assert {failure.error for failure in report.failures} == {"float <NaN> to integer"}
    assert len({failure.traceback for failure in report.failures}) == 1
    found = json.loads(report.findings)
    jsonschema.validate(found, SCHEMA)
    assert {entry["section"] for entry in found["lacking"]} == lost
    assert "no claim" not in texts(report.page)["answer"]


def test_a_page_of_which_everything_fails_names_all_of_it_in_its_place(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Attempts.make

    def make(attempts: Attempts, name: str, part: Any, instead: Any) -> Any:
        return made(attempts, name, part if name == "tables" else fail, instead)

    monkeypatch.setattr(Attempts, "make", make)
    report = build.render(run)
    lost = dict.fromkeys(failure.name for failure in report.failures)
    assert len(lost) > len(SECTIONS)
    for name in lost:
        assert report.page.count(f'id="lacking-{name}"') == 1, name
        assert f'<a href="#lacking-{name}">{name}</a>' not in report.page, f"{name} has no title"


@pytest.mark.parametrize("name", ["marginals", "sampling", "reruns", "code", "not_completed", "ablation_path"])
def test_what_was_not_computed_has_a_place_on_the_page(run: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    made = Attempts.make
    monkeypatch.setattr(
        Attempts, "make", lambda self, one, part, instead: made(self, one, fail if one == name else part, instead)
    )
    assert f'id="lacking-{name}"' in build.render(run).page


def test_a_figure_that_json_cannot_hold_fails_alone(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        search_figures, "steps", lambda *_: {"name": "", "data": [float("nan")], "layout": {"height": 1, "yaxis": {}}}
    )
    assert [failure.name for failure in build.render(run).failures] == ["survival", "best"]


def test_the_command_writes_the_page_says_what_it_lacks_and_ends_with_1(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_figures, "explained", fail)
    result = CliRunner().invoke(app, [str(run), "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stdout.strip() == str(tmp_path / "index.html")
    assert "Traceback" in result.stderr
    assert "the page lacks 'importance': float <NaN> to integer" in result.stderr
    assert 'id="lacking-importance"' in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "findings.json").read_text())["lacking"][0]["section"] == "importance"


def test_a_sweep_says_which_page_lacks_a_section_and_does_not_count_it_as_whole(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = str(run / "report" / "index.html")
    done = subprocess.CompletedProcess([], 1, f"{printed}\n", "the page lacks 'importance': made")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert write_report(RunPaths(run), messages_for("json")) is None
    reported = json.loads(capsys.readouterr().err)
    assert reported["page"] == str(run / "report" / "index.html")
    assert reported["error"] == done.stderr


def test_a_sweep_whose_report_crashed_names_no_page(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = subprocess.CompletedProcess([], 1, "", "Traceback: made")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert write_report(RunPaths(run), messages_for("json")) is None
    assert json.loads(capsys.readouterr().err).get("page") is None


def test_findings_that_cannot_be_made_do_not_vouch_for_another_page(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [str(run), "--out", str(tmp_path)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    monkeypatch.setattr("analysis.report.build.findings", fail)
    assert CliRunner().invoke(app, arguments).exit_code == 1
    found = json.loads((tmp_path / "findings.json").read_text())
    jsonschema.validate(found, SCHEMA)
    assert found["lacking"] == [{"section": "findings", "reason": "float <NaN> to integer"}]
    assert "answer" not in found
