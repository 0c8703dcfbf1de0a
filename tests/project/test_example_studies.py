"""Each study under examples/ runs as it is, leaves its training loop when it is stopped, and goes on after a loss."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest

from ablation import best
from ablation.engine.process_state import ProcessState
from ablation.resources import Resources
from ablation.run import run
from ablation.spaces import find_space
from ablation.trial import EpochRecord, TrialContext, build_config, import_object

EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDS = {"with_pytorch": "sklearn", "with_lightning": "lightning", "with_transformers": "transformers"}
EPOCHS = 3


def test_every_example_is_tested() -> None:
    assert {path.stem for path in EXAMPLES.iterdir() if path.suffix == ".py"} == {*NEEDS, "with_sklearn"}


@pytest.fixture(params=["with_pytorch", "with_lightning", "with_transformers", "with_sklearn"])
def example(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name an example's file; its libraries are there wherever the tests' own lock is installed, as in CI."""
    name = str(request.param)
    if find_spec(NEEDS.get(name, "sklearn")) is None and not os.environ.get("CI"):
        pytest.skip(f"{NEEDS.get(name, 'sklearn')} is not installed; requirements-test.lock has it")
    monkeypatch.setattr(sys, "path", list(sys.path))
    state = ProcessState()
    yield str(EXAMPLES / f"{name}.py")
    sys.modules.pop(name, None)
    state.restore()


def attempt(example: str, folder: Path, epochs: int) -> list[EpochRecord]:
    """Train a confirm trial's first epochs as a worker does, and close it there."""
    space = find_space(example)
    arm = space.arms()[0]
    run_trial = import_object(space.trial)
    context = TrialContext(
        "trial", "confirm", epochs=EPOCHS, seed=2**40, replicate_seed=2**50, checkpoint_dir=folder, device="cpu"
    )
    config = space.configuration(arm, {name: space.domain(name).default for name in arm.searched})
    state = ProcessState()
    state.seed(context.seed)
    folder.mkdir(exist_ok=True)
    records = cast(Any, run_trial(build_config(run_trial, config), context))
    with closing(records):
        found = list(islice(records, epochs))
    state.restore()
    return found


def test_it_runs_and_every_trial_is_accounted_for(example: str, tmp_path: Path) -> None:
    run(
        example, budget="quick", arms="baseline", replicates=2, trials=1, epochs=2, name="tiny", out=tmp_path,
        resources=Resources(executor="in-process"), report=False,
    )  # fmt: skip
    trials = pd.read_parquet(tmp_path / "tiny" / "trials.parquet")
    assert len(trials) == 2 * 2 * (1 + 1) and set(trials["status"]) <= {"completed", "stopped"}
    confirmed = trials[trials["phase"] == "confirm"]
    assert len(confirmed) == 4 and confirmed["metric.test_accuracy"].between(0, 1).all()


def test_a_stopped_trial_leaves_the_loop(example: str, tmp_path: Path) -> None:
    before = threading.active_count()
    assert [record.epoch for record in attempt(example, tmp_path, 1)] == [1]
    assert threading.active_count() == before


def test_an_interrupted_trial_goes_on_as_if_it_had_not_been(example: str, tmp_path: Path) -> None:
    whole = attempt(example, tmp_path / "whole", EPOCHS)
    assert [record.epoch for record in whole] == [1, 2, 3] and "test_accuracy" in whole[-1].metrics
    attempt(example, tmp_path / "cut", 2)
    resumed = attempt(example, tmp_path / "cut", EPOCHS)
    assert [record.metrics for record in resumed] == [record.metrics for record in whole]


def test_a_plain_search_of_an_examples_trial_names_its_best_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.setattr(sys, "path", list(sys.path))
    run(
        str(EXAMPLES / "plain_search.yaml"), budget="quick", trials=4, seeds=2, epochs=2, name="tiny", out=tmp_path,
        resources=Resources(executor="in-process"), report=False,
    )  # fmt: skip
    sys.modules.pop("with_sklearn", None)
    trials = pd.read_parquet(tmp_path / "tiny" / "trials.parquet")
    assert trials.groupby(["arm", "phase"]).size().to_dict() == {("model", "search"): 4, ("model", "confirm"): 2}
    found = best.facts(tmp_path / "tiny")
    top = trials[trials["phase"] == "confirm"].sort_values("metric.val_accuracy").iloc[-1]
    assert found["config"]["alpha"] == top["config.alpha"] and (found["n"], found["unit"]) == (2, "seed")
