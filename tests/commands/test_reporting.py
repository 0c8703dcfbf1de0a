"""Training code that pushes its results is a run_trial like any other."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from pydantic import BaseModel

from ablation.reporting import REPORTED, ReportingContext, TrialStopped
from ablation.trial import EpochRecord, TrialContext, build_config, config_type, reporting


class Config(BaseModel):
    gain: float = 0.5
    start: int = 1


def context(folder: Path, epochs: int = 4) -> TrialContext:
    return TrialContext("trial", "search", epochs=epochs, seed=1, replicate_seed=2, checkpoint_dir=folder)


def train(config: Config, context: ReportingContext) -> None:
    for epoch in range(config.start, context.epochs + 1):
        context.report({"val_score": config.gain * epoch}, epoch=epoch, epoch_s=0.5, images=3)


def test_each_report_is_an_epochs_record(tmp_path: Path) -> None:
    run_trial = reporting(train)
    assert list(run_trial(Config(), context(tmp_path))) == [
        EpochRecord(epoch, 0.5, {"val_score": 0.5 * epoch}, 3) for epoch in range(1, 5)
    ]
    assert config_type(run_trial) is Config
    assert build_config(run_trial, {"gain": 2.0}) == Config(gain=2.0)


def test_training_waits_while_the_study_decides(tmp_path: Path) -> None:
    reached: list[int] = []

    def slow(config: Config, context: ReportingContext) -> None:
        for epoch in range(1, 4):
            reached.append(epoch)
            context.report({"val_score": 0.0})

    records = cast(Any, reporting(slow)(Config(), context(tmp_path)))
    with closing(records):
        assert next(records).epoch == 1
        assert reached == [1]
        assert next(records).epoch == 2
        assert reached == [1, 2]


def test_a_trial_that_is_stopped_unwinds_and_leaves_no_thread(tmp_path: Path) -> None:
    left: list[str] = []

    def careless(config: Config, context: ReportingContext) -> None:
        try:
            while True:
                try:
                    context.report({"val_score": 0.0})
                except Exception:  # what is no error is not caught by this
                    left.append("caught")
        except TrialStopped:
            left.append("stopped")
            raise
        finally:
            left.append("closed its files")

    before = threading.active_count()
    records = cast(Any, reporting(careless)(Config(), context(tmp_path)))
    with closing(records):
        list(islice(records, 2))
    assert left == ["stopped", "closed its files"]
    assert threading.active_count() == before


def test_what_training_raises_is_raised_to_the_study(tmp_path: Path) -> None:
    def broken(config: Config, context: ReportingContext) -> None:
        context.report({"val_score": 0.0})
        raise RuntimeError("no more")

    records = reporting(broken)(Config(), context(tmp_path))
    assert next(records).epoch == 1
    with pytest.raises(RuntimeError, match="no more"):
        next(records)


def test_scalars_of_numpy_and_torch_and_bools_are_numbers(tmp_path: Path) -> None:
    given = {"val_a": np.float32(0.5), "val_b": torch.tensor(0.25), "val_c": np.int64(3), "val_d": True}

    def mixed(config: Config, context: ReportingContext) -> None:
        context.report(given)

    (record,) = reporting(mixed)(Config(), context(tmp_path, epochs=1))
    assert record.metrics == {"val_a": 0.5, "val_b": 0.25, "val_c": 3, "val_d": True}


def test_a_resumed_trial_shows_what_was_reported_before(tmp_path: Path) -> None:
    run_trial = reporting(train)
    first = cast(Any, run_trial(Config(), context(tmp_path)))
    with closing(first):
        before = list(islice(first, 3))
    # It goes on from a checkpoint of epoch 2; what it reported of epoch 3 is another curve's.
    again = list(run_trial(Config(start=3, gain=1.0), context(tmp_path)))
    assert again[:2] == before[:2]
    assert [record.metrics["val_score"] for record in again] == [0.5, 1.0, 3.0, 4.0]
    lines = [json.loads(line) for line in (tmp_path / REPORTED).read_text().splitlines()]
    assert [EpochRecord(**line) for line in lines] == again


def test_a_trial_that_begins_anew_shows_nothing_of_the_last_attempt(tmp_path: Path) -> None:
    run_trial = reporting(train)
    first = cast(Any, run_trial(Config(), context(tmp_path)))
    with closing(first):
        list(islice(first, 3))
    (tmp_path / REPORTED).write_text((tmp_path / REPORTED).read_text() + '{"epoch": 4, "epo')  # torn
    assert [record.epoch for record in run_trial(Config(), context(tmp_path))] == [1, 2, 3, 4]


def test_epochs_count_up_by_themselves(tmp_path: Path) -> None:
    def uncounted(config: Config, context: ReportingContext) -> None:
        for _ in range(context.epochs):
            context.report({"val_score": 0.0})

    records: Iterator[EpochRecord] = reporting(uncounted)(Config(), context(tmp_path))
    assert [record.epoch for record in records] == [1, 2, 3, 4]


def test_what_is_no_number_reaches_the_contract_which_refuses_it_by_name(tmp_path: Path) -> None:
    def broken(config: Config, context: ReportingContext) -> None:
        context.report({"val_score": np.zeros(2)})

    records = cast(Any, reporting(broken)(Config(), context(tmp_path)))
    with closing(records):
        assert isinstance(next(records).metrics["val_score"], np.ndarray)
