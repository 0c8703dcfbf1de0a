"""Checkpoints: what was written comes back, the newest whole one of this very trial, and only so many are kept."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from ablation.checkpoint import (
    Cadence,
    Checkpoint,
    identity,
    load,
    newest,
    newest_path,
    save,
    with_prefix,
    without_prefix,
)
from ablation.trial import EpochRecord, TrialContext


def checkpoint(epoch: int, whose: str = "a") -> Checkpoint:
    records = tuple(EpochRecord(n, 0.5, {"val_accuracy": n / 7, "d_neg": math.nan}, 3) for n in range(1, epoch + 1))
    tensors = {"network.weight": torch.arange(6.0).view(2, 3).t() + epoch, "momentum.weight": torch.tensor(epoch)}
    return Checkpoint(epoch, whose, records, tensors, {"class_names": ["x", "y"]})


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    saved = checkpoint(3)
    found = load(save(tmp_path, saved))
    assert (found.epoch, found.identity, found.about) == (3, "a", saved.about)
    assert repr(found.records) == repr(saved.records)
    torch.testing.assert_close(found.tensors, saved.tensors, rtol=0, atol=0)


def test_the_newest_is_found_and_the_one_before_it_kept(tmp_path: Path) -> None:
    for epoch in (1, 9, 10, 11):
        path = save(tmp_path, checkpoint(epoch))
        assert newest_path(tmp_path) == path
    assert sorted(entry.name[:11] for entry in tmp_path.iterdir()) == ["epoch-00010", "epoch-00011"]
    found = newest(tmp_path, "a")
    assert found is not None and found.epoch == 11


def test_another_trials_and_damaged_ones_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = save(tmp_path, checkpoint(1))
    other = save(tmp_path, checkpoint(2, whose="b"))
    found = newest(tmp_path, "a")
    assert found is not None and found.epoch == 1
    assert f"{other.name} belongs to another" in capsys.readouterr().out
    own.write_bytes(own.read_bytes()[:50])
    assert newest(tmp_path, "a") is None
    assert f"{own.name} is damaged" in capsys.readouterr().out
    assert newest(tmp_path / "nothing", "a") is None


def test_a_damaged_checkpoint_pushes_out_no_whole_one(tmp_path: Path) -> None:
    save(tmp_path, checkpoint(12))
    damaged = save(tmp_path, checkpoint(20))
    damaged.write_bytes(damaged.read_bytes()[:50])
    found = newest(tmp_path, "a")
    assert found is not None and found.epoch == 12
    path = save(tmp_path, checkpoint(13))
    assert newest_path(tmp_path) == path
    assert sorted(entry.name[:11] for entry in tmp_path.glob("*.safetensors")) == ["epoch-00012", "epoch-00013"]
    assert damaged.with_suffix(".damaged").exists()


def test_identities_differ_in_every_part() -> None:
    identities = [identity({"lr": 0.1}, 1, 8), identity({"lr": 0.2}, 1, 8), identity({"lr": 0.1}, 2, 8)]
    identities.append(identity({"lr": 0.1}, 1, 9))
    assert len(set(identities)) == 4
    assert identity({"lr": 0.1}, 1, 8) == identities[0]


def test_prefixes_keep_groups_apart() -> None:
    tensors = {"weight": torch.zeros(1), "norm.bias": torch.ones(1)}
    together = with_prefix("network", tensors) | with_prefix("momentum", {"weight": torch.ones(2)})
    assert without_prefix("network", together) == tensors
    assert list(without_prefix("momentum", together)) == ["weight"]


def due_after(epoch_s: list[float], *, every_s: float, checkpoint_epochs: tuple[int, ...] = ()) -> list[int]:
    """Train epochs of given lengths on a clock of the test's own, and list those after which a checkpoint was due."""
    now = 100.0
    context = TrialContext("t", "search", len(epoch_s), 1, 2, Path("unused"), checkpoint_epochs=checkpoint_epochs)
    cadence = Cadence(context, every_s, clock=lambda: now)
    due = []
    for epoch, length_s in enumerate(epoch_s, 1):
        now += length_s
        if cadence.is_due(EpochRecord(epoch, length_s, {})):
            due.append(epoch)
    return due


def test_a_checkpoint_is_due_where_the_search_decides_and_at_the_end() -> None:
    assert due_after([1.0] * 9, every_s=1000, checkpoint_epochs=(1, 3)) == [1, 3, 9]


def test_a_checkpoint_is_due_before_more_than_the_interval_could_be_lost() -> None:
    # After 3 epochs of 10 s a fourth would make 40 s to repeat; the interval begins again with each checkpoint.
    assert due_after([10.0] * 10, every_s=30) == [3, 6, 9, 10]
    assert due_after([10.0] * 10, every_s=30, checkpoint_epochs=(2,)) == [2, 5, 8, 10]
    assert due_after([45.0] * 3, every_s=30) == [1, 2, 3]
