"""A reader that goes away, of a pipe or a terminal, ends what is reported and nothing else."""

from __future__ import annotations

import errno
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ablation.console.progress import Progress
from ablation.console.stderr import Stderr
from ablation.engine.slots import Slots
from ablation.execution import run_prepared
from ablation.ledger.log import Ledger
from ablation.paths import RunPaths
from ablation.planning.planned_run import plan_run
from ablation.planning.request import Request
from ablation.resources import Resources
from ablation.study.study import Study
from tests.support.plain_driver import put_in_place
from tests.support.plain_loop import carry_out
from tests.toy_study import SPACE, toy_plan

ROOT = Path(__file__).parents[2]
SMALL = ("--arms", "baseline", "--replicates", "2", "--trials", "2")
NOBODY = BrokenPipeError(errno.EPIPE, "Broken pipe")
NO_TERMINAL = OSError(errno.EIO, "Input/output error")
CLOSED = ValueError("I/O operation on closed file")


class Leaving(io.StringIO):
    """A stream whose reader takes so many writes; one that ``returns`` misses just the next."""

    def __init__(self, takes: int, error: Exception, returns: bool = False, is_terminal: bool = False) -> None:
        super().__init__()
        self.takes, self.error, self.returns, self.is_terminal = takes, error, returns, is_terminal
        self.refused = 0

    def isatty(self) -> bool:
        return self.is_terminal

    def write(self, text: str) -> int:
        if self.takes == 0 and not (self.returns and self.refused):
            self.refused += 1
            raise self.error
        self.takes -= self.takes > 0
        return super().write(text)


@pytest.mark.parametrize("error", [NOBODY, NO_TERMINAL, CLOSED], ids=["pipe", "terminal", "closed"])
def test_after_one_write_that_fails_nothing_more_is_told(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    stream = Leaving(2, error, returns=True)
    monkeypatch.setattr(sys, "stderr", stream)
    reported = Stderr()
    for word in ("one ", "two ", "three ", "four "):
        assert reported.write(word) == len(word)
        reported.flush()
    assert (stream.getvalue(), stream.refused) == ("one two ", 1)


def test_what_cannot_be_flushed_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:  # closing it flushes what is left, and would raise
        monkeypatch.setattr(sys, "stderr", stream)
        reported = Stderr()
        reported.write("nobody reads this")
        reported.flush()
        assert os.path.samestat(os.fstat(stream.fileno()), Path(os.devnull).stat())
        monkeypatch.undo()


def test_a_process_without_stderr_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    reported = Stderr()
    reported.write("nobody reads this")
    reported.flush()
    assert not reported.isatty()


@pytest.mark.parametrize("takes", [0, 1, 2])
@pytest.mark.parametrize("log_format", ["text", "json", "live"])
def test_a_study_goes_on_where_nobody_follows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_format: str, takes: int
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Leaving(takes, NOBODY, returns=True, is_terminal=log_format == "live")
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr("ablation.console.progress.PLAIN_EVERY_S", 0.0)
    with Ledger(tmp_path / "ledger") as ledger:
        study = Study(toy_plan(), ledger)
        with (
            Progress(
                study, Slots(1, 1.0, 0.0), Resources(log_format="json" if log_format == "json" else "text")
            ) as progress,
            study.followed_by(progress.note),
        ):
            carry_out(study, RunPaths(tmp_path), most_epochs=100)
    assert sum(len(state.epochs) for state in study.records.values()) == 100
    assert (stream.takes, stream.refused) == (0, 1)
    # Nothing came after the write that failed: a screen of the live table is one write, as is a line.
    assert stream.getvalue().count("\n") <= takes * (1 if log_format != "live" else 20)
    assert sys.stderr is stream


@pytest.mark.parametrize("takes", [0, 1, 3, 5])
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_run_ends_as_it_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_format: str, takes: int
) -> None:
    put_in_place(monkeypatch)
    asked = Request(SPACE, arms=("baseline",), replicates=2, trials=2)
    resources = Resources.model_validate({"log_format": log_format})
    checked = plan_run(asked, "toy", tmp_path, resources, resume=False)
    stream = Leaving(takes, NO_TERMINAL)
    monkeypatch.setattr(sys, "stderr", stream)
    assert run_prepared(checked, report=False) == 0
    assert stream.refused
    summary = json.loads(checked.paths.summary.read_bytes())
    assert summary["planned"] == summary["completed"] + summary["stopped"] == 12


def broken_pipe() -> int:
    read, write = os.pipe()
    os.close(read)
    return write


def closed_terminal() -> int:
    screen, terminal = pty.openpty()
    os.close(screen)
    return terminal


@pytest.mark.parametrize(
    ("unread", "arguments"), [(broken_pipe, ()), (closed_terminal, ("--log-format", "json", "--no-report"))]
)
def test_a_process_that_nobody_reads_ends_with_its_own_exit_code(
    tmp_path: Path, unread: Callable[[], int], arguments: tuple[str, ...]
) -> None:
    command = [
        sys.executable,
        "-m",
        "ablation.run",
        "--executor",
        "in-process",
        "--space",
        "tests.toy_study:SPACE",
        "--name",
        "toy",
    ]
    # What is written to a stream without a buffer is not tried again when the process ends.
    buffered = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    output = unread()
    try:
        done = subprocess.run(
            [*command, "--out", str(tmp_path), *SMALL, *arguments],
            cwd=ROOT, env=buffered, stdout=subprocess.DEVNULL, stderr=output, check=False,
        )  # fmt: skip
    finally:
        os.close(output)
    assert done.returncode == 0
    paths = RunPaths(tmp_path / "toy")
    assert json.loads(paths.summary.read_text())["pending"] == 0
    assert paths.page.exists() == ("--no-report" not in arguments)
