"""The best model, loaded: it repeats its row's scores to the bit, alone or with its replicates, from any folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from ablation import best, predict
from ablation.best_trial import LostCheckpointWarning, Selection, best_available, best_trial, best_trials
from ablation.faults import FaultsError
from ablation.paths import RunPaths
from ablation.rerun import rerun
from ablation.reuse import BrokenInputsError, load_best, load_checkpoint
from tests.support.tiny_faces import make_pictures, run_tiny

APP = typer.Typer()
APP.command()(predict.predict)


@pytest.fixture(scope="module", autouse=True)
def small_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ABLATION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    make_pictures(root)
    return root


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> RunPaths[Path]:
    return run_tiny(tmp_path_factory.mktemp("runs") / "tiny", f"folder:{pictures}")


def accuracy_on(model_run: RunPaths[Path], pictures: Path) -> float:
    """Predict every test picture by its file and count the right ones."""
    files = sorted((pictures / "test").rglob("*.png"))
    found = load_best(model_run.root).predict(files)
    return float(np.mean([one.label == path.parent.name for one, path in zip(found, files, strict=True)]))


def test_the_rows_test_accuracy_is_that_of_the_loaded_model_on_the_files(swept: RunPaths[Path], pictures: Path) -> None:
    model = load_best(swept.root)
    trials = pd.read_parquet(swept.trials).set_index("trial_id")
    row = trials.loc[model.trials[0].trial_id]
    assert accuracy_on(swept, pictures) == row["metric.test_accuracy"] == model.scores["test_accuracy"]
    confirmed = trials[(trials.phase == "confirm") & (trials.status == "completed")]
    assert row["metric.val_accuracy"] == confirmed["metric.val_accuracy"].max() == model.trials[0].score
    assert model.config["model.width"] == 4
    assert model.provenance["data"]["fingerprint"] and model.provenance["command"] == ["ablation", "run"]
    json.dumps(model.provenance)


def test_a_resnet_repeats_its_rows_accuracy_too(tmp_path: Path, pictures: Path) -> None:
    settings = ("model.backbone=resnet18", "data.size_px=16", "train.batch_size=16")
    run = run_tiny(tmp_path / "run", f"folder:{pictures}", trials=0, epochs=1, settings=settings)
    assert accuracy_on(run, pictures) == best_trial(run.root).row["metric.test_accuracy"]


def test_the_command_the_function_and_the_loaded_model_agree_on_what_is_best(swept: RunPaths[Path]) -> None:
    for arm in (None, "baseline", "reference"):
        chosen = best_trial(swept.root, Selection(arm))
        assert best.facts(swept.root, arm)["trial_id"] == chosen.trial_id
        assert load_best(swept.root, arm).trials[0].trial_id == chosen.trial_id
    by_recall = load_best(swept.root, metric="macro_recall").trials[0]
    assert by_recall.score == max(trial.row["metric.val_macro_recall"] for trial in best_trials(swept.root))


def test_arrays_and_files_of_any_size_and_mode_are_one_input(swept: RunPaths[Path], tmp_path: Path) -> None:
    model = load_best(swept.root)
    pixels = np.random.default_rng(3).integers(0, 255, (31, 47, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    Image.fromarray(pixels[:, :, 0]).save(tmp_path / "grey.png")
    given = [tmp_path / "one.png", pixels, str(tmp_path / "grey.png"), pixels[:, :, 0]]
    file, array, grey_file, grey = model.predict(given)
    assert file.probabilities == array.probabilities and grey_file.probabilities == grey.probabilities
    assert file.path == tmp_path / "one.png" and array.path is None
    assert model.predict(tmp_path / "one.png") == [file]
    with pytest.raises(BrokenInputsError, match="array 1 is no picture") as reported:
        model.predict([pixels, pixels.astype(np.float64)])
    assert list(reported.value.broken) == [1]


def test_a_run_is_loaded_by_its_address_and_from_any_folder(
    swept: RunPaths[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.zeros((1, 16, 16, 3), np.uint8)
    here = load_best(swept.root).predict(image)
    monkeypatch.chdir(tmp_path)
    far = load_best(f"file://{swept.root}")
    assert far.predict(image) == here
    assert far.provenance["checkpoints"][0].startswith(f"{swept.root}/checkpoints/")
    monkeypatch.chdir(swept.root.parent)
    assert load_best(Path(swept.root.name)).predict(image) == here


def test_embedding_and_attention_have_a_row_an_input(swept: RunPaths[Path]) -> None:
    images = np.random.default_rng(3).integers(0, 255, (3, 16, 16, 3), dtype=np.uint8)
    model = load_best(swept.root, arm="reference")
    assert model.embed(images).shape == (3, 16)
    np.testing.assert_allclose(model.attention(images).sum((1, 2)), 1, rtol=1e-5)
    with pytest.raises(ValueError, match=r"model\.attention is 'none', which has no map"):
        load_best(swept.root, arm="baseline").attention(images)


def test_an_ensemble_is_the_mean_over_the_arms_replicates_and_says_what_it_lacks(
    swept: RunPaths[Path], tmp_path: Path
) -> None:
    image = np.random.default_rng(3).integers(0, 255, (1, 16, 16, 3), dtype=np.uint8)
    model = load_best(swept.root, "reference", ensemble=True)
    assert [trial.replicate for trial in model.trials] in ([0, 1], [1, 0])
    members = [
        load_checkpoint(trial.checkpoint).predict(image)[0] for trial in model.trials if trial.checkpoint is not None
    ]
    for name, probability in model.predict(image)[0].probabilities.items():
        assert probability == pytest.approx(np.mean([member.probabilities[name] for member in members]))
    shutil.copytree(swept.root, tmp_path / "copy")
    trials = best_trials(tmp_path / "copy", Selection("reference"))
    assert trials[1].checkpoint is not None
    trials[1].checkpoint.unlink()
    with pytest.warns(LostCheckpointWarning, match="is missing; .* the mean is over 1 of 2 replicates"):
        assert len(load_best(tmp_path / "copy", "reference", ensemble=True).trials) == 1


def test_a_checkpoint_that_is_gone_is_made_again_bit_for_bit(swept: RunPaths[Path], tmp_path: Path) -> None:
    shutil.copytree(swept.root, tmp_path / "copy")
    best, before = best_available(tmp_path / "copy")
    assert isinstance(best.checkpoint, Path)
    shutil.rmtree(best.checkpoint.parent)
    assert rerun(tmp_path / "copy", best.trial_id, keep=True).is_exact
    again, after = best_available(tmp_path / "copy")
    assert again.trial_id == best.trial_id and after.tensors.keys() == before.tensors.keys()
    assert {name.partition(".")[0] for name in after.tensors} > {"network"}  # what training goes on with, too
    for name, tensor in before.tensors.items():
        assert after.tensors[name].numpy().tobytes() == tensor.numpy().tobytes(), name


def test_bad_choices_are_named(swept: RunPaths[Path]) -> None:
    with pytest.raises(FaultsError, match=r"arm is 'basline'.*did you mean 'baseline'"):
        load_best(swept.root, "basline")
    with pytest.raises(FaultsError, match=r"metric is 'recall'.*did you mean 'macro_recall'"):
        load_best(swept.root, metric="recall")
    with pytest.raises(FaultsError, match="seed is 7, but the finished confirm trials have 0"):
        load_best(swept.root, seed=7)
    with pytest.raises(FileNotFoundError, match="no finished search trial with a checkpoint"):
        load_best(swept.root, phase="search")


def test_a_checkpoint_that_left_its_run_is_known_by_its_network(swept: RunPaths[Path], tmp_path: Path) -> None:
    image = np.zeros((1, 16, 16, 3), np.uint8)
    model = load_best(swept.root)
    kept = model.trials[0].checkpoint
    assert isinstance(kept, Path)
    moved = tmp_path / "mine.safetensors"
    shutil.copy(kept, moved)
    alone = load_checkpoint(moved)
    assert alone.predict(image) == model.predict(image) == load_checkpoint(kept).predict(image)
    assert alone.trials[0].trial_id == model.trials[0].trial_id


def test_the_command_names_broken_pictures_and_goes_on(swept: RunPaths[Path], pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures / "test" / "sad", tmp_path / "sad")
    (tmp_path / "sad" / "a.png").write_bytes(b"no picture")
    done = CliRunner().invoke(APP, [str(swept.root), str(tmp_path / "sad"), "--json"])
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert len(found["predictions"]) == 7 and found["model"]["trial_id"] == best_trial(swept.root).trial_id
    assert [Path(one["path"]).name for one in found["broken"]] == ["a.png"]
    assert "a.png cannot be read as an image" in done.stderr
    listed = "\n".join(one["path"] for one in found["predictions"])
    table = CliRunner().invoke(APP, [str(swept.root), "-", "--csv"], input=listed)
    assert table.exit_code == 0
    header, *rows = table.stdout.splitlines()
    assert header == "path,label,calm,glad,sad" and len(rows) == 7
    one = found["predictions"][0]
    assert rows[0] == ",".join(map(str, [one["path"], one["label"], *one["probabilities"].values()]))


def test_the_command_takes_one_checkpoint_and_refuses_what_does_not_go_together(
    swept: RunPaths[Path], pictures: Path
) -> None:
    kept = best_trial(swept.root, Selection("baseline")).checkpoint
    picture = str(next((pictures / "test" / "sad").iterdir()))
    done = CliRunner().invoke(APP, [str(kept), picture])
    assert done.exit_code == 0 and done.stderr.startswith("baseline/")
    assert CliRunner().invoke(APP, [str(kept), picture, "--ensemble"]).exit_code == 2
    assert CliRunner().invoke(APP, [str(swept.root), picture, "--csv", "--json"]).exit_code == 2
    assert CliRunner().invoke(APP, [str(kept) + "x.safetensors", picture]).exit_code == 2
