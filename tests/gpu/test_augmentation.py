"""Batches on the device: whole epochs, the same for one seed, and the pictures that indexing on the CPU gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ablation.tcl.data.batches import Augmentation, Batches, Sampling, augment, normalise
from tests.gpu.device import DEVICE, needs_device

pytestmark = needs_device
FULL = Augmentation(crop_px=3, flip=True, rotate_degrees=20, scale_share=0.2, erase_probability=0.5)


def batches(augmentation: Augmentation, sampling: Sampling = "shuffled", seed: int = 1) -> Batches:
    images = np.random.default_rng(7).integers(0, 256, (50, 12, 12, 3), dtype=np.uint8)
    return Batches(
        images,
        np.arange(50) % 7,
        batch_size=8,
        seed=seed,
        augmentation=augmentation,
        sampling=sampling,
        device=DEVICE,
    )


def test_pictures_normalised_there_are_those_normalised_here() -> None:
    made = batches(Augmentation())
    torch.testing.assert_close(normalise(made.images_NHWC).cpu(), normalise(made.images_NHWC.cpu()))


@pytest.mark.parametrize("sampling", ["shuffled", "class-balanced"])
def test_an_epoch_depends_on_seed_and_number_alone(sampling: Sampling) -> None:
    drawn = [list(batches(FULL, sampling, seed).epoch(epoch)) for seed, epoch in ((1, 2), (1, 2), (1, 3), (2, 2))]
    same = [
        all(torch.equal(a, b) for a, b in zip(pictures, others, strict=True))
        for pictures, others in zip(drawn[0], drawn[1], strict=True)
    ]
    assert all(same)
    for other in drawn[2:]:
        assert not torch.equal(drawn[0][0][0], other[0][0])


def test_an_epoch_holds_every_picture_once_in_channels_last() -> None:
    made = batches(Augmentation())
    pictures = torch.cat([images_BCHW for images_BCHW, _ in made.epoch(1)]).cpu()
    expected = normalise(made.images_NHWC.cpu())
    assert sorted(pictures.sum((1, 2, 3)).tolist()) == pytest.approx(sorted(expected.sum((1, 2, 3)).tolist()))
    assert all(images.is_contiguous(memory_format=torch.channels_last) for images, _ in made.epoch(1))


def test_shifted_and_flipped_pictures_are_windows_of_the_picture_with_its_border_repeated() -> None:
    made = batches(Augmentation())
    generator = torch.Generator(DEVICE).manual_seed(3)
    chosen_B = torch.arange(50, device=DEVICE)
    varied = augment(made.images_NHWC, chosen_B, Augmentation(crop_px=2, flip=True), generator).cpu()
    padded = torch.nn.functional.pad(normalise(made.images_NHWC.cpu()), (2, 2, 2, 2), mode="replicate")
    flips = set()
    for index, picture in enumerate(varied):
        whole = padded[index]
        windows = {
            (flipped, y, x): turned[:, y : y + 12, x : x + 12]
            for flipped, turned in ((False, whole), (True, whole.flip(2)))
            for y in range(5)
            for x in range(5)
        }
        found = [place for place, window in windows.items() if torch.allclose(window, picture, atol=1e-6)]
        assert found
        flips.add(found[0][0])
    assert flips == {False, True}


def test_every_kind_of_augmentation_keeps_the_range() -> None:
    for images_BCHW, _ in batches(FULL).epoch(1):
        assert images_BCHW.isfinite().all() and images_BCHW.abs().max() <= 2.0 + 1e-5
