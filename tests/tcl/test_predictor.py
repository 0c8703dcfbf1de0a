"""Predictions for picture files, and what is said of pictures that were more than resized."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from ablation import predict
from ablation.best_trial import BestTrial
from ablation.checkpoint import Checkpoint
from ablation.faults import FaultsError
from ablation.reuse import BestModel, InputWarning, Prediction
from ablation.tcl.config import Data, TclConfig
from ablation.tcl.data.colours import FLATTENED, SCALED, TURNED
from ablation.tcl.network import build_network
from ablation.tcl.predictor import ExpressionPredictor
from tests.tcl.test_data_colours import damaged_exif


@pytest.fixture(scope="module")
def model() -> ExpressionPredictor:
    config = TclConfig(data=Data(size_px=16))
    network = build_network(config.model, 2, torch.Generator().manual_seed(1))
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    about = {"config": config.model_dump(mode="json"), "class_names": ["glad", "sad"]}
    return ExpressionPredictor(Checkpoint(1, "", (), tensors, about))


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Return files of every kind, plain ones first."""
    for name in ("plain.png", "also.png"):
        Image.new("RGB", (16, 16), (1, 2, 3)).save(tmp_path / name)
    Image.fromarray(np.full((16, 16), 1000, np.uint16)).save(tmp_path / "wide.png")
    Image.new("RGBA", (16, 16), (1, 2, 3, 0)).save(tmp_path / "clear.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("turned.jpg", "too.jpg"):
        Image.new("RGB", (16, 16), (9, 9, 9)).save(tmp_path / name, exif=exif)
    damaged_exif(tmp_path / "damaged.jpg")
    return [tmp_path / name for name in ("plain.png", "also.png", "wide.png", "clear.png", "turned.jpg", "too.jpg")]


def test_plain_pictures_are_predicted_without_a_word(model: ExpressionPredictor, pictures: list[Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = model.predict(pictures[:2])
    assert [one.path for one in found] == pictures[:2]
    assert found[0].probabilities == found[1].probabilities
    assert sum(found[0].probabilities.values()) == pytest.approx(1)


def test_what_was_done_to_pictures_is_said_with_their_number(model: ExpressionPredictor, pictures: list[Path]) -> None:
    with pytest.warns(InputWarning) as reported:
        model.predict(pictures)
    assert {str(warning.message) for warning in reported} == {
        f"1 of 6 pictures {SCALED}",
        f"1 of 6 pictures {FLATTENED}",
        f"2 of 6 pictures {TURNED}",
    }


def test_a_damaged_file_is_named_whether_it_can_be_read_or_not(
    model: ExpressionPredictor, tmp_path: Path, pictures: list[Path]
) -> None:
    damaged = tmp_path / "damaged.jpg"
    with pytest.warns(InputWarning) as reported:
        model.predict([damaged])
    assert sum(str(warning.message).startswith(f"{damaged}: ") for warning in reported) == len(reported) - 1
    assert len(reported) > 1
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(FaultsError, match=r"empty\.png cannot be read as an image"):
        model.predict([pictures[0], tmp_path / "empty.png"])


def test_the_command_says_on_stderr_what_the_model_warns_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Warner:
        def predict(self, paths: Sequence[Path]) -> list[Prediction]:
            warnings.warn("1 of 1 pictures [odd]", InputWarning, stacklevel=1)
            return [Prediction(path, {"glad": 1.0}) for path in paths]

    best = BestTrial("arm/0/confirm/0", "arm", 0, 0, 0.5, "accuracy", tmp_path)
    model = BestModel((best,), (Warner(),), {}, {}, {})
    monkeypatch.setattr(predict, "load_best", lambda *_, **__: model)
    app = typer.Typer()
    app.command()(predict.predict)
    done = CliRunner().invoke(app, [str(tmp_path), "a.png"])
    assert done.exit_code == 0
    assert done.stdout == "a.png\tglad\t1.000\n"
    assert "note: 1 of 1 pictures [odd]\n" in done.stderr
