"""Checkpoints: what was written comes back, the newest whole one of this very trial, and only so many are kept."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from ablation.checkpoint import Checkpoint, identity, load, newest, newest_path, save, with_prefix, without_prefix
from ablation.trial import EpochRecord


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
