"""What a trial raises is its own failure, at once; what a signal raises in it is not, nor what ruins the process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from ray import _raylet

from ablation.engine.worker import TrialEnvironment, Worker
from ablation.study.study import Assignment
from ablation.trial import EpochRecord, TrialContext
from ablation.user_code import UserCode
from tests.toy_study import toy_plan

RAISED: list[BaseException] = []


class OurOwnError(BaseException):
    """An exception that ``except Exception`` lets through."""


class OutOfMemoryError(RuntimeError):
    """Stand in for torch's, which says that a GPU has no memory left."""


def run_trial(config: dict[str, Any], context: TrialContext) -> Iterator[EpochRecord]:
    """Raise what the test has put there."""
    raise RAISED[0]
    yield


def run_trial_that_cannot_close(config: dict[str, Any], context: TrialContext) -> Iterator[EpochRecord]:
    """Train, and raise while being closed what the test has put there."""
    try:
        yield EpochRecord(1, 0.1, {"val_score": 0.5}, 1)
    finally:
        raise RAISED[0]


def killed_run_trial(config: dict[str, Any], context: TrialContext) -> Iterator[EpochRecord]:
    """Get SIGTERM in mid-epoch."""
    os.kill(os.getpid(), signal.SIGTERM)
    yield EpochRecord(1, 0.1, {"val_score": 0.5}, 1)


def started(run_dir: Path, name: str = "run_trial") -> Worker:
    environment = TrialEnvironment(
        run_dir=run_dir, run_trial=f"{__name__}:{name}", data=None, data_fingerprint=None, device="cpu",
        cpu_threads=1, checkpoint_epochs=(), user_code=UserCode.here(), watchdog_s=600.0,
    )  # fmt: skip
    worker = Worker()
    worker.start(Assignment(next(toy_plan().trials()), {}), environment)
    return worker


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    RAISED.clear()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError("3 GiB"), "MemoryError: 3 GiB"),
        (SystemExit("no licence"), "SystemExit: no licence"),
        (OurOwnError("odd"), "OurOwnError: odd"),
        (asyncio.CancelledError("late"), "CancelledError: late"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_trial_raises_fails_it_at_once_and_the_worker_takes_the_next(
    error: BaseException, reason: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    RAISED.append(error)
    worker = started(tmp_path)
    assert worker.step().failure == reason
    assert "in run_trial\n    raise RAISED[0]" in capfd.readouterr().err
    worker.close(is_over=True)
    other = started(tmp_path, "run_trial_that_cannot_close")
    assert other.step().record is not None
    other.close(is_over=True)
    assert type(error).__name__ in capfd.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OutOfMemoryError("CUDA out of memory")], ids=repr)
def test_a_signal_and_a_full_gpu_are_left_to_a_new_process(error: BaseException, tmp_path: Path) -> None:
    RAISED.append(error)
    with pytest.raises(type(error)):
        started(tmp_path).step()


def test_a_worker_that_gets_sigterm_is_lost_and_its_trial_has_not_failed(tmp_path: Path) -> None:
    ray: Any = _raylet

    def as_ray_does(number: int, frame: FrameType | None) -> None:
        ray.raise_sys_exit_with_custom_error_message("The process receives a SIGTERM.", exit_code=1)

    before = signal.signal(signal.SIGTERM, as_ray_does)
    try:
        with pytest.raises(SystemExit, match="1"):
            started(tmp_path, "killed_run_trial").step()
    finally:
        signal.signal(signal.SIGTERM, before)
