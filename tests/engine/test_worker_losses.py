"""What Ray says of lost workers goes to the run's file; all else that it says is printed as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ray._private import worker as ray_worker

from ablation.engine.worker_losses import worker_losses_in

RAY: Any = ray_worker


def say(text: str, pid: str = "raylet") -> None:
    RAY.print_to_stdstream({"lines": [text], "pid": pid, "is_err": False}, ignore_prefix=False)


def test_paragraphs_on_lost_workers_and_nodes_are_kept_and_not_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "ray.txt"
    with worker_losses_in(kept):
        say("A worker died or was killed while executing a task: one")
        say("A worker died or was killed while executing a task: two")
        say("The node with node id: three has been marked dead because the detector has missed too many heartbeats")
        say("Raylet is terminated. Termination is unexpected. four")
        say("No node has 7 CPUs")
        say("a trial writes: A worker died or was killed", pid="42")
    say("A worker died or was killed, afterwards")
    printed = capsys.readouterr().out
    lost, others = ("one", "two", "three", "four"), ("7 CPUs", "a trial", "afterwards")
    assert [kept.read_text().count(word) for word in (*lost, *others)] == [1, 1, 1, 1, 0, 0, 0]
    assert [printed.count(word) for word in (*lost, *others)] == [0, 0, 0, 0, 1, 1, 1]


def test_a_file_that_cannot_be_written_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with worker_losses_in(tmp_path / "missing" / "ray.txt"):
        say("A worker died or was killed")
        say("still listening")
    assert "still listening" in capsys.readouterr().out
