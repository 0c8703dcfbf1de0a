"""Batches: stratified splits, per-picture augmentation, and epochs that depend on seed and number alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ablation.faults import FaultsError
from ablation.tcl.config import Data
from ablation.tcl.data.batches import Augmentation, Batches, Sampling, normalise, split_validation

SIZE = 12


def pictures(count: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def reference(images_NHWC: np.ndarray) -> np.ndarray:
    """Normalise in float64, the textbook way."""
    return ((images_NHWC.astype(np.float64) / 255 - 0.5) / 0.25).transpose(0, 3, 1, 2)


def batches(
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    augmentation: Augmentation = Augmentation(),  # noqa: B008
    batch_size: int = 8,
    seed: int = 1,
    sampling: Sampling = "shuffled",
) -> Batches:
    labels = np.arange(len(images)) if labels is None else labels
    return Batches(
        images, labels, batch_size=batch_size, seed=seed, augmentation=augmentation, sampling=sampling, device="cpu"
    )


@given(
    labels=st.lists(st.integers(0, 6), max_size=120),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=80, deadline=None)
def test_the_validation_split_is_a_stratified_sorted_partition(labels: list[int], share: float, seed: int) -> None:
    labels_N = np.array(labels, dtype=np.int64)
    train, validation = split_validation(labels_N, share, seed)
    assert sorted([*train, *validation]) == list(range(len(labels)))
    assert list(train) == sorted(train)
    assert list(validation) == sorted(validation)
    for label, count in Counter(labels).items():
        held = int((labels_N[validation] == label).sum())
        if count == 1:
            assert held == 0
        else:
            assert 1 <= held <= count - 1
            assert abs(held - share * count) <= 1
    again = split_validation(labels_N, share, seed)
    np.testing.assert_array_equal(validation, again[1])


def test_another_seed_splits_otherwise() -> None:
    labels_N = np.zeros(200, np.int64)
    assert not np.array_equal(split_validation(labels_N, 0.2, 1)[1], split_validation(labels_N, 0.2, 2)[1])


def test_augmentation_off_gives_exactly_the_normalised_pictures() -> None:
    images = pictures(20)
    for images_BCHW, labels_B in batches(images).epoch(0):
        np.testing.assert_allclose(images_BCHW.numpy(), reference(images[labels_B.numpy()]), atol=1e-5)
        assert images_BCHW.dtype == torch.float32
        assert labels_B.dtype == torch.int64
        assert images_BCHW.is_contiguous(memory_format=torch.channels_last)


def test_unaugmented_batches_are_the_normalised_pictures_to_the_bit() -> None:
    images = pictures(8)
    trained, order = next(batches(images).epoch(0))
    assert torch.equal(normalise(torch.from_numpy(images))[order], trained)


def test_every_picture_has_a_shift_and_flip_of_its_own() -> None:
    crop = 3
    image = pictures(1)[0]
    padded = np.pad(image, ((crop, crop), (crop, crop), (0, 0)), mode="edge")
    windows = {}
    for dy in range(2 * crop + 1):
        for dx in range(2 * crop + 1):
            window = padded[dy : dy + SIZE, dx : dx + SIZE]
            windows[window.tobytes()] = (dy, dx, False)
            # Flipped first, then shifted: the mirrored window of the mirrored shift.
            windows[window[:, ::-1].tobytes()] = (dy, dx, True)
    images_BCHW, _ = next(
        batches(np.repeat(image[None], 400, axis=0), batch_size=400, augmentation=Augmentation(crop, True)).epoch(0)
    )
    restored = ((images_BCHW.permute(0, 2, 3, 1).numpy() * 0.25 + 0.5) * 255).round().astype(np.uint8)
    seen = Counter(windows[picture.tobytes()] for picture in restored)
    assert len(seen) > 80
    assert {dy for dy, _, _ in seen} == {dx for _, dx, _ in seen} == set(range(2 * crop + 1))
    assert 150 < sum(count for (_, _, flipped), count in seen.items() if flipped) < 250


def test_a_shift_beyond_the_picture_repeats_its_border() -> None:
    images = np.arange(4, dtype=np.uint8)[None, :, None, None].repeat(3, 0).repeat(4, 2).repeat(3, 3)
    for images_BCHW, _ in batches(images, augmentation=Augmentation(crop_px=64)).epoch(0):
        assert images_BCHW.min() >= -2
        assert images_BCHW.max() <= reference(images).max() + 1e-5


def test_turning_and_scaling_keep_the_middle_and_the_border_and_differ_by_picture() -> None:
    image = np.zeros((1, 13, 13, 3), np.uint8)
    image[0, 5:8, 5:8] = 255
    turned = batches(image.repeat(30, 0), batch_size=30, augmentation=Augmentation(rotate_degrees=180, scale_share=0.1))
    images_BCHW, _ = next(turned.epoch(0))
    np.testing.assert_allclose(images_BCHW[:, :, 6, 6], 2, atol=1e-4)
    np.testing.assert_allclose(images_BCHW[:, :, 0, 0], -2, atol=1e-4)
    assert len({picture.numpy().tobytes() for picture in images_BCHW}) == 30
    assert images_BCHW.is_contiguous(memory_format=torch.channels_last)


def test_erasing_takes_one_rectangle_from_the_chosen_share() -> None:
    images = np.full((600, SIZE, SIZE, 3), 255, np.uint8)
    images_BCHW, _ = next(batches(images, batch_size=600, augmentation=Augmentation(erase_probability=0.3)).epoch(0))
    erased_BHW = (images_BCHW == 0).all(dim=1)
    touched = [mask.numpy() for mask in erased_BHW if mask.any()]
    assert 130 < len(touched) < 230
    for mask in touched:
        rows, columns = mask.any(axis=1), mask.any(axis=0)
        np.testing.assert_array_equal(mask, rows[:, None] & columns[None, :])
        assert np.abs(np.diff(rows.astype(int))).sum() <= 2
        assert mask.mean() < 0.4
    assert len({mask.tobytes() for mask in touched}) > 50


ALL_ON = Augmentation(crop_px=2, flip=True, rotate_degrees=10, scale_share=0.1, erase_probability=0.5)


@pytest.mark.parametrize("sampling", ["shuffled", "class-balanced"])
def test_an_epoch_is_a_pure_function_of_seed_and_number(sampling: Sampling) -> None:
    images = pictures(40)
    used, fresh = (batches(images, augmentation=ALL_ON, sampling=sampling) for _ in range(2))
    for _ in used.epoch(0):
        pass
    resumed = list(fresh.epoch(3))
    torch.rand(5)
    for (left, left_labels), (right, right_labels) in zip(used.epoch(3), resumed, strict=True):
        assert torch.equal(left, right)
        assert torch.equal(left_labels, right_labels)


def test_epochs_and_seeds_differ_and_neighbours_share_no_stream() -> None:
    images = pictures(40)

    def order(seed: int, epoch: int) -> list[int]:
        return torch.cat([labels_B for _, labels_B in batches(images, seed=seed).epoch(epoch)]).tolist()

    orders = [tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == 9
    assert all(sorted(each) == list(range(40)) for each in orders)


def test_augmentation_leaves_torchs_global_generator_alone() -> None:
    state = torch.get_rng_state()
    for _ in batches(pictures(10), augmentation=ALL_ON).epoch(0):
        pass
    assert torch.equal(state, torch.get_rng_state())


def test_class_balanced_epochs_draw_rare_classes_as_often_and_keep_their_length() -> None:
    labels = np.array([0] * 900 + [1] * 90 + [2] * 10)
    drawn = torch.cat(
        [each for _, each in batches(pictures(1000, 4), labels, sampling="class-balanced", batch_size=64).epoch(0)]
    )
    assert len(drawn) == 1000
    # Six standard errors of a share of one third in a thousand draws.
    np.testing.assert_allclose(torch.bincount(drawn) / 1000, 1 / 3, atol=0.09)


@pytest.mark.parametrize(("count", "sizes"), [(16, [8, 8]), (17, [8, 8]), (18, [8, 8, 2]), (5, [5]), (9, [8])])
def test_only_a_last_batch_of_one_is_left_out(count: int, sizes: list[int]) -> None:
    training = batches(pictures(count, 4))
    assert [len(labels_B) for _, labels_B in training.epoch(0)] == sizes
    assert len(training) == len(sizes)


def test_a_training_set_of_one_picture_is_refused() -> None:
    with pytest.raises(FaultsError, match="has 1 pictures, but must have at least 2"):
        batches(pictures(1))


def test_augmentation_comes_from_the_data_config() -> None:
    data = Data(crop_px=3, flip=False, rotate_degrees=9, scale_share=0.2, erase_probability=0.1)
    assert Augmentation.of(data) == Augmentation(3, False, 9, 0.2, 0.1)
