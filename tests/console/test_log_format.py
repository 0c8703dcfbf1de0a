"""What a sweep says while it runs: strict JSON lines for programs, a screen that fits for people."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

import ablation.run as run_module
from ablation import tables
from ablation.console.messages import messages_for
from ablation.console.progress import PLAIN_EVERY_S, Progress
from ablation.engine.slots import Slots
from ablation.ledger.log import Ledger, LedgerError, read_events
from ablation.ledger.records import fold
from ablation.paths import RunPaths
from ablation.plan import Plan
from ablation.report_process import write_report
from ablation.resources import Resources
from ablation.study.study import Study
from ablation.trial import EpochRecord
from search_spaces.space import Choice
from tests.support.plain_driver import put_in_place
from tests.toy_study import SPACE, toy_plan

APP = typer.Typer()
APP.command()(run_module.main)


JSON = Resources(log_format="json")


class Clock:
    """A clock that goes forward when reported to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def strict(text: str) -> list[dict[str, Any]]:
    """Read JSON lines; NaN and Infinity are no JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def carry_out(study: Study, clock: Clock, epoch_s: float = 1.0, most_trials: int = 1000) -> None:
    """Run trials one after the other, each epoch taking so long, the first trial losing its worker once."""
    for done in range(most_trials):
        assignment = study.next_assignment()
        if assignment is None:
            return
        trial = assignment.trial
        study.started(trial.trial_id)
        if done == 0:
            study.retried(trial.trial_id, "WorkerDied")
            study.started(trial.trial_id)
        for epoch in range(1, trial.epochs + 1):
            clock.now_s += epoch_s
            metrics = {"val_score": (trial.seed % 997) / 997 + epoch / 100, "note": float("nan")}
            if trial.phase == "confirm" and epoch == trial.epochs:
                metrics["test_score"] = float("inf") if trial.arm == "baseline" else 0.5
            if not study.report(trial.trial_id, EpochRecord(epoch, epoch_s, metrics), epoch * epoch_s, None):
                break


def small_plan() -> Plan:
    return toy_plan().model_copy(
        update={"budget": SPACE.budgets["quick"].model_copy(update={"replicates": 2, "trials": 2})}
    )


@contextmanager
def watched(
    folder: Path,
    clock: Clock,
    resources: Resources = JSON,
    *,
    plan: Plan | None = None,
    slots: int = 2,
    console: Console | None = None,
) -> Iterator[tuple[Study, Progress]]:
    """Open a session of a study whose ledger is in ``folder``, with what is said of it."""
    with Ledger(folder / "ledger") as ledger:
        study = Study(plan or small_plan(), ledger)
        study.open_session(0, {})
        with (
            Progress(study, Slots(slots, 1.0, 0.0), resources, clock, console=console) as progress,
            study.followed_by(progress.note),
        ):
            yield study, progress


def test_every_event_is_a_line_of_strict_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with watched(tmp_path, clock) as (study, _):
        carry_out(study, clock)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = strict(captured.err)
    events = read_events(tmp_path / "ledger")[1:]  # the first opened the session
    reported = [line for line in lines if line["kind"] != "progress"]
    assert [(line["kind"], line["trial_id"], line["seq"]) for line in reported] == [
        (event.kind, event.trial_id, event.seq) for event in events
    ]
    assert {line["kind"] for line in reported} == {"proposed", "started", "retried", "epoch", "decided", "ended"}
    epochs = [line for line in reported if line["kind"] == "epoch"]
    assert all(line["metrics"]["note"] is None for line in epochs)
    assert any("test_score" in line["metrics"] and line["metrics"]["test_score"] is None for line in epochs)


def test_progress_comes_first_last_and_every_so_often(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with watched(tmp_path, clock) as (study, _):
        carry_out(study, clock)
    lines = strict(capsys.readouterr().err)
    reported = [line for line in lines if line["kind"] == "progress"]
    records = fold(read_events(tmp_path / "ledger"))
    epochs = sum(len(state.epochs) for state in records.values())
    assert lines[0] == reported[0] and lines[-1] == reported[-1]
    assert len(reported) == 2 + epochs // int(PLAIN_EVERY_S)
    assert (reported[0]["ended"], reported[0]["left_s"], reported[0]["best"]) == (0, None, None)
    last = reported[-1]
    assert last["planned"] == last["ended"] == small_plan().trial_count == len(records)
    for outcome in ("completed", "stopped", "diverged", "failed"):
        assert last[outcome] == sum(state.outcome == outcome for state in records.values())
    assert (last["running"], last["left_s"], last["epochs"]) == (0, 0.0, epochs)
    assert last["epochs_per_s"] == pytest.approx(1.0)
    best = max(state.last("val_score") for state in records.values() if state.outcome == "completed")
    assert last["best"]["val_score"] == best
    assert reported[1]["running"] == 1


def test_a_resumed_sweep_counts_what_earlier_sessions_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Ledger(tmp_path / "ledger") as ledger:
        study = Study(small_plan(), ledger)
        study.open_session(0, {})
        carry_out(study, clock, most_trials=7)
    with watched(tmp_path, clock):
        clock.now_s += 5
    first, last = strict(capsys.readouterr().err)
    assert first["ended"] == last["ended"] == 7
    assert last["epochs_per_s"] == 0.0


def test_plain_lines_say_what_runs_and_how_long_it_will_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    with watched(tmp_path, clock, Resources()) as (study, _):
        carry_out(study, clock)
    first, lost, *middle, last = capsys.readouterr().err.splitlines()
    assert first == "30 trials, 2 at a time"
    assert lost == "reference/0/search/0 starts again: WorkerDied"
    assert "1 running, 1 retried, 1.0 epochs/s, 20 s so far, about" in middle[0] and middle[0].endswith(" left")
    assert last.startswith("30/30 trials (") and last.endswith("so far, done") and "running" not in last


def test_time_left_is_by_the_rate_of_the_slots_that_are_there_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    with watched(tmp_path, clock, slots=0) as (study, progress):
        clock.now_s += 1000.0  # until a node has come
        progress.look(Slots(0, 1.0, 0.0, wait="0 of 2 places; asked the cluster for 2 × 1 CPU, 1000 s"))
        progress.look(Slots(2, 1.0, 0.0))
        carry_out(study, clock, most_trials=15)
        clock.now_s += 20.0
        progress.look(Slots(2, 1.0, 0.0))
    said = [line for line in strict(capsys.readouterr().err) if line["kind"] == "progress"]
    assert said[1]["slots_wait"].startswith("0 of 2 places") and said[1]["epochs_per_s"] == 0.0
    busy = said[-2]
    assert busy["slots"] == 2 and busy["epochs_per_s"] > 0.5 and busy["left_s"] < 200


def test_the_screen_shows_the_arms_that_matter_and_all_of_them_at_the_end(tmp_path: Path) -> None:
    levels = tuple(level / 100 for level in range(30))
    space = SPACE.model_copy(update={"factors": {**SPACE.factors, "toy.bonus": Choice(values=(*levels, -0.05))}})
    arms = space.arms()
    budget = SPACE.budgets["quick"].model_copy(update={"replicates": 2, "trials": 1})
    plan = Plan(space=space, metric="score", budget=budget, arms=arms, comparisons=space.declared(arms))
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=12, color_system=None)
    clock = Clock()

    def drawn(progress: Progress) -> list[str]:
        plain = Console(file=io.StringIO(), width=100)
        plain.print(progress.screen())
        assert isinstance(plain.file, io.StringIO)
        return plain.file.getvalue().splitlines()

    with watched(tmp_path, clock, Resources(), plan=plan, console=console) as (study, progress):
        carry_out(study, clock, most_trials=20)
        last = study.next_assignment()
        assert last is not None
        study.started(last.trial.trial_id)
        lines = drawn(progress)
        assert len(lines) < 12
        names = [line.split()[0] for line in lines[1:-2]]
        assert names[0] == "reference" and last.trial.arm in names
        ended = {state.trial_id.split("/")[0]: state for state in study.records.values() if state.has_ended}
        best = max(ended, key=lambda name: ended[name].last("val_score"))
        assert best in names
        assert lines[-2] == f"… and {len(arms) - len(names)} more arms"
        assert ", 1 running, " in lines[-1]
    assert {line.split()[0] for line in drawn(progress)[1:-1]} == {arm.name for arm in arms}


@pytest.mark.parametrize(("ended", "code"), [("finished", 0), ("interrupted", 130)])
def test_a_run_says_nothing_but_json_from_its_header_to_its_accounting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: str, code: int
) -> None:
    put_in_place(monkeypatch, ended)
    arguments = ("--space", "tests.toy_study:SPACE", "--name", "toy", "--out", str(tmp_path), "--replicates", "2")
    result = CliRunner().invoke(APP, [*arguments, "--log-format", "json", "--no-report"])
    assert result.exit_code == code, result.output
    lines = strict(result.stderr)
    ends = [place for place, line in enumerate(lines) if line["kind"] == "accounting"]
    header, accounting, rest = lines[0], lines[ends[0]], lines[ends[0] + 1 :]
    assert header["kind"] == "study" and len(ends) == 1 and header["arms"][0] == "reference"
    assert (header["trials"], header["run"], header["resume"]) == (50, str(tmp_path / "toy"), False)
    assert (accounting["kind"], accounting["ended"], accounting["exit_code"]) == ("accounting", ended, code)
    summary = json.loads((tmp_path / "toy/summary.json").read_text())
    assert summary.items() <= accounting.items()
    assert [line["kind"] for line in rest] == ([] if ended == "finished" else ["go_on"])


def test_faults_are_json_where_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch, "finished")
    arguments = ("--space", "tests.toy_study:SPACE", "--out", str(tmp_path), "--metric", "scores", "--trials", "-1")
    result = CliRunner().invoke(APP, [*arguments, "--log-format", "json"])
    assert result.exit_code == 2
    lines = strict(result.stderr)
    assert [line["kind"] for line in lines] == ["fault", "fault"]
    assert any("did you mean 'score'?" in line["fault"] for line in lines)


def test_a_report_that_cannot_be_built_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/ls")  # fails, with something on stderr
    assert write_report(RunPaths(tmp_path / "nothing"), messages_for("json")) is None
    (line,) = strict(capfd.readouterr().err)
    assert line["kind"] == "report_failed" and line["error"] and "analysis.report" in line["again"]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_halts_a_sweep_and_keeps_the_tables_old_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_format: str
) -> None:
    def halt(*rest: object, **more: object) -> None:
        raise LedgerError("the ledger is gone")

    def full(paths: RunPaths[Path]) -> None:
        raise OSError("no space left")

    put_in_place(monkeypatch)
    monkeypatch.setattr("ablation.engine.driver.sweep", halt)
    monkeypatch.setattr(tables, "materialise", full)
    arguments = ("--space", "tests.toy_study:SPACE", "--name", "toy", "--out", str(tmp_path))
    result = CliRunner().invoke(APP, [*arguments, "--log-format", log_format])
    assert result.exit_code == 1
    if log_format == "text":
        reported = result.stderr.splitlines()
        assert reported[-2:] == ["error: the ledger is gone", "the tables stay as they were: no space left"]
        return
    _, *reported_json = strict(result.stderr)
    run = str(tmp_path / "toy")
    assert reported_json == [
        {"kind": "halted", "error": "the ledger is gone", "run": run},
        {"kind": "tables_stale", "error": "no space left", "run": run},
    ]


def test_a_plan_and_a_header_say_the_same_of_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch)
    asked = ("--space", "tests.toy_study:SPACE", "--arms", "baseline", "--replicates", "2", "--trials", "2")
    plan = json.loads(CliRunner().invoke(APP, [*asked, "--plan", "--json"]).stdout)
    reported = CliRunner().invoke(APP, [*asked, "--out", str(tmp_path), "--log-format", "json", "--no-report"]).stderr
    header = strict(reported.splitlines()[0])[0]
    assert header.keys() - plan.keys() == {"kind", "budget_reason", "data", "run", "resume"}
    assert header["arms"] == [arm["name"] for arm in plan["arms"]] == ["reference", "baseline"]
    shared = (header.keys() & plan.keys()) - {"arms"}
    assert {key: header[key] for key in shared} == {key: plan[key] for key in shared}
