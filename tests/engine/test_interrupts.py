"""Requests to stop that come early: one line and 130, and no traceback of whatever was being imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ablation.interrupts import as_keyboard_interrupts, quit_when_interrupted

ROOT = Path(__file__).parents[2]
PLAN = ("--space", "tests.toy_study:SPACE", "--plan")


def interrupted_in_imports(
    folder: Path, *arguments: str, command: tuple[str, ...] = ("ablation.run",)
) -> subprocess.CompletedProcess[str]:
    """Plan a study where the import of pydantic gets SIGINT, as from Ctrl-C, and swallows KeyboardInterrupt."""
    (folder / "pydantic.py").write_text(
        "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\n    signal.pause()\n"
        "except BaseException:\n    raise ImportError('swallowed') from None\n"
    )
    return subprocess.run(
        [sys.executable, "-m", *command, *PLAN, *arguments],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False,
        # What a shell starts in the background ignores SIGINT, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


@pytest.mark.parametrize("command", [("ablation.run",), ("ablation.cli", "run")], ids=" ".join)
def test_an_interrupt_while_the_command_is_being_imported_is_one_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = interrupted_in_imports(tmp_path, command=command)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted before anything was started\n")


@pytest.mark.parametrize("option", [("--log-format", "json"), ("--log-format=json",)], ids=" ".join)
def test_programs_get_it_as_json(tmp_path: Path, option: tuple[str, ...]) -> None:
    done = interrupted_in_imports(tmp_path, *option)
    assert done.returncode == 130
    assert json.loads(done.stderr) == {"kind": "fault", "fault": "interrupted before anything was started"}


def test_afterwards_an_interrupt_is_the_exception_again_and_stays_it() -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        quit_when_interrupted()
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        with as_keyboard_interrupts(), pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        quit_when_interrupted()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
