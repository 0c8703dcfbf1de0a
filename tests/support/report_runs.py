"""A made run with everything that a report can show: artifacts of all kinds, varied searches, and a ledger's clock."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ablation.ledger.log import Ledger
from ablation.paths import RunPaths
from tests.support.ledgers import append
from tests.support.made_runs import CLASSES, write_run

SLOTS, TRIAL_S, START_UP_S = 2, 10.0, 5.0


def write_full_run(root: Path) -> Path:
    """Write a finished run; two slots ran its trials in turn, ten seconds each, after five of start-up."""
    run = write_run(root, artifacts=True)
    paths = RunPaths(run)
    trials = pd.read_parquet(paths.trials)
    search = trials["phase"] == "search"
    varied = 0.01 * 100 ** (((trials["replicate"] * 2 + trials["index"]) % 6) / 5)
    trials["config.build.rate"] = trials["config.build.rate"].where(~search | (trials["index"] == 0), varied)
    trials.to_parquet(paths.trials, index=False)
    done = trials[(trials["phase"] == "confirm") & (trials["status"] == "completed")]
    for place, trial_id in enumerate(done["trial_id"]):
        _write_pictures(paths.artifact_dir(trial_id), place)
    write_ledger(paths, trials["trial_id"].tolist())
    return run


def write_ledger(paths: RunPaths[Path], trial_ids: list[str]) -> None:
    """Write when trials began and ended, and nothing else."""
    now_s = [1000.0]
    with Ledger(paths.ledger, clock=lambda: now_s[0]) as ledger:
        append(ledger, "session_opened", process=1, resources={})
        now_s[0] += START_UP_S
        for first in range(0, len(trial_ids), SLOTS):
            together = trial_ids[first : first + SLOTS]
            for trial_id in together:
                append(ledger, "started", trial_id, attempt=1)
            now_s[0] += TRIAL_S
            for trial_id in together:
                append(ledger, "ended", trial_id, outcome="completed", reason=None, wall_s=TRIAL_S, checkpoint=None)


def _write_pictures(folder: Path, place: int) -> None:
    random = np.random.default_rng(place)
    label = np.arange(40) % len(CLASSES)
    points = pd.DataFrame({"x": random.normal(label, 0.3), "y": random.normal(0, 0.3, 40), "label": label})
    kept = pd.DataFrame({"x": [0.0, 1.0], "y": [0.0, 0.0], "label": [0, 1]})
    parts = [points.assign(kind="image"), kept.assign(kind="center")]
    pd.concat(parts, ignore_index=True).to_parquet(folder / "embeddings.parquet", index=False)
    cells = [(label, row, column) for label in range(len(CLASSES)) for row in range(2) for column in range(2)]
    maps = pd.DataFrame(cells, columns=["label", "row", "column"]).assign(weight=[0.4, 0.3, 0.2, 0.1] * len(CLASSES))
    maps.to_parquet(folder / "attention.parquet", index=False)


RED, GREEN = (220, 30, 20), (20, 160, 60)
# Of 2 × 3 places: the first is attended to most, the second half as much, the last not at all.
LOOK = [0.4, 0.2, 0.4, 0.0, 0.0, 0.0]


def png(colour: tuple[int, int, int]) -> bytes:
    """Make a photograph of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (6, 6), colour).save(file, "PNG")
    return file.getvalue()


def write_faces(run: Path) -> None:
    """Leave two photographs in every confirm trial, taken for the second class both; the baseline without attention."""
    for folder in sorted(RunPaths(run).artifacts.iterdir()):
        looks = not folder.name.startswith("baseline")
        columns = {
            **{"image": ["red.jpg", "green.jpg"], "label": [0, 1], "predicted": [1, 1], "confidence": [0.625, 0.75]},
            **{"png": [png(RED), png(GREEN)], "attention": [LOOK if looks else None] * 2},
            **{"rows": [2 if looks else None] * 2, "columns": [3 if looks else None] * 2},
        }
        pq.write_table(pa.table(columns), folder / "faces.parquet")
