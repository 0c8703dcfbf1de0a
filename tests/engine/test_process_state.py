"""A warm worker's next trial finds the process as the first one did, and its own log alone."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ablation.engine.process_state import ProcessState
from ablation.engine.trainable import TrialActor
from ablation.engine.worker import TrialEnvironment
from ablation.paths import RunPaths
from ablation.plan import PlannedTrial
from ablation.study.study import Assignment
from ablation.trial import EpochRecord, TrialContext
from ablation.user_code import UserCode
from tests.toy_study import toy_plan

KEPT: list[Any] = []


def run_trial(config: dict[str, Any], context: TrialContext) -> Iterator[EpochRecord]:
    """Say everything in every way, with what earlier epochs and trials kept; write where trials may."""
    name = context.trial_id
    logging.basicConfig(level=logging.INFO)
    KEPT.append(sys.stdout)
    for epoch in range(1, context.epochs + 1):
        for stream in KEPT:
            print(f"{name} kept", file=stream)
        logging.getLogger("a model").warning("%s logs", name)
        os.write(1, f"{name} writes\n".encode())
        subprocess.run(["echo", name, "echoes"], check=True)
        (context.checkpoint_dir / "mine").touch()
        if context.artifact_dir is not None:
            (context.artifact_dir / "mine").touch()
        torch.set_default_dtype(torch.float64)
        yield EpochRecord(epoch, 0.1, {"val_score": float(torch.zeros(1).element_size())}, 1)


def environment(run_dir: Path) -> TrialEnvironment:
    return TrialEnvironment(
        run_dir=run_dir, run_trial=f"{__name__}:run_trial", data=None, data_fingerprint=None, device="cpu",
        cpu_threads=1, checkpoint_epochs=(), user_code=UserCode.here(), watchdog_s=600.0,
    )  # fmt: skip


def test_each_trial_has_one_log_for_its_life_and_no_stream_is_closed_under_anybody(tmp_path: Path) -> None:
    planned = list(toy_plan().trials())
    trials: list[PlannedTrial] = [planned[0], next(trial for trial in planned if trial.phase == "confirm")]
    actor = TrialActor({"environment": environment(tmp_path)})
    for trial in trials:
        actor.take(Assignment(trial, {}))
        for _ in range(2):
            report = actor.step()["report"]
            assert report is not None and report.record is not None, report
            assert report.record.metrics["val_score"] in (4.0, 8.0)
    actor.cleanup()
    for number, trial in enumerate(trials):
        lines = RunPaths(tmp_path).log(trial.trial_id).read_text().splitlines()
        assert lines.count(f"{trial.trial_id} kept") == 2 * (number + 1)
        for way in ("writes", "echoes"):
            assert lines.count(f"{trial.trial_id} {way}") == 2
        assert all(trial.trial_id in line for line in lines)


def test_what_a_trial_sets_is_undone_before_the_next(tmp_path: Path) -> None:
    state, before = ProcessState(), (Path.cwd(), dict(os.environ), list(sys.path), random.getstate())
    torch_before = torch.get_rng_state()
    handlers = list(logging.getLogger().handlers)
    threads = torch.get_num_threads()
    os.chdir(tmp_path)
    os.environ["A_TRIAL"] = "was here"
    sys.path.insert(0, "somewhere")
    random.random()
    np.seterr(divide="raise")
    logging.getLogger().addHandler(logging.NullHandler())
    torch.manual_seed(7)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(threads + 1)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = True
    torch.set_default_device("meta")
    torch.set_autocast_enabled("cpu", True)
    torch.set_autocast_dtype("cpu", torch.float16)
    torch.set_autocast_cache_enabled(False)
    np.set_printoptions(precision=2)
    state.restore()
    assert (Path.cwd(), dict(os.environ), list(sys.path), random.getstate()) == before
    assert np.geterr()["divide"] == "warn"
    assert logging.getLogger().handlers == handlers
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert (torch.get_default_dtype(), torch.get_num_threads()) == (torch.float32, threads)
    assert torch.zeros(1).device == torch.device("cpu")
    assert (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")) == (False, torch.bfloat16)
    assert torch.is_autocast_cache_enabled() and np.get_printoptions()["precision"] == 8
    assert not torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark


def test_restoring_imports_no_compiler() -> None:
    script = (
        "import sys, torch\n"
        "from ablation.engine.process_state import ProcessState\n"
        "state = ProcessState()\n"
        "state.restore()\n"
        "torch.set_deterministic_debug_mode('error')\n"
        "state.restore()\n"
        "assert torch.get_deterministic_debug_mode() == 0\n"
        "print(any(name.startswith('torch._inductor') for name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stdout + done.stderr


def test_loggers_are_put_back_and_new_ones_are_as_new() -> None:
    known, kept = logging.getLogger(f"{__name__}.known"), logging.NullHandler()
    known.setLevel(logging.ERROR)
    known.addHandler(kept)
    state = ProcessState()
    known.setLevel(logging.DEBUG)
    known.addHandler(logging.NullHandler())
    known.propagate = False
    made = logging.getLogger(f"{__name__}.made")
    made.setLevel(logging.CRITICAL)
    made.addHandler(logging.NullHandler())
    logging.disable(logging.CRITICAL)
    state.restore()
    assert (known.level, known.handlers, known.propagate) == (logging.ERROR, [kept], True)
    assert (made.level, made.handlers, made.isEnabledFor(logging.WARNING)) == (logging.NOTSET, [], True)
    known.handlers.clear()


def drawn() -> list[float]:
    legacy = float(np.random.rand())  # noqa: NPY002  # what a user's trial may draw from
    return [random.random(), legacy, float(torch.rand(()))]


def test_global_generators_begin_as_the_trials_seed_says_whatever_ran_before() -> None:
    state, untouched = ProcessState(), (random.getstate(), torch.get_rng_state())
    state.seed(7)
    first = drawn()
    state.restore()
    state.seed(8)
    other = drawn()
    state.restore()
    assert (random.getstate(), torch.equal(torch.get_rng_state(), untouched[1])) == (untouched[0], True)
    state.seed(7)
    assert drawn() == first
    assert all(here != there for here, there in zip(first, other, strict=True))
    # What a trial draws from generators of its own, made from the same seed, is something else.
    assert first[2] != float(torch.rand((), generator=torch.Generator().manual_seed(7)))
    state.restore()


LATE = """
import importlib.util, sys
from ablation.engine.process_state import ProcessState
assert "torch" not in sys.modules and "numpy" not in sys.modules
state = ProcessState()
state.seed(7)
assert importlib.util.find_spec("torch") and importlib.util.find_spec("numpy")  # as libraries do that can use both
import numpy
import torch
first = [float(numpy.random.rand()), float(torch.rand(()))]
torch.set_default_dtype(torch.float64)
state.restore()
assert torch.get_default_dtype() == torch.float32
state.seed(7)
assert [float(numpy.random.rand()), float(torch.rand(()))] == first
state.restore()
assert not any("WhenImported" in type(finder).__name__ for finder in sys.meta_path)
"""


def test_libraries_that_a_trial_imports_first_are_seeded_and_put_back_too() -> None:
    subprocess.run([sys.executable, "-c", LATE], check=True, cwd=Path(__file__).parents[2])
