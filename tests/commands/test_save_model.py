"""A usual training loop goes on from its checkpoint as if nothing had happened."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ablation import checkpoint
from ablation.engine.process_state import ProcessState
from ablation.reporting import REPORTED, ReportingContext
from ablation.torch_state import GlobalGenerators, flattened, rebuilt
from ablation.trial import EpochRecord, RunTrial, TrialContext, reporting

EPOCHS = 5


class Config(BaseModel):
    lr: float = 0.05


def drawn() -> list[float]:
    """Draw from each of the global generators, as an augmentation might."""
    return [random.random(), float(np.random.random()), torch.rand(1).item()]  # noqa: NPY002


class Tied(nn.Module):
    """Two layers of one weight, and dropout, which draws from torch's global generator."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.drop = nn.Linear(4, 4), nn.Linear(4, 4), nn.Dropout(0.3)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self.second(self.drop(torch.relu(self.first(x)))))


def train(config: Config, context: ReportingContext, before_report: Callable[[int], None] = lambda epoch: None) -> None:
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32))
    loader = DataLoader(TensorDataset(points), batch_size=8, shuffle=True)
    model = Tied()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=context.epochs * len(loader))
    first = checkpoint.load_model(context, model, optimizer, scheduler=scheduler) + 1
    for epoch in range(first, context.epochs + 1):
        total = sum(drawn())
        for (batch,) in loader:
            loss = (model(batch) - batch).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            total += loss.item()
        checkpoint.save_model(context, model, optimizer, epoch, scheduler=scheduler)
        before_report(epoch)
        context.report({"val_loss": total}, epoch=epoch, epoch_s=0.5)


RUN_TRIAL = reporting(train)


def context(folder: Path, seed: int = 1) -> TrialContext:
    return TrialContext("trial", "search", epochs=EPOCHS, seed=seed, replicate_seed=2, checkpoint_dir=folder)


def attempt(folder: Path, epochs: int = EPOCHS, run_trial: RunTrial = RUN_TRIAL, seed: int = 1) -> list[EpochRecord]:
    """Train so many epochs in a process as a worker would find it, and stop as if it were lost then."""
    state = ProcessState()
    state.seed(seed)
    records = cast(Any, run_trial(Config(), context(folder, seed)))
    with closing(records):
        found = list(islice(records, epochs))
    state.restore()
    return found


@pytest.mark.parametrize("trained", [1, 3, EPOCHS])
def test_a_resumed_trial_repeats_an_uninterrupted_one_to_the_bit(trained: int, tmp_path: Path) -> None:
    whole = attempt(tmp_path / "whole")
    assert attempt(tmp_path / "cut", trained) == whole[:trained]
    random.seed(7), torch.manual_seed(7)
    assert attempt(tmp_path / "cut") == whole
    assert len({record.metrics["val_loss"] for record in whole}) == EPOCHS


def test_a_resumed_trial_trains_only_what_is_left(tmp_path: Path) -> None:
    trained: list[int] = []
    attempt(tmp_path, 3)
    attempt(tmp_path, run_trial=reporting(lambda config, context: train(config, context, trained.append)))
    assert trained == [4, 5]


def test_an_epoch_that_was_saved_but_never_reported_is_trained_again(tmp_path: Path) -> None:
    def lost(epoch: int) -> None:
        if epoch == 3:
            raise ConnectionError("the worker is gone")

    whole = attempt(tmp_path / "whole")
    with pytest.raises(ConnectionError):
        attempt(tmp_path / "cut", run_trial=reporting(lambda config, context: train(config, context, lost)))
    assert len((tmp_path / "cut" / REPORTED).read_text().splitlines()) == 2
    assert attempt(tmp_path / "cut") == whole


def test_another_trials_checkpoint_is_not_gone_on_from(tmp_path: Path) -> None:
    attempt(tmp_path / "cut", 3)
    other = attempt(tmp_path / "cut", seed=5)
    assert other == attempt(tmp_path / "other", seed=5)


def test_the_tensors_can_be_loaded_without_the_training_loop(tmp_path: Path) -> None:
    attempt(tmp_path)
    path = checkpoint.newest_path(tmp_path)
    assert path is not None
    found = checkpoint.load(path)
    assert found.epoch == EPOCHS and found.about["config"] == {"lr": 0.05}
    network = Tied()
    network.load_state_dict(checkpoint.without_prefix("model", found.tensors))
    torch.testing.assert_close(network.first.weight, found.tensors["model.second.weight"], rtol=0, atol=0)


def test_a_generators_context_is_refused_with_what_to_use_there(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"TrialContext, but must be what ablation\.trial\.reporting gives.*newest"):
        checkpoint.save_model(cast(Any, context(tmp_path)), nn.Linear(1, 1), None, 1)


def test_what_could_only_be_pickled_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"optimizer\.param_groups\.0\.hook is a function, but a checkpoint holds"):
        flattened("optimizer", {"param_groups": [{"lr": 0.1, "hook": lambda: None}]})


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
STATES = st.recursive(
    SCALARS,
    lambda parts: (
        st.lists(parts) | st.lists(parts).map(tuple) | st.dictionaries(st.integers() | st.text(), parts, max_size=4)
    ),
)


@given(STATES)
def test_any_state_comes_back_from_json(state: object) -> None:
    tensors, form = flattened("part", state)
    assert tensors == {} and rebuilt(json.loads(json.dumps(form)), tensors) == state


def test_global_generators_go_on_from_where_they_stood() -> None:
    before = ProcessState()
    generators = GlobalGenerators()
    tensors, form = flattened("generators", generators.state_dict())
    after = drawn()
    generators.load_state_dict(rebuilt(json.loads(json.dumps(form)), tensors))
    assert drawn() == after
    before.restore()
