"""What a trial trains on and what it scores: one split a replicate, disjoint, and metrics over whole splits.

Shapes: N pictures, B of a batch, K classes, H = W pixels, C = 3 colours.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ablation.tcl.data.batches import normalise
from ablation.tcl.data.cache import Split
from ablation.tcl.data.dataset import Dataset
from ablation.tcl.train import Training, run_trial
from ablation.trial import TrialContext, build_config

# Pictures of each class: as lopsided as RAF-DB.
TRAIN_COUNTS, TEST_COUNTS = (60, 12, 6), (9, 3, 2)
SIZE_PX = 16
AS_THEY_ARE = {"data.crop_px": 0, "data.flip": False}


def split(counts: tuple[int, ...], seed: int) -> Split:
    """Make noise of a class's own brightness, mixed; no two pictures are the same."""
    rng = np.random.default_rng(seed)
    labels_N = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    noise_NHWC = rng.normal(0, 40, (len(labels_N), SIZE_PX, SIZE_PX, 3))
    images_NHWC = np.clip(60 + 60 * labels_N[:, None, None, None] + noise_NHWC, 0, 255).astype(np.uint8)
    return Split(images_NHWC, labels_N, tuple(map(str, range(len(labels_N)))))


DATASET = Dataset("made", ("a", "b", "c"), "0" * 32, SIZE_PX, split(TRAIN_COUNTS, 0), split(TEST_COUNTS, 1))


def training(
    directory: Path, settings: Mapping[str, object] | None = None, *, seed: int = 1, replicate_seed: int = 2
) -> Training:
    context = TrialContext("t/0/confirm/0", "confirm", 2, seed, replicate_seed, directory, device="cpu")
    tiny = {"model.width": 4, "data.size_px": SIZE_PX, "train.batch_size": 16, "loss.margin": 1.0}
    return Training(build_config(run_trial, {**tiny, **(settings or {})}), context, DATASET)


def keys(images_BCHW: Tensor) -> list[bytes]:
    return [image.contiguous().numpy().tobytes() for image in images_BCHW]


def known() -> dict[bytes, int]:
    """Return the label of each of the data set's training pictures, by its normalised bytes."""
    images_BCHW = normalise(torch.from_numpy(DATASET.train.images_NHWC))
    return dict(zip(keys(images_BCHW), DATASET.train.labels_N.tolist(), strict=True))


def validation_of(trial: Training) -> list[bytes]:
    return keys(normalise(trial.validation_images))


def test_validation_pictures_are_never_trained_on(tmp_path: Path) -> None:
    trial, labels = training(tmp_path, AS_THEY_ARE), known()
    trained: dict[bytes, int] = {}
    for epoch in (1, 2, 3):
        for images_BCHW, labels_B in trial.batches.epoch(epoch):
            trained |= dict(zip(keys(images_BCHW), labels_B.tolist(), strict=True))
    validated = dict(zip(validation_of(trial), trial.validation_labels.tolist(), strict=True))
    assert not trained.keys() & validated.keys()
    assert trained | validated == labels
    assert Counter(validated.values()) == {0: 12, 1: 2, 2: 1}


def test_all_trials_of_a_replicate_share_their_validation_pictures(tmp_path: Path) -> None:
    one, other = training(tmp_path, seed=1), training(tmp_path, {"loss.negatives": "center"}, seed=5)
    assert validation_of(one) == validation_of(other)
    assert validation_of(one) != validation_of(training(tmp_path, replicate_seed=3))


def by_hand(trial: Training, images_NHWC: np.ndarray, labels: list[int]) -> dict[str, float]:
    """Score one picture at a time, in evaluation mode, with loops."""
    trial.network.eval()
    right, present, loss = Counter[int](), Counter(labels), 0.0
    for image_HWC, label in zip(images_NHWC, labels, strict=True):
        image_CHW = torch.from_numpy(((image_HWC / 255.0 - 0.5) / 0.25).transpose(2, 0, 1)).float()
        with torch.no_grad():
            scores = trial.network(image_CHW[None]).logits_BK[0].double().tolist()
        right[label] += scores.index(max(scores)) == label
        loss += math.log(sum(math.exp(score - scores[label]) for score in scores)) / len(labels)
    recalls = [right[label] / count for label, count in present.items()]
    return {
        "loss": loss,
        "accuracy": sum(right.values()) / len(labels),
        "macro_recall": sum(recalls) / len(recalls),
    }


def test_metrics_are_those_of_one_picture_at_a_time_over_the_whole_split(tmp_path: Path) -> None:
    trial = training(tmp_path, {"optim.lr": 0.02})
    for _ in range(2):
        record = trial.run_epoch()
        assert trial.network.training
        expected = by_hand(trial, trial.validation_images.numpy(), trial.validation_labels.tolist())
        assert {name: record.metrics[f"val_{name}"] for name in expected} == pytest.approx(expected, abs=1e-4)
    expected = by_hand(trial, DATASET.test.images_NHWC, DATASET.test.labels_N.tolist())
    assert {name: record.metrics[f"test_{name}"] for name in expected} == pytest.approx(expected, abs=1e-4)
    # Otherwise a mean over batches, or of accuracies, could not be reported from a mean over classes.
    assert 0 < record.metrics["val_macro_recall"] < 1


def test_scoring_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    trial = training(tmp_path)
    before = {name: tensor.clone() for name, tensor in trial.network.state_dict().items()}
    trial._score_test()
    torch.testing.assert_close(trial.network.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("weighted", [False, True])
def test_class_weighted_cross_entropy_is_the_one_computed_by_hand(tmp_path: Path, weighted: bool) -> None:
    trial = training(tmp_path, {"loss.class_weighted": weighted})
    counts = Counter(trial.batches.labels_N.tolist())
    images_BCHW, labels_B = next(trial.batches.epoch(1))
    with torch.no_grad():
        logits = trial.network(images_BCHW).logits_BK.double().tolist()
    total, weights = 0.0, 0.0
    for scores, label in zip(logits, labels_B.tolist(), strict=True):
        weight = 1 / counts[label] if weighted else 1.0
        total += weight * math.log(sum(math.exp(score - scores[label]) for score in scores))
        weights += weight
    assert len(set(labels_B.tolist())) > 1
    logged = trial._step(images_BCHW, labels_B, lr=0.1)
    assert logged["ce_loss"].item() == pytest.approx(total / weights, rel=1e-5)


@pytest.mark.parametrize(("sampling", "shares"), [("shuffled", (48, 10, 5)), ("class-balanced", (21, 21, 21))])
def test_sampling_is_the_one_that_the_configuration_names(
    tmp_path: Path, sampling: str, shares: tuple[int, ...]
) -> None:
    trial = training(tmp_path, {"data.sampling": sampling})
    drawn = torch.cat([labels_B for epoch in range(20) for _, labels_B in trial.batches.epoch(epoch)])
    np.testing.assert_allclose(torch.bincount(drawn).numpy() / 20, shares, atol=3)
