"""One trial of the model under study, in a plain loop: it learns, repeats itself bit for bit, and resumes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ablation import checkpoint
from ablation.faults import FaultsError
from ablation.tcl.config import TclConfig
from ablation.tcl.data.dataset import open_dataset
from ablation.tcl.evaluate import outputs, scores
from ablation.tcl.train import Training, run_trial
from ablation.trial import EpochRecord, TrialContext, build_config, import_object
from search_spaces.space import Arm
from search_spaces.tcl import SPACE

EPOCHS = 3
TINY = {"model.width": 4, "data.size_px": 24, "train.batch_size": 16}


@pytest.fixture(scope="module", autouse=True)
def small_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ABLATION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make photographs in RAF-DB's layout: seven flat colours with noise, easy to distinguish."""
    root = tmp_path_factory.mktemp("raf")
    (root / "EmoLabel").mkdir()
    (root / "Image/aligned").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = []
    for split, digits, per_class in (("train", 5, 12), ("test", 4, 4)):
        for number in range(7 * per_class):
            label = number % 7
            colour = np.array([40 * label, 255 - 30 * label, 20 * (label % 3)])
            pixels = np.clip(colour + rng.normal(0, 40, (24, 24, 3)), 0, 255).astype(np.uint8)
            name = f"{split}_{number + 1:0{digits}d}"
            Image.fromarray(pixels).save(root / f"Image/aligned/{name}_aligned.jpg")
            lines.append(f"{name}.jpg {label + 1}")
    (root / "EmoLabel/list_patition_label.txt").write_text("\n".join(lines))
    return f"rafdb:{root}"


def context(uri: str, directory: Path, **changes: object) -> TrialContext:
    base = TrialContext(
        trial_id="t/0/search/0",
        phase="search",
        epochs=EPOCHS,
        seed=1,
        replicate_seed=2,
        checkpoint_dir=directory / "checkpoints",
        data=uri,
        device="cpu",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def config(**settings: object) -> TclConfig:
    built = build_config(import_object(SPACE.trial), {**TINY, **settings})
    assert isinstance(built, TclConfig)
    return built


def metrics(records: Iterator[EpochRecord]) -> list[dict[str, float]]:
    return [dict(record.metrics) for record in records]


@pytest.mark.parametrize("arm", SPACE.arms(), ids=lambda arm: arm.name)
def test_every_arm_trains_and_reports_what_the_space_measures(arm: Arm, uri: str, tmp_path: Path) -> None:
    flat = SPACE.configuration(arm, {name: SPACE.domain(name).default for name in arm.searched})
    records = list(run_trial(config(**flat), context(uri, tmp_path, epochs=1)))
    assert [record.epoch for record in records] == [1]
    last = records[0].metrics
    assert {f"val_{metric.name}" for metric in SPACE.metrics} <= set(last)
    has_distances = arm.levels["loss.negatives"] != "none"
    assert np.isfinite(last["d_pos"]) == has_distances
    assert np.isfinite(last["d_neg"]) == (has_distances and arm.levels["loss.negatives"] != "center")


def test_it_learns_what_can_be_learned(uri: str, tmp_path: Path) -> None:
    records = metrics(run_trial(config(), context(uri, tmp_path, epochs=12)))
    assert records[-1]["val_accuracy"] > 0.6 > 1 / 7
    assert records[-1]["train_loss"] < records[0]["train_loss"]


def test_the_same_seed_repeats_bit_for_bit_and_another_differs(uri: str, tmp_path: Path) -> None:
    once = metrics(run_trial(config(), context(uri, tmp_path / "a")))
    again = metrics(run_trial(config(), context(uri, tmp_path / "b")))
    other = metrics(run_trial(config(), context(uri, tmp_path / "c", seed=3)))
    assert once == again != other


@pytest.mark.parametrize("stopped_after", [1, 2])
@pytest.mark.parametrize("negatives", ["none", "center", "semi-synthesized"])
def test_a_resumed_trial_repeats_the_uninterrupted_one(
    uri: str, tmp_path: Path, stopped_after: int, negatives: str
) -> None:
    settings = config(**{"loss.negatives": negatives, "model.attention": "pixel"})
    whole = metrics(run_trial(settings, context(uri, tmp_path / "whole")))
    place = context(uri, tmp_path / "halves", checkpoint_epochs=(stopped_after,))
    first = metrics(islice(run_trial(settings, place), stopped_after))
    # Another trial in between must leave no trace.
    list(run_trial(config(**{"loss.margin": 1.0}), context(uri, tmp_path / "other")))
    assert pd.DataFrame(first).equals(pd.DataFrame(whole[:stopped_after]))
    assert pd.DataFrame(metrics(run_trial(settings, place))).equals(pd.DataFrame(whole))


def test_a_checkpoint_of_another_configuration_is_not_resumed(uri: str, tmp_path: Path) -> None:
    list(run_trial(config(), context(uri, tmp_path)))
    fresh = metrics(run_trial(config(**{"optim.lr": 0.02}), context(uri, tmp_path / "fresh")))
    assert metrics(run_trial(config(**{"optim.lr": 0.02}), context(uri, tmp_path))) == fresh


@pytest.mark.parametrize("changed", [{"seed": 5}, {"epochs": EPOCHS + 1}])
def test_a_checkpoint_of_another_seed_or_length_is_not_resumed(
    uri: str, tmp_path: Path, changed: dict[str, int]
) -> None:
    list(run_trial(config(), context(uri, tmp_path)))
    fresh = metrics(run_trial(config(), context(uri, tmp_path / "fresh", **changed)))
    assert metrics(run_trial(config(), context(uri, tmp_path, **changed))) == fresh


def test_a_damaged_checkpoint_gives_way_to_the_one_before(uri: str, tmp_path: Path) -> None:
    place = context(uri, tmp_path, checkpoint_epochs=(1, 2))
    whole = metrics(run_trial(config(), place))
    newest = checkpoint.newest_path(place.checkpoint_dir)
    assert newest is not None
    newest.write_bytes(newest.read_bytes()[:100])
    assert metrics(run_trial(config(), place)) == whole


def test_test_data_are_scored_once_at_the_end_of_a_confirm_trial(uri: str, tmp_path: Path) -> None:
    confirmed = metrics(run_trial(config(), context(uri, tmp_path, phase="confirm", artifact_dir=tmp_path / "art")))
    assert [any(name.startswith("test_") for name in record) for record in confirmed] == [False] * (EPOCHS - 1) + [True]
    assert not any("test_accuracy" in record for record in metrics(run_trial(config(), context(uri, tmp_path / "s"))))
    predictions = pd.read_parquet(tmp_path / "art/predictions.parquet")
    accuracy = (predictions["label"] == predictions["predicted"]).mean()
    assert len(predictions) == 28 and accuracy == pytest.approx(confirmed[-1]["test_accuracy"])
    counts = pd.read_parquet(tmp_path / "art/confusion.parquet")
    right = counts[counts["label"] == counts["predicted"]]["count"].sum()
    assert right / counts["count"].sum() == pytest.approx(accuracy)
    left = {path.name for path in (tmp_path / "art").iterdir()}
    assert {"embeddings.parquet", "attention.parquet"} <= left and "faces.parquet" not in left


def test_photographs_are_left_on_request_and_change_no_training(uri: str, tmp_path: Path) -> None:
    places = [context(uri, tmp_path / name, phase="confirm", artifact_dir=tmp_path / name / "art") for name in "ab"]
    without, with_faces = config(), config(**{"artifacts.faces": 2})
    assert metrics(run_trial(without, places[0])) == metrics(run_trial(with_faces, places[1]))
    faces = pd.read_parquet(tmp_path / "b/art/faces.parquet")
    assert faces["label"].tolist() == [label for label in range(7) for _ in range(2)]
    # Asked for later, the trained model is found again: nothing but a file more is wanted of it.
    assert len({Training(asked, places[0], open_dataset(uri, 24)).identity for asked in (without, with_faces)}) == 1


def test_attention_without_a_distance_to_weigh_is_refused() -> None:
    with pytest.raises(FaultsError, match=r"model.attention is 'element', but with loss.negatives 'none'"):
        config(**{"loss.negatives": "none", "model.attention": "element"})


def test_centers_move_and_their_step_does_not_depend_on_the_weight(uri: str, tmp_path: Path) -> None:
    first_steps = []
    for weight in (0.0, 0.01, 1.0):
        place = context(uri, tmp_path / str(weight))
        training = Training(config(**{"loss.weight": weight}), place, open_dataset(uri, 24))
        assert training.metric_loss is not None
        before = training.metric_loss.centers_KD.detach().clone()
        images, labels = next(training.batches.epoch(1))
        training._step(images, labels, lr=0.1)
        first_steps.append(training.metric_loss.centers_KD.detach() - before)
    assert first_steps[0].abs().max() > 0
    torch.testing.assert_close(first_steps[0], first_steps[1], rtol=0, atol=0)
    torch.testing.assert_close(first_steps[0], first_steps[2], rtol=0, atol=0)


def test_centers_descend_at_their_own_rate_without_momentum_or_weight_decay(uri: str, tmp_path: Path) -> None:
    settings = config(**{"optim.center_lr": 0.25, "optim.weight_decay": 0.5, "optim.momentum": 0.9})
    training = Training(settings, context(uri, tmp_path), open_dataset(uri, 24))
    assert training.metric_loss is not None
    centers_KD = training.metric_loss.centers_KD
    for images, labels in islice(training.batches.epoch(1), 3):
        before_KD = centers_KD.detach().clone()
        training._step(images, labels, lr=0.1)
        assert centers_KD.grad is not None
        torch.testing.assert_close(centers_KD.detach(), before_KD - 0.25 * centers_KD.grad)


def test_centers_start_at_their_classes_means_where_asked_and_a_resumed_trial_keeps_them(
    uri: str, tmp_path: Path
) -> None:
    settings = config(**{"loss.center_init": "class-means"})
    training = Training(settings, context(uri, tmp_path), open_dataset(uri, 24))
    list(training.resume())
    assert training.metric_loss is not None
    started_KD = training.metric_loss.centers_KD.detach().clone()
    features_ND = outputs(training.network, training.batches.images_NHWC, training.autocast).features_ND
    for label, center_D in enumerate(started_KD):
        torch.testing.assert_close(center_D, features_ND[training.batches.labels_N == label].mean(0))
    training.run_epoch()
    training.save()
    again = Training(settings, context(uri, tmp_path), open_dataset(uri, 24))
    list(again.resume())
    assert again.metric_loss is not None
    assert torch.equal(again.metric_loss.centers_KD, training.metric_loss.centers_KD)
    assert not torch.equal(again.metric_loss.centers_KD, started_KD)


def test_the_learning_rate_falls_over_the_whole_planned_length(uri: str, tmp_path: Path) -> None:
    settings = config(**{"optim.schedule": "cosine", "optim.lr": 0.2})
    rates = [record["lr"] for record in metrics(run_trial(settings, context(uri, tmp_path)))]
    # 84 pictures, of which two of each class are held out, are five batches of sixteen or fewer.
    done = [(epoch + 4 / 5) / EPOCHS for epoch in range(EPOCHS)]
    assert rates == pytest.approx([0.1 * (1 + np.cos(np.pi * share)) for share in done])


def test_scores_match_a_count_by_hand() -> None:
    logits_NK = torch.tensor([[2.0, 0, 0], [0, 2.0, 0], [0, 2.0, 0], [2.0, 0, 0]])
    found = scores(logits_NK, torch.tensor([0, 1, 0, 0]))
    # Two of three zeros are right, the only one is right, class two is absent.
    assert found["accuracy"] == pytest.approx(3 / 4)
    assert found["macro_recall"] == pytest.approx((2 / 3 + 1) / 2)


def test_a_photograph_that_vanishes_after_planning_fails_the_trial_by_name(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that has not decoded the data yet, and finds less than the plan did."""
    fingerprint = open_dataset(uri, 24).fingerprint
    copy = tmp_path / "raf"
    shutil.copytree(uri.removeprefix("rafdb:"), copy)
    (copy / "Image/aligned/train_00003_aligned.jpg").unlink()
    monkeypatch.setenv("ABLATION_CACHE", str(tmp_path / "another node"))
    place = context(f"rafdb:{copy}", tmp_path, data_fingerprint=fingerprint)
    with pytest.raises(FaultsError, match="train_00003"):
        next(run_trial(config(), place))
