"""Start drivers and clusters, find their processes, and kill them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.ledger.log import read_events
from ablation.paths import RunPaths
from ablation.store import as_typed, files_below

ROOT = Path(__file__).parents[2]
MARK = "ABLATION_CHAOS_MARK"
# For the clusters made here: once a machine has a token, Ray's heads demand one.
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex}
POLL_S = 0.05


@dataclass
class Driver:
    """``ablation.run`` as a process, and the mark that all processes it starts inherit."""

    process: subprocess.Popen[str]
    mark: str
    log: Path

    def running(self, kind: str = "") -> list[int]:
        """List the living processes that this driver started (itself too) whose command line holds ``kind``."""
        return [pid for pid in marked(self.mark) if kind in command_line(pid)]

    def kill_all(self) -> None:
        """SIGKILL the driver and every process of its Ray, until none is left."""
        while pids := self.running():
            for pid in pids:
                kill(pid)
            time.sleep(POLL_S)
        self.process.wait()

    def kill_alone(self) -> None:
        """SIGKILL the driver process alone."""
        kill(self.process.pid)
        self.process.wait()

    def wait(self, timeout_s: float = 600) -> int:
        """Wait for the driver to end; return its exit code."""
        return self.process.wait(timeout_s)

    @property
    def reported(self) -> str:
        """What the driver printed so far."""
        return self.log.read_text()


def start_driver(
    paths: RunPaths,
    *options: str,
    space: str = "tests.chaos.trial:SPACE",
    program: str = "ablation.run",
    netns: str | None = None,
    beside: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Driver:
    """Start, or go on with, a study in a run directory, by the command line or what stands in for it.

    What it prints goes into a file beside the run, or in the folder ``beside`` if that lies in a store.
    """
    command = ["--space", space, "--no-report"]
    command += ["--out", as_typed(paths.root.parent), "--name", paths.root.name, *options]
    command += ["--resume"] if paths.study.exists() else []
    folder = beside or paths.root.parent
    assert isinstance(folder, Path)
    return start(program, command, folder / f"{paths.root.name}-{uuid.uuid4().hex}.log", netns, environment)


def start(
    program: str,
    arguments: Sequence[str],
    log: Path,
    netns: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Driver:
    """Start a module as a driver, with a mark of its own."""
    mark = uuid.uuid4().hex
    process = spawn([sys.executable, "-m", program, *arguments], log, netns, {**(environment or {}), MARK: mark})
    return Driver(process, mark, log)


def spawn(
    command: Sequence[str],
    log: Path,
    netns: str | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> subprocess.Popen[str]:
    """Start a process of its own session, in this project's root unless reported otherwise, its output in a file."""
    inside = ["ip", "netns", "exec", netns] if netns else []
    settings = {**os.environ, **TOKEN, "OMP_NUM_THREADS": "1", **(environment or {})}
    with log.open("a") as output:
        return subprocess.Popen(
            [*inside, *command],
            cwd=cwd, env=settings, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
            start_new_session=True, text=True, preexec_fn=_hear_hangups,
        )  # fmt: skip


def _hear_hangups() -> None:
    """Take SIGHUP as processes do, though this suite itself may have been started under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def marked(mark: str) -> list[int]:
    """List the living processes with a mark in their environment, which they inherit."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found


def command_line(pid: int) -> str:
    """Return a process's command line; empty if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal; a process that is gone is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until(holds: Callable[[], bool], driver: Driver, timeout_s: float = 400) -> bool:
    """Wait until something holds; False where the driver ended before. Raises TimeoutError with its output."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        if driver.process.poll() is not None:
            return holds()
        if time.monotonic() > deadline:
            raise TimeoutError(driver.reported)
        time.sleep(POLL_S)
    return True


def wait_for_events(paths: RunPaths, count: int, driver: Driver) -> bool:
    """Wait until that many events are on disk; False where the driver ended before."""
    return wait_until(lambda: event_count(paths) >= count, driver)


def event_count(paths: RunPaths) -> int:
    """Count the events that are written by the names of the parts."""
    return max((int(path.name.split("-")[2]) + 1 for path in files_below(paths.ledger, "*.parquet")), default=0)


def epoch_times(paths: RunPaths[Path]) -> Iterator[tuple[int, float]]:
    """Yield (session, time) of every epoch event."""
    yield from ((event.session, event.unix_s) for event in read_events(paths.ledger) if event.kind == "epoch")
