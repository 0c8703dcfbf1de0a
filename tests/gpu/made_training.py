"""A trial of the model under study on pictures made here, ready to train on the tested device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ablation.tcl.config import TclConfig
from ablation.tcl.data.cache import Split
from ablation.tcl.data.dataset import Dataset
from ablation.trial import EpochRecord, TrialContext, build_config, import_object
from search_spaces.tcl import SPACE
from tests.gpu.device import DEVICE

EPOCHS = 3
SIZE_PX = 24
TINY = {"model.width": 8, "data.size_px": SIZE_PX, "train.batch_size": 16}


def made_dataset(train: int = 140, test: int = 28, size_px: int = SIZE_PX, classes: int = 7) -> Dataset:
    """Make noisy flat colours, one a class: easy to distinguish."""
    rng = np.random.default_rng(0)

    def split(count: int) -> Split:
        labels_N = np.arange(count) % classes
        colours_N3 = np.stack([40 * labels_N, 255 - 30 * labels_N, 20 * (labels_N % 3)], axis=1)
        noise_NHWC = rng.integers(-40, 41, (count, size_px, size_px, 3), dtype=np.int16)
        pixels_NHWC = np.clip(colours_N3[:, None, None].astype(np.int16) + noise_NHWC, 0, 255).astype(np.uint8)
        return Split(pixels_NHWC, labels_N.astype(np.int64), tuple(f"{number}.jpg" for number in range(count)))

    names = tuple(f"class {number}" for number in range(classes))
    return Dataset("made", names, "made", size_px, split(train), split(test))


def config(**settings: object) -> TclConfig:
    built = build_config(import_object(SPACE.trial), {**TINY, **settings})
    assert isinstance(built, TclConfig)
    return built


def context(directory: Path, **changes: object) -> TrialContext:
    given = {
        "trial_id": "t/0/search/0",
        "phase": "search",
        "epochs": EPOCHS,
        "seed": 1,
        "replicate_seed": 2,
        "checkpoint_dir": directory / "checkpoints",
        "data": "made",
        "device": DEVICE,
    }
    return TrialContext(**{**given, **changes})  # type: ignore[arg-type]


def use_made_dataset(patch: pytest.MonkeyPatch, dataset: Dataset) -> None:
    """Let ``run_trial`` train on ``dataset``, whatever its context names."""
    patch.setattr("ablation.tcl.train.open_dataset", lambda *_, **__: dataset)


def metrics(records: list[EpochRecord]) -> list[dict[str, float]]:
    return [dict(record.metrics) for record in records]
