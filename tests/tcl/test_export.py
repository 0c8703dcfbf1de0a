"""Exports give the original's probabilities, and load by the card's own lines with nothing of this project."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from ablation import export_formats
from ablation.best import facts
from ablation.export import export, main
from ablation.faults import FaultsError
from ablation.paths import RunPaths
from ablation.reuse import InputWarning, load_best
from tests.support.exported import HAS_ONNX, by_the_card
from tests.support.tiny_faces import make_pictures, run_tiny


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


@pytest.mark.parametrize("name", ["safetensors", "torch-export", "onnx"])
def test_an_export_is_loaded_by_the_cards_lines_alone_and_says_what_the_original_says(
    swept: RunPaths[Path], pictures: Path, tmp_path: Path, name: str
) -> None:
    if name == "onnx" and not HAS_ONNX:
        pytest.skip("the extra onnx (onnx, onnxscript, onnxruntime) is not installed")
    verified = export(swept.root, tmp_path / "export", [name], "reference")
    assert len([line for line in verified if line.startswith(name)]) == 2
    picture = next((pictures / "test" / "sad").iterdir())
    expected = load_best(swept.root, "reference").predict(picture)[0].probabilities
    assert by_the_card(tmp_path / "export", name, picture)[0] == pytest.approx(list(expected.values()), abs=1e-4)


def test_the_folder_has_what_hubs_and_readers_want(swept: RunPaths[Path], tmp_path: Path) -> None:
    out = tmp_path / "export"
    export(swept.root, out, command="ablation export RUN --out DIR")
    config = json.loads((out / "config.json").read_text())
    assert config["label2id"] == {"calm": 0, "glad": 1, "sad": 2} and config["preprocessing"]["size_px"] == 16
    model, found = load_best(swept.root), facts(swept.root)
    assert yaml.safe_load((out / "hyperparameters.yaml").read_text())["optim"]["lr"] == model.config["optim.lr"]
    weights = load_file(out / "model.safetensors")
    np.testing.assert_array_equal(weights["members.0.head.bias"], model.predictors[0].network.head.bias.detach())  # type: ignore[attr-defined]
    card = (out / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert head["pipeline_tag"] == "image-classification"
    for said in (
        found["trial_id"],
        f"{found['test']:.4g} on average, 95 % interval {found['low']:.4g} to {found['high']:.4g}, over 2 replicates",
        f"| test_accuracy | {model.scores['test_accuracy']:.4g} |",
        model.provenance["data"]["fingerprint"],
        "| calm | 16 | 7 |",
        "licence",
        "$ ablation export RUN --out DIR",
        "safetensors, 21 test inputs: probabilities differ by 0.0e+00 at most (allowed: 1e-04)",
    ):
        assert said in card, said


def test_the_cards_lines_read_pictures_as_training_did(swept: RunPaths[Path], tmp_path: Path) -> None:
    predictor: Any = load_best(swept.root).predictors[0]
    exportable = predictor.exportable([predictor])
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (30, 22, 4), dtype=np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    Image.fromarray(pixels[..., :3]).save(tmp_path / "turned.png", exif=turned)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.jpg")
    palette = Image.fromarray(pixels[..., :3]).quantize(8)
    palette.save(tmp_path / "palette.png", transparency=3)
    names: dict[str, Any] = {"files": sorted(tmp_path.iterdir())}
    exec("\n".join((*exportable.imports, *exportable.read_inputs)), names)
    with pytest.warns(InputWarning):
        expected = predictor.decoded(names["files"])
    np.testing.assert_array_equal(names["inputs"], expected)


def test_an_ensemble_and_a_resnet_are_exported_as_one_module(pictures: Path, tmp_path: Path) -> None:
    settings = ("model.backbone=resnet18", "data.size_px=16", "train.batch_size=16")
    run = run_tiny(tmp_path / "run", f"folder:{pictures}", trials=0, epochs=1, settings=settings)
    export(run.root, tmp_path / "export", arm="reference", ensemble=True)
    images = np.random.default_rng(5).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    found = export_formats.run_safetensors(tmp_path / "export", images)[0]
    expected = load_best(run.root, "reference", ensemble=True).predict(images)
    for row, one in zip(found.tolist(), expected, strict=True):
        assert row == pytest.approx(list(one.probabilities.values()), abs=1e-5)
    assert len(json.loads((tmp_path / "export" / "config.json").read_text())["members"]) == 2


def test_an_export_that_says_something_else_is_refused_and_leaves_nothing(
    swept: RunPaths[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = export_formats.run_safetensors

    def wrong(folder: Path, inputs: Any) -> Any:
        return tuple(np.add(output, 0.01) for output in original(folder, inputs))

    monkeypatch.setitem(export_formats.RUNNERS, "safetensors", wrong)
    with pytest.raises(FaultsError, match=r"differ by 1\.0e-02 at most from the original's"):
        export(swept.root, tmp_path / "export")
    assert list(tmp_path.iterdir()) == []


def test_bad_options_and_models_without_the_hook_are_named(
    swept: RunPaths[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(FaultsError) as reported:
        export(swept.root, tmp_path / "full", ["onxx"])
    assert len(reported.value.faults) == 2 and "did you mean 'onnx'" in reported.value.faults[0]
    monkeypatch.delattr("ablation.tcl.predictor.ExpressionPredictor.exportable")
    with pytest.raises(FaultsError, match="ExpressionPredictor cannot be exported: it needs a class method"):
        export(swept.root, tmp_path / "export")


def test_the_card_says_so_where_the_studys_data_is_not_at_hand(
    swept: RunPaths[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise FaultsError(["no such folder"])

    monkeypatch.setattr("ablation.tcl.exporting.open_dataset", gone)
    done = CliRunner().invoke(_app(), [str(swept.root), "--out", str(tmp_path / "export")])
    assert done.exit_code == 0 and "test: not compared, since the study's data cannot be had here" in done.stdout


def _app() -> Any:
    import typer

    app = typer.Typer()
    app.command()(main)
    return app


def test_the_standalone_module_averages_its_members() -> None:
    from ablation.tcl.standalone import Classifier

    member = {"backbone": "small", "width": 4, "attention": "none"}
    config = {"id2label": {"0": "a", "1": "b"}, "members": [member, member], "preprocessing": {"scale": 1, "offset": 0}}
    both = Classifier(config).eval()
    inputs = torch.zeros(1, 16, 16, 3, dtype=torch.uint8)
    pixels = inputs.float().permute(0, 3, 1, 2)
    mean = (both.members[0](pixels)[0] + both.members[1](pixels)[0]) / 2
    torch.testing.assert_close(both(inputs)[0], mean)
