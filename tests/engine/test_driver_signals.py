"""Signals that come while Ray starts and shuts down end a sweep in order, with everything accounted for."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray._private import utils as ray_process

from ablation import study_file
from ablation.engine import driver, on_ray
from ablation.engine.executor import Sweep
from ablation.ledger.log import OvertakenError
from ablation.paths import RunPaths
from ablation.resources import Resources
from tests.toy_study import toy_plan


class FakeRay:
    """Ray's handling of SIGTERM: it takes the signal when it starts and exits on it, as long as it may."""

    def __init__(self) -> None:
        self.is_shut_down = False
        self.start: Callable[[], object] = lambda: None

    def init(self, **options: Any) -> None:
        ray_process.set_sigterm_handler(lambda number, frame: sys.exit(number))
        self.start()

    def shutdown(self) -> None:
        signal.raise_signal(signal.SIGTERM)
        self.is_shut_down = True


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    ray = FakeRay()
    monkeypatch.setattr("ray.init", ray.init)
    monkeypatch.setattr("ray.shutdown", ray.shutdown)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True, "NodeID": "one", "Resources": {"CPU": 1.0}}])
    return ray


@pytest.mark.parametrize("first", [lambda: signal.raise_signal(signal.SIGTERM), lambda: None], ids=["second", "only"])
def test_a_signal_while_ray_shuts_down_ends_the_sweep_in_order(
    tmp_path: Path, ray: FakeRay, monkeypatch: pytest.MonkeyPatch, first: Callable[[], None]
) -> None:
    monkeypatch.setattr(on_ray.OnRay, "run", lambda *arguments: first())
    swept_in_order(tmp_path, ray)


def test_a_signal_while_ray_starts_ends_the_sweep_in_order(
    tmp_path: Path, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray.OnRay, "run", lambda *arguments: None)
    ray.start = lambda: signal.raise_signal(signal.SIGTERM)
    swept_in_order(tmp_path, ray)


def test_a_driver_that_takes_over_while_ray_shuts_down_has_the_run(
    tmp_path: Path, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(executor: on_ray.OnRay, sweep: Sweep) -> None:
        def overtaken() -> None:
            ray.is_shut_down = True
            sweep.stop.ledger._failure = OvertakenError("session 2 goes on")

        monkeypatch.setattr("ray.shutdown", overtaken)

    monkeypatch.setattr(on_ray.OnRay, "run", run)
    paths = RunPaths(tmp_path / "toy")
    study_file.write(study_file.describe("toy", toy_plan(), "quick", None, []), paths)
    with pytest.raises(OvertakenError, match="session 2 goes on"):
        driver.sweep(study_file.read(paths), paths, Resources())
    assert ray.is_shut_down


def swept_in_order(tmp_path: Path, ray: FakeRay) -> None:
    paths = RunPaths(tmp_path / "toy")
    study_file.write(study_file.describe("toy", toy_plan(), "quick", None, []), paths)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        assert driver.sweep(study_file.read(paths), paths, Resources()) == "interrupted"
        assert {number: signal.getsignal(number) for number in before} == before
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert ray.is_shut_down
