"""A model of one's own is exported by a hook of its predictor: examples/with_pytorch.py shows it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ablation.engine.process_state import ProcessState
from ablation.export import export
from ablation.resources import Resources
from ablation.reuse import load_best
from ablation.run import run
from tests.support.exported import HAS_ONNX, by_the_card

pytest.importorskip("sklearn")
EXAMPLE = Path(__file__).parents[2] / "examples" / "with_pytorch.py"
FORMATS = ["safetensors", "torch-export", *["onnx"] * HAS_ONNX]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run the example's study, without a search and for an epoch."""
    out = tmp_path_factory.mktemp("runs")
    state = ProcessState()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        run(
            str(EXAMPLE), budget="quick", arms="baseline", replicates=2, trials=0, epochs=1, name="digits", out=out,
            resources=Resources(executor="in-process"), report=False,
        )  # fmt: skip
        state.restore()
        yield out / "digits"
    sys.modules.pop("with_pytorch", None)


def test_its_exports_say_what_the_loaded_model_says_by_the_cards_lines_alone(digits: Path, tmp_path: Path) -> None:
    verified = export(digits, tmp_path / "export", FORMATS, "reference", ensemble=True)
    assert sum(" 64 random inputs" in line for line in verified) == len(FORMATS)
    assert sum(" 64 test inputs" in line for line in verified) == len(FORMATS)
    image = np.random.default_rng(0).integers(0, 17, (8, 8))
    np.save(tmp_path / "digit.npy", image)
    model = load_best(digits, "reference", ensemble=True)
    assert len(model.predictors) == 2
    (expected,) = model.predict([image])
    for name in FORMATS:
        found = by_the_card(tmp_path / "export", name, tmp_path / "digit.npy")
        assert found[0] == pytest.approx(list(expected.probabilities.values()), abs=1e-4)


def test_the_rows_accuracy_is_that_of_the_loaded_model(digits: Path) -> None:
    model = load_best(digits)
    test = sys.modules["with_pytorch"].splits(0)[2]
    found = model.predict(list(test.tensors[0][:, 0].numpy() * 16))
    right = [one.label == str(label) for one, label in zip(found, test.tensors[1].tolist(), strict=True)]
    assert np.mean(right) == model.scores["test_accuracy"]


def test_without_test_inputs_it_is_said(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exportable = load_best(digits).predictors[0].exportable  # type: ignore[attr-defined]

    def without(predictors: object) -> object:
        made = exportable(predictors)
        object.__setattr__(made, "real_inputs", None)
        return made

    monkeypatch.setattr(sys.modules["with_pytorch"].Digits, "exportable", without)
    verified = export(digits, tmp_path / "export")
    assert verified[-1] == "test: not compared, since Digits gives none (Exportable.real_inputs)"
