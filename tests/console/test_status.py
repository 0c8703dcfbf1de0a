"""What became of a run so far: also of trials under way, of failures with their reasons, and where it cannot look."""

from __future__ import annotations

import errno
import io
import json
import os
import platform
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from ablation import best, rerun, status, study_file
from ablation.at_work import LEAST_QUIET_S, is_at_work, longest_quiet_s
from ablation.console.progress import Progress
from ablation.engine.slots import Slots
from ablation.ledger.log import Ledger, newest_driver, read_events
from ablation.machine import started
from ablation.paths import RunPaths
from ablation.planning.place import folder_faults
from ablation.run_dir import run_dir
from ablation.study.study import MOST_REASON_LETTERS, Study
from analysis.audit.__main__ import main as audit
from analysis.report.build import build as report_of
from tests.support.plain_loop import carry_out, run_study
from tests.toy_study import toy_plan

ENDED = 2**22 + 1  # above what Linux gives to processes


def shown(command: Any, *arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "400"})
    return done.exit_code, done.output


@pytest.fixture
def half(tmp_path: Path) -> RunPaths[Path]:
    """Make a run whose driver has stopped somewhere, leaving trials under way."""
    return run_study(toy_plan(), tmp_path / "toy", at_a_time=3, most_epochs=20)


def say_driver_is(paths: RunPaths[Path], host: str, process: int) -> None:
    driver = newest_driver(paths.ledger)
    assert driver is not None
    (claim,) = paths.ledger.glob(f"session-{driver['session']:04d}-*.json")
    claim.write_text(json.dumps({"host": host, "process": process}))


@pytest.mark.parametrize(
    ("host", "process", "is_alive"),
    [(platform.node(), os.getpid(), True), (platform.node(), ENDED, False), ("another", ENDED, True)],
    ids=["here", "here and gone", "elsewhere and heard of"],
)
def test_trials_run_while_their_driver_is_at_work_and_are_interrupted_afterwards(
    half: RunPaths[Path], host: str, process: int, is_alive: bool
) -> None:
    say_driver_is(half, host, process)
    code, text = shown(status.show, str(half.root))
    assert code == 0
    assert ("= 3 running + " in text) == is_alive and (", 3 running, " in text) == is_alive
    assert ("3 interrupted" in text) != is_alive


def test_a_run_is_looked_at_again_until_no_driver_is_at_work_on_it(
    half: RunPaths[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    say_driver_is(half, platform.node(), os.getpid())
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            say_driver_is(half, platform.node(), ENDED)

    monkeypatch.setattr("ablation.status.time.sleep", wait)
    code, text = shown(status.show, str(half.root), "--watch", "--json")
    first, second, last = map(json.loads, text.splitlines())
    assert code == 0 and first["is_going_on"] and second["is_going_on"] and not last["is_going_on"]
    assert len(first["running"]) == 3 == sum(arm["running"] for arm in first["arms"].values())
    assert last["running"] == [] and last["counts"]["interrupted"] == 3
    assert "is gone; go on with: " in last["standing_still"] and min(waited) >= 1


def test_status_shows_the_table_that_its_driver_shows(tmp_path: Path) -> None:
    def rows(screen: RenderableType) -> list[str]:
        out = Console(file=io.StringIO(), width=100)
        out.print(screen)
        return [line.rstrip() for line in str(out.file.getvalue()).splitlines()]  # type: ignore[attr-defined]

    paths, plan = RunPaths(tmp_path / "toy"), toy_plan()
    study_file.write(study_file.describe("toy", plan, "quick", None, []), paths)
    with Ledger(paths.ledger) as ledger:
        study = Study(plan, ledger)
        progress = Progress(study, Slots(3, 1.0, 0.0), console=Console(file=io.StringIO(), height=40))
        with study.followed_by(progress.note):
            carry_out(study, paths, at_a_time=3, most_epochs=50)
        ledger.flush()
        *table, line = rows(progress.screen())
        *seen, said = rows(status.look(run_dir(paths.root)).overview.screen(40))
    assert seen == table and any(row.split()[3] == "1" for row in table[1:])  # one of its trials is running
    assert said.split(",")[:3] == line.split(",")[:3]  # the rest is time


def test_a_driver_elsewhere_that_has_been_quiet_for_long_is_gone(half: RunPaths[Path]) -> None:
    assert not is_at_work({"host": "another", "process": 1}, time.time() - 2 * LEAST_QUIET_S)
    assert longest_quiet_s(read_events(half.ledger)) == LEAST_QUIET_S
    # An epoch may take so long, and records nothing before it ends.
    with Ledger(half.ledger) as ledger:
        Study(toy_plan(), ledger).open_session(process=1, resources={"watchdog_minutes": 45.0})
    assert longest_quiet_s(read_events(half.ledger)) == 45 * 60


def test_of_a_driver_elsewhere_is_said_how_long_it_has_been_quiet_and_not_that_it_is_gone(
    half: RunPaths[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    say_driver_is(half, "another", ENDED)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 7200)
    _, text = shown(status.show, str(half.root))
    assert "on another has recorded nothing for 120 min; if it is gone, go on with: " in " ".join(text.split())


def test_failures_are_counted_by_reason_with_the_command_that_runs_them_again(tmp_path: Path) -> None:
    paths = run_study(toy_plan(misbehave="raise"), tmp_path / "toy")
    _, text = shown(status.show, str(paths.root))
    assert re.search(r"\d+ × ToyError: asked to", text) and "15 × no_survivor" in text
    # It was not started by a command here, so that whoever goes on with it says that its code may run.
    command = f"{sys.executable} -m ablation.resume {paths.root} --retry-failed --trust"
    assert f"run failed trials again, once it is mended, with: {command}" in text


def test_a_reason_of_megabytes_is_cut_at_its_source(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        study = Study(toy_plan(), ledger)
        study.open_session(process=0, resources={})
        assignment = study.next_assignment()
        assert assignment is not None
        study.started(assignment.trial.trial_id)
        study.end(assignment.trial.trial_id, "failed", "x" * 20_000_000)
        reason = study.records[assignment.trial.trial_id].reason
    assert reason is not None and len(reason) < MOST_REASON_LETTERS + 50
    assert reason.endswith(f"({20_000_000 - MOST_REASON_LETTERS} letters more)")


def test_a_folder_that_no_run_can_be_written_into_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folder_faults(tmp_path / "new/runs") == []
    (tmp_path / "file").touch()
    assert f"{tmp_path / 'file'} is a file" in folder_faults(tmp_path / "file/runs")[0]
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: full)
    assert "its disk is full" in folder_faults(tmp_path)[0]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EROFS, "nothing can be written there (Read-only file system)"),
        (errno.EDQUOT, "its disk is full (Disk quota exceeded)"),
        (errno.ENOSPC, "its disk is full (No space left on device)"),  # also without a free inode
    ],
)
def test_what_only_trying_tells_of_a_folder_is_a_fault_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    def refuse(**options: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    (fault,) = folder_faults(tmp_path)
    assert said in fault


def test_names_that_are_too_long_links_into_nothing_and_kernel_folders_are_faults(tmp_path: Path) -> None:
    assert "no folder can have so long a name" in folder_faults(tmp_path / ("x" * 256))[0]
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert f"is a link to {tmp_path / 'gone'}, which is not there" in folder_faults(tmp_path / "link/runs")[0]
    assert "nothing can be written there" in folder_faults(Path("/proc/runs"))[0]
    assert list(tmp_path.iterdir()) == [tmp_path / "link"]  # nothing is left of the try


def test_a_process_that_has_a_drivers_number_by_now_is_not_the_driver(half: RunPaths[Path]) -> None:
    mine = {"host": platform.node(), "process": os.getpid(), "started": started(os.getpid())}
    assert is_at_work(mine, 0.0)
    assert not is_at_work({**mine, "started": "another boot/17"}, 0.0)
    code, text = shown(status.show, str(half.root))
    assert code == 0 and "is at work" not in text


def test_a_study_that_stands_still_says_how_to_go_on(half: RunPaths[Path]) -> None:
    say_driver_is(half, platform.node(), ENDED)
    assert (
        f"driver {ENDED} on {platform.node()} is gone; go on with: {sys.executable} -m ablation.resume {half.root}"
        in shown(status.show, str(half.root))[1]
    )


def test_a_study_without_failures_names_no_command(half: RunPaths[Path]) -> None:
    assert "--retry-failed" not in shown(status.show, str(half.root))[1]


@pytest.mark.parametrize("text", ["", "no json", "{}", '{"plan": 3}', "[]", '{"plan": {"space": 1}}'])
@pytest.mark.parametrize("command", [status.show, audit, best.show, rerun.show])
def test_a_damaged_study_json_is_named_with_what_to_do(tmp_path: Path, command: Any, text: str) -> None:
    paths = run_study(toy_plan(), tmp_path / "toy", most_epochs=1)
    paths.study.write_text(text)
    trial = ("reference/0/search/0",) if command is rerun.show else ()
    code, said = shown(command, str(paths.root), *trial)
    assert code == (1 if command is audit else 2)
    assert f"{paths.study} is damaged" in said and "restore it from a copy" in said


def test_programs_get_the_counts_as_json(half: RunPaths[Path]) -> None:
    code, text = shown(status.show, str(half.root), "--json")
    found = json.loads(text)
    assert code == 0 and sum(found["counts"].values()) == found["planned"]
    assert found["answer"] == [] and found["retry"] is None


def test_the_answer_of_the_report_is_shown(tmp_path: Path) -> None:
    paths = run_study(toy_plan(), tmp_path / "toy")
    report_of(paths.root)
    (first, second) = json.loads((paths.report / "findings.json").read_text())["answer"]
    code, text = shown(status.show, str(paths.root))
    assert code == 0 and first in text and second in text
