"""A warm actor that ran other trials before: a trial in it is what it is in a fresh one, also one gone on with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch

from ablation.engine import trainable
from ablation.engine.trainable import TrialActor
from ablation.engine.worker import TrialEnvironment
from ablation.plan import PlannedTrial
from ablation.study.study import Assignment
from ablation.user_code import UserCode
from search_spaces.tcl import SPACE

EPOCHS = 3
TINY: dict[str, Any] = {
    "model.width": 4,
    "data.size_px": 16,
    "model.attention": "pixel",
    "loss.negatives": "semi-synthesized",
}
# A checkpoint after every epoch.
EVERY = {"train.checkpoint_every_s": 1e-9}


@pytest.fixture(scope="module", autouse=True)
def small_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ABLATION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def environment(run_dir: Path) -> TrialEnvironment:
    return TrialEnvironment(
        run_dir=run_dir,
        run_trial=SPACE.trial,
        data="synthetic",
        data_fingerprint=None,
        device="cpu",
        cpu_threads=1,
        checkpoint_epochs=(),
        user_code=UserCode.here(),
        watchdog_s=600.0,
    )


def assignment(index: int = 0, **settings: Any) -> Assignment:
    trial = PlannedTrial(
        trial_id=f"reference/0/search/{index}",
        arm="reference",
        replicate=0,
        phase="search",
        index=index,
        seed=index,
        replicate_seed=7,
        epochs=EPOCHS,
    )
    return Assignment(trial, {**TINY, **EVERY, **settings})


def started(environment: TrialEnvironment, first: Assignment) -> TrialActor:
    """Start an actor as Tune does, and give it a trial when it says that it is ready."""
    actor = TrialActor({"environment": environment})
    assert actor.step() == {"report": None}
    actor.take(first)
    return actor


def train(actor: TrialActor, epochs: int) -> pd.DataFrame:
    """Take steps as Tune does and return the metrics, one row an epoch."""
    rows = []
    for _ in range(epochs):
        report = actor.step()["report"]
        assert report is not None and report.record is not None, report
        rows.append(report.record.metrics)
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def whole(small_cache: None, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return train(started(environment(tmp_path_factory.mktemp("whole")), assignment()), EPOCHS)


@pytest.mark.parametrize("stopped_after", range(EPOCHS + 1))
def test_a_trial_gone_on_with_after_others_repeats_the_uninterrupted_one(
    tmp_path: Path, whole: pd.DataFrame, stopped_after: int
) -> None:
    first = started(environment(tmp_path), assignment())
    train(first, stopped_after)
    first.cleanup()
    # Another process has another global generator.
    torch.manual_seed(stopped_after)
    second = started(environment(tmp_path), assignment(1, **{"model.attention": "element"}))
    train(second, 2)
    second.take(assignment(2, **{"loss.negatives": "center"}))
    train(second, EPOCHS)
    second.take(None)
    assert second.step() == {"report": None}
    second.take(assignment())
    pd.testing.assert_frame_equal(train(second, EPOCHS), whole, check_exact=True)


def test_a_trial_that_fails_is_reported_and_leaves_the_actor_warm(tmp_path: Path, whole: pd.DataFrame) -> None:
    actor = started(environment(tmp_path), assignment(1, **{"model.attention": "none of these"}))
    report = actor.step()["report"]
    assert report is not None and report.failure is not None and "model.attention" in report.failure
    actor.take(assignment())
    pd.testing.assert_frame_equal(train(actor, EPOCHS), whole, check_exact=True)


def test_a_worker_without_a_trial_asks_at_once_and_then_ever_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(trainable, "time", SimpleNamespace(sleep=pauses.append))
    actor = started(environment(tmp_path), assignment(1, **{"model.attention": "none of these"}))
    actor.step()
    actor.take(None)
    assert [actor.step() for _ in range(5)] == [{"report": None}] * 5
    assert pauses == [0.0, *(0.0, 0.2, 0.4, 0.8, 1.0)]  # before its trial, and after it
