"""Trials on the device: they learn, repeat themselves, resume, and agree with the CPU as far as arithmetic allows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pandas as pd
import pytest
import torch

from ablation.tcl.train import Training, run_trial
from search_spaces.space import Arm
from search_spaces.tcl import SPACE
from tests.gpu.device import DEVICE, needs_cuda, needs_device
from tests.gpu.made_training import config, context, made_dataset, metrics, use_made_dataset

pytestmark = needs_device


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    use_made_dataset(monkeypatch, made_dataset())
    yield


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("arm", SPACE.arms(), ids=lambda arm: arm.name)
def test_every_arm_trains(arm: Arm, precision: str, tmp_path: Path) -> None:
    flat = SPACE.configuration(arm, {name: SPACE.domain(name).default for name in arm.searched})
    settings = config(**{**flat, "train.precision": precision})
    records = list(run_trial(settings, context(tmp_path, epochs=1, phase="confirm")))
    assert all(math.isfinite(records[0].metrics[f"{part}_loss"]) for part in ("train", "val", "test"))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_learns_what_can_be_learned(precision: str, tmp_path: Path) -> None:
    found = metrics(list(run_trial(config(**{"train.precision": precision}), context(tmp_path, epochs=12))))
    assert found[-1]["val_accuracy"] > 0.6
    assert found[-1]["train_loss"] < found[0]["train_loss"]


@needs_cuda
def test_precision_auto_is_bfloat16_where_the_hardware_has_it(tmp_path: Path) -> None:
    training = Training(config(), context(tmp_path), made_dataset())
    assert training.autocast._enabled == torch.cuda.is_bf16_supported(including_emulation=False)


def test_first_steps_in_float32_are_those_of_the_cpu(tmp_path: Path) -> None:
    dataset, settings = made_dataset(), config(**{"train.precision": "float32"})
    losses = []
    for device in ("cpu", DEVICE):
        training = Training(settings, context(tmp_path, device=device), dataset)
        # The same pictures for both: generators of different devices draw differently.
        images_BCHW = torch.randn(16, 3, 24, 24, generator=torch.Generator().manual_seed(9)).to(device)
        labels_B = (torch.arange(16) % 7).to(device)
        losses.append([training._step(images_BCHW, labels_B, lr=0.01)["train_loss"].item() for _ in range(3)])
    assert losses[1] == pytest.approx(losses[0], rel=5e-3)


def test_weights_and_pictures_lie_in_channels_last(tmp_path: Path) -> None:
    training = Training(config(**{"model.backbone": "resnet18"}), context(tmp_path), made_dataset())
    kernels = [parameter for parameter in training.network.parameters() if parameter.ndim == 4]
    assert kernels and all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    assert {parameter.device.type for parameter in training.network.parameters()} == {DEVICE}


@pytest.mark.parametrize("backbone", ["small", "resnet18"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("negatives", ["none", "semi-synthesized", "fully-synthesized"])
def test_two_trials_of_one_seed_agree_bit_for_bit(
    negatives: str, precision: str, backbone: str, tmp_path: Path
) -> None:
    settings = config(
        **{
            "loss.negatives": negatives,
            "model.attention": "pixel",
            "model.backbone": backbone,
            "train.precision": precision,
        }
    )
    once, again = (metrics(list(run_trial(settings, context(tmp_path / name)))) for name in "ab")
    pd.testing.assert_frame_equal(pd.DataFrame(once), pd.DataFrame(again), check_exact=True)


@pytest.mark.parametrize("negatives", ["none", "semi-synthesized"])
def test_a_resumed_trial_repeats_the_uninterrupted_one(negatives: str, tmp_path: Path) -> None:
    settings = config(**{"loss.negatives": negatives, "model.attention": "pixel"})
    whole = metrics(list(run_trial(settings, context(tmp_path / "whole"))))
    place = context(tmp_path / "halves", checkpoint_epochs=(1,))
    list(islice(run_trial(settings, place), 1))
    list(run_trial(config(**{"loss.margin": 1.0}), context(tmp_path / "other")))
    resumed = metrics(list(run_trial(settings, place)))
    pd.testing.assert_frame_equal(pd.DataFrame(resumed), pd.DataFrame(whole), check_exact=True)


def test_centers_start_at_class_means_and_classes_can_be_weighted(tmp_path: Path) -> None:
    settings = config(
        **{"loss.center_init": "class-means", "loss.class_weighted": True, "data.sampling": "class-balanced"}
    )
    assert len(list(run_trial(settings, context(tmp_path)))) == 3


def test_a_checkpoint_of_the_device_is_read_on_the_cpu(tmp_path: Path) -> None:
    settings = config(**{"train.precision": "float32"})
    place = context(tmp_path, checkpoint_epochs=(2,))
    first = metrics(list(islice(run_trial(settings, place), 2)))
    resumed = metrics(list(run_trial(settings, context(tmp_path, device="cpu"))))
    assert len(resumed) == 3
    pd.testing.assert_frame_equal(pd.DataFrame(resumed[:2]), pd.DataFrame(first), check_exact=True)
