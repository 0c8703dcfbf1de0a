"""A finished study of the model under study on pictures that take no time: two classes of noise in flat colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ablation import study_file, tables
from ablation.engine.driver import sweep
from ablation.paths import RunPaths
from ablation.planning.request import Request, check_request
from ablation.resources import Resources

SETTINGS = ("model.width=4", "data.size_px=16", "train.batch_size=8")


def make_pictures(root: Path, classes: tuple[str, ...] = ("glad", "sad", "calm"), seed: int = 0) -> str:
    """Make ``train/<class>/`` and ``test/<class>/`` below a folder, and return what ``--data`` takes."""
    rng = np.random.default_rng(seed)
    for split, count in (("train", 16), ("test", 7)):
        for label, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                colour = np.array([70 * label, 200 - 60 * label, 90 * (label % 2)])
                pixels = np.clip(colour + rng.normal(0, 60, (20, 18, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return f"folder:{root}"


def run_tiny(root: Path, uri: str, *, arms: tuple[str, ...] = ("baseline",), **asked: object) -> RunPaths[Path]:
    """Run a study of the reference and other arms in this process; ``asked`` are Request's other fields."""
    given = {"replicates": 2, "trials": 1, "epochs": 2, "settings": SETTINGS, **asked}
    checked = check_request(Request("tcl", data=uri, arms=arms, budget="quick", **given), gpus=0)  # type: ignore[arg-type]
    paths = RunPaths(root)
    file = study_file.describe(root.name, checked.plan, checked.budget_name, checked.data, ["ablation", "run"])
    study_file.write(file, paths)
    sweep(file, paths, Resources(executor="in-process"))
    tables.materialise(paths)
    return paths
