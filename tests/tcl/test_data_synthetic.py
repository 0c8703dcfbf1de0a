"""Synthetic faces: the same everywhere, imbalanced as RAF-DB is, and never two alike."""

from __future__ import annotations

import os
from collections import Counter
from functools import cache
from hashlib import sha256

import numpy as np
import pytest

from ablation.faults import FaultsError
from ablation.tcl.data import synthetic
from ablation.tcl.data.source import SourcePart
from ablation.tcl.data.synthetic import draw_traits, open_synthetic

RAF_DB_TRAIN = np.array([1290, 281, 717, 4772, 1982, 705, 2524])
RAF_DB_TEST = np.array([329, 74, 160, 1185, 478, 162, 680])


def draw(part: SourcePart, size_px: int) -> np.ndarray:
    return np.concatenate(list(part.decode(size_px, Counter())))


@cache
def draw_test(seed: str) -> np.ndarray:
    return draw(open_synthetic(seed).test, 16)


def test_the_same_seed_draws_the_same_bytes_whatever_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    first = draw_test("0")
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    np.testing.assert_array_equal(first, draw(open_synthetic("0").test, 16))


def test_the_pixels_of_generator_version_2_stay_what_they_are() -> None:
    # Whoever changes a pixel raises GENERATOR_VERSION: caches and studies go by the fingerprint.
    pixels = draw_test("0")
    assert (synthetic.GENERATOR_VERSION, sha256(pixels.tobytes()).hexdigest()[:16]) == (2, "c1261c0b93dccdad")


def test_seeds_and_parts_draw_different_faces() -> None:
    zero, one = open_synthetic("0"), open_synthetic("1")
    assert zero.fingerprint != one.fingerprint
    assert not np.array_equal(draw_test("0"), draw_test("1"))
    assert not np.array_equal(zero.test.labels_N, one.test.labels_N)
    faces = draw_test("0").reshape(len(zero.test.labels_N), -1)
    assert len(np.unique(faces, axis=0)) == len(faces)


def test_no_seed_means_seed_zero() -> None:
    assert open_synthetic("").fingerprint == open_synthetic("0").fingerprint


def test_classes_are_as_imbalanced_as_raf_db() -> None:
    source = open_synthetic("")
    assert source.class_names == ("Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral")
    for part, published, divisor in ((source.train, RAF_DB_TRAIN, 20), (source.test, RAF_DB_TEST, 1)):
        np.testing.assert_allclose(np.bincount(part.labels_N, minlength=7), published / divisor, atol=1)
    assert np.bincount(source.test.labels_N).min() >= 9


def test_labels_are_shuffled_and_blocks_cover_every_label() -> None:
    part = open_synthetic("").test
    assert (np.diff(part.labels_N) < 0).any()
    faces = draw_test("0")
    assert faces.shape == (len(part.labels_N), 16, 16, 3)
    assert faces.dtype == np.uint8
    assert len(set(part.names)) == len(part.names)


def test_a_face_is_the_same_person_at_every_size() -> None:
    part = open_synthetic("").test
    small = next(part.decode(24, Counter()))[:8].astype(np.float64)
    large = next(part.decode(48, Counter()))[:8].astype(np.float64)
    reduced = large.reshape(8, 24, 2, 24, 2, 3).mean(axis=(2, 4))
    for index in range(8):
        distances = np.abs(reduced[index] - small).mean(axis=(1, 2, 3))
        assert distances.argmin() == index


def test_weak_expressions_overlap_with_neutral_and_strong_ones_do_not() -> None:
    neutral = draw_traits(np.full(4000, 6), np.random.default_rng(0))["mouth_curve"].ravel()
    happy = draw_traits(np.full(4000, 3), np.random.default_rng(1))["mouth_curve"].ravel()
    assert np.quantile(happy, 0.02) < np.quantile(neutral, 0.98)
    assert np.quantile(happy, 0.75) > np.quantile(neutral, 0.99)


@pytest.mark.parametrize("argument", ["-1", "one", "1.5", "²"])
def test_a_seed_that_is_no_whole_number_is_refused_by_value(argument: str) -> None:
    with pytest.raises(FaultsError, match="whole number >= 0") as error:
        open_synthetic(argument)
    assert argument in str(error.value)
