"""Of an epoch that hangs a traceback stays; of one that was killed otherwise, or ended, nothing does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ablation.engine.watchdog import remove_empty_traces, trace_of, watched

PROCESS = """
import sys, threading
from pathlib import Path
from ablation.engine.watchdog import watched
with watched(Path(sys.argv[1]), float(sys.argv[2])):
    {how}
"""


def in_a_process(trace: Path, how: str, most_s: float) -> int:
    return subprocess.run(
        [sys.executable, "-c", PROCESS.format(how=how), str(trace), str(most_s)], check=False
    ).returncode


def test_a_hang_ends_its_process_and_leaves_its_traceback(tmp_path: Path) -> None:
    trace = trace_of(tmp_path / "a__0.txt")
    assert in_a_process(trace, "threading.Event().wait()", 0.01) == 1
    assert "Timeout" in trace.read_text() and "in wait" in trace.read_text()
    remove_empty_traces(tmp_path)
    assert trace.is_file()


def test_what_a_kill_leaves_is_removed(tmp_path: Path) -> None:
    log = tmp_path / "a__0.txt"
    log.touch()
    assert in_a_process(trace_of(log), "import os; os.kill(os.getpid(), 9)", 600) == -9
    assert trace_of(log).is_file()
    remove_empty_traces(tmp_path)
    assert list(tmp_path.iterdir()) == [log]


def test_an_epoch_in_time_leaves_nothing_and_a_folder_that_is_not_there_is_none(tmp_path: Path) -> None:
    with watched(tmp_path / "logs" / "a.hang.txt", 600):
        assert (tmp_path / "logs" / "a.hang.txt").is_file()
    assert list((tmp_path / "logs").iterdir()) == []
    remove_empty_traces(tmp_path / "nowhere")
