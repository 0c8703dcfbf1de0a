"""Drivers that begin at once: each has a run of its own, or says that the name is taken, and none disturbs another."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import ablation.run as run_module
from ablation import study_file
from ablation.engine.executor import NoStartError
from ablation.execution import run_prepared
from ablation.faults import FaultsError
from ablation.planning.planned_run import PlannedRun, plan_run
from ablation.planning.request import Request
from ablation.resources import Resources
from tests.support.plain_driver import put_in_place
from tests.toy_study import SPACE

SMALL = Request(SPACE, arms=("baseline",), replicates=2, trials=2)
APP = typer.Typer()
APP.command()(run_module.main)


def checked(out: Path, name: str | None = None) -> PlannedRun:
    return plan_run(SMALL, name, out, Resources(), resume=False)


def files(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def command(monkeypatch: pytest.MonkeyPatch, out: Path, *arguments: str) -> tuple[int, str, dict[str, bytes]]:
    """Run the command, and the same one between its choice of a name and its beginning.

    Returns the exit code, what was said, and the files of the one that began first.
    """
    found: dict[str, bytes] = {}

    def check_request(*given: Any, **options: Any) -> PlannedRun:
        late = plan_run(*given, **options)
        assert run_prepared(plan_run(*given, **options), report=False) in (0, 130)
        found.update(files(out))
        return late

    monkeypatch.setattr(run_module, "plan_run", check_request)
    asked = ("--space", "tests.toy_study:SPACE", "--arms", "baseline", "--replicates", "2", "--trials", "2")
    done = CliRunner().invoke(APP, [*asked, "--out", str(out), "--no-report", *arguments])
    return done.exit_code, done.output, found


def test_drivers_that_nobody_named_take_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch)
    runs = [checked(tmp_path) for _ in range(3)]
    assert len({run.paths.root for run in runs}) == 1
    assert [run_prepared(run, report=False) for run in runs] == [0, 0, 0]
    assert [run.paths.root.name[-2:] for run in runs] == ["-1", "-2", "-3"]
    for run in runs:
        assert json.loads(run.paths.study.read_bytes())["name"] == run.paths.root.name
        assert json.loads(run.paths.summary.read_bytes())["sessions"] == 1


def test_a_name_that_another_driver_took_first_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch)
    first, second = checked(tmp_path, "mine"), checked(tmp_path, "mine")
    assert run_prepared(first, report=False) == 0
    before = files(tmp_path)
    with pytest.raises(
        FaultsError, match=f"another driver has just started {tmp_path / 'mine'}; choose another --name"
    ):
        run_prepared(second, report=False)
    assert files(tmp_path) == before


def test_the_command_advises_another_name_and_not_to_overtake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    put_in_place(monkeypatch)
    code, reported, before = command(monkeypatch, tmp_path, "--name", "mine")
    assert code == 2
    assert (
        "another driver has just started" in reported
        and "choose another --name" in reported
        and "--resume" not in reported
    )
    assert files(tmp_path) == before


def test_an_interrupted_run_goes_on_by_the_name_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    put_in_place(monkeypatch, "interrupted")
    code, reported, before = command(monkeypatch, tmp_path)
    assert code == 130
    first, second = sorted(tmp_path.iterdir())
    assert f"resume {second}" in reported
    assert {name: text for name, text in files(tmp_path).items() if name.startswith(first.name)} == before


@pytest.mark.parametrize(
    ("name", "label"), [("öne/x y", "one-x-y"), ("../up", "up"), ("名", "study"), ("[x]", "x"), ("a" * 300, "a" * 80)]
)
def test_a_run_named_after_its_space_stays_in_its_folder_and_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, label: str
) -> None:
    put_in_place(monkeypatch)
    request = replace(SMALL, space=SPACE.model_copy(update={"name": name}))
    run = plan_run(request, None, tmp_path, Resources(), resume=False)
    assert run.paths.root.parent == tmp_path and run.paths.root.name.startswith(f"{label}-2")
    assert run_prepared(run, report=False) == 0
    again = plan_run(request, run.paths.root.name, tmp_path, Resources(), resume=True)
    assert again.paths.root == run.paths.root


def test_a_title_is_recorded_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch)
    request = replace(SMALL, title="Does speed matter?")
    run = plan_run(request, "mine", tmp_path, Resources(), resume=False)
    assert run_prepared(run, report=False) == 0
    assert study_file.read(run.paths).title == "Does speed matter?"
    for again in (request, SMALL):
        plan_run(again, "mine", tmp_path, Resources(), resume=True)
    with pytest.raises(FaultsError, match="--title is 'Other', but the run has 'Does speed"):
        plan_run(replace(SMALL, title="Other"), "mine", tmp_path, Resources(), resume=True)
    with pytest.raises(FaultsError, match="--title is ' ', but must be one line"):
        plan_run(replace(SMALL, title=" "), None, tmp_path, Resources(), resume=False)


@pytest.mark.parametrize("name", [None, "mine"])
def test_a_folder_of_runs_that_leads_nowhere_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str | None
) -> None:
    put_in_place(monkeypatch)
    out = tmp_path / "runs"
    run = checked(out, name)
    out.symlink_to(tmp_path / "unmounted")  # in between
    assert run_prepared(run, report=False) == 1
    assert "it cannot be started" in capsys.readouterr().err


def test_a_sweep_that_cannot_begin_ends_with_the_command_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(resources: Resources) -> None:
        raise NoStartError("Ray did not start")

    put_in_place(monkeypatch)
    monkeypatch.setattr("ablation.engine.driver.executor_for", refuse)
    run = checked(tmp_path, "mine")
    assert run_prepared(run, report=False) == 1
    said = capsys.readouterr().err.replace("\n", "")
    assert said.endswith(f"Ray did not startgo on with: {sys.executable} -m ablation.resume {run.paths.root}")
