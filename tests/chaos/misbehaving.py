"""Trials that go wrong, and a driver that is asked to stop: counted, with reasons, and going on."""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ablation.ledger.log import read_events
from ablation.paths import RunPaths
from analysis.audit.checks import audit
from tests.chaos import checks
from tests.chaos.processes import event_count, kill, start_driver, wait_for_events, wait_until
from tests.chaos.turned_clock import AFTER_S

ENDINGS = {
    "nan": ("diverged", "train_loss not finite in epoch 2", ""),
    "none": ("failed", "val_accuracy'? is None", ""),
    "raise": ("failed", "ArithmeticError: asked to", "ArithmeticError: asked to"),
    "memory": ("failed", "^MemoryError: asked to", "MemoryError: asked to"),
    "hang": ("failed", "no epoch within 4 s", "Timeout"),
}


def misbehave(folder: Path, how: str, seed: int) -> dict[str, Any]:
    """Run a study whose trials all go wrong in their second epoch."""
    paths = RunPaths(folder / f"trials-{how}")
    options = ("--set", f"chaos.misbehave={how}", "--arms", "reference", "--trials", "1", "--seed", str(seed))
    driver = start_driver(paths, *options, "--watchdog-minutes", str(4 / 60))
    code = driver.wait()
    status, reason, logged = ENDINGS[how]
    trials = pd.read_parquet(paths.trials)
    search = trials[trials["phase"] == "search"]
    faults = audit(paths.root) + ([] if code == 1 else [f"exit code {code}: {driver.reported[-500:]}"])
    for row in search.itertuples():
        if row.status != status or not re.search(reason, str(row.reason)) or int(str(row.epochs_trained)) > 2:
            faults.append(f"{row.trial_id} is {row.status} after {row.epochs_trained} epochs: {row.reason}")
        if logged not in paths.log(str(row.trial_id)).read_text():
            faults.append(f"{row.trial_id}: its log lacks {logged!r}")
    confirm = trials[trials["phase"] == "confirm"]
    faults += [f"{row.trial_id}: {row.reason}" for row in confirm.itertuples() if row.reason != "no_survivor"]
    return {"faults": faults}


def interrupt(folder: Path, number: int, seed: int, send: Callable[[int, int], None] = kill) -> dict[str, Any]:
    """Ask a driver, or with ``os.killpg`` all processes of its group, to stop: within 10 s it ends with 130.

    It has said how to go on, and what it has is in the tables.
    """
    paths = RunPaths(folder / f"interrupted-{number}")
    driver = start_driver(paths, "--seed", str(seed))
    wait_for_events(paths, 40, driver)
    asked = time.monotonic()
    send(driver.process.pid, number)
    code = driver.wait()
    took_s = time.monotonic() - asked
    faults = [] if code == 130 else [f"exit code {code}"]
    faults += [] if paths.trials.is_file() else ["there are no tables"]
    faults += [] if "go on with: " in driver.reported else [f"does not say how to go on: {driver.reported[-500:]}"]
    faults += [] if took_s <= 10 else [f"took {took_s:.1f} s"]
    resumed = start_driver(paths, "--seed", str(seed))
    faults += [f"resumed with exit code {resumed.process.returncode}"] if resumed.wait() else []
    return {
        "signal": signal.Signals(number).name,
        "took_s": round(took_s, 1),
        "faults": faults + checks.final_faults(paths),
    }


def set_clock_back(folder: Path, seed: int) -> dict[str, Any]:
    """Set the driver's clock back an hour in mid-sweep, kill it, and resume with a clock that is right."""
    paths = RunPaths(folder / "clock")
    options = ("--seed", str(seed))
    driver = start_driver(paths, *options, program="tests.chaos.turned_clock", environment={AFTER_S: "9"})
    is_killed = wait_until(lambda: _goes_back(paths), driver) and wait_for_events(
        paths, event_count(paths) + 20, driver
    )
    driver.kill_all()
    faults = [] if is_killed else ["the driver had ended before its clock was set back and it was killed"]
    faults += checks.rung_faults(paths)
    resumed = start_driver(paths, *options)
    faults += [f"resumed with exit code {resumed.process.returncode}"] if resumed.wait() else []
    count, differing = checks.rerun_faults(paths, 20, seed)
    return {"rerun_to_the_bit": count, "faults": faults + differing + checks.final_faults(paths)}


def _goes_back(paths: RunPaths[Path]) -> bool:
    """Return whether an event on disk has an earlier time than the one before it."""
    try:
        times = [event.unix_s for event in read_events(paths.ledger)]
    except FileNotFoundError:  # compacted while it was being read
        return False
    return any(later < earlier for earlier, later in pairwise(times))


def lose_an_image(folder: Path, seed: int) -> dict[str, Any]:
    """Remove a picture, and the decoded data, once the study is planned: its trials fail, counted and with a reason."""
    paths, pictures, cache = RunPaths(folder / "vanished"), folder / "pictures", folder / "cache"
    _draw_pictures(pictures, seed)
    options = ("--data", f"folder:{pictures}", "--arms", "reference", "--replicates", "2", "--trials", "1")
    driver = start_driver(paths, *options, "--epochs", "2", space="tcl", environment={"ABLATION_CACHE": str(cache)})
    wait_until(paths.study.is_file, driver)
    (pictures / "train" / "left" / "3.png").unlink()
    shutil.rmtree(cache)
    code = driver.wait()
    trials = pd.read_parquet(paths.trials)
    faults = audit(paths.root) + ([] if code == 1 else [f"exit code {code}: {driver.reported[-500:]}"])
    for row in trials[trials["phase"] == "search"].itertuples():
        if row.status != "failed" or "has changed since the study was planned" not in str(row.reason):
            faults.append(f"{row.trial_id} is {row.status}: {row.reason}")
        if "Traceback" not in paths.log(str(row.trial_id)).read_text():
            faults.append(f"{row.trial_id}: its log lacks the traceback")
    return {"reasons": sorted(set(trials["reason"])), "faults": faults}


def _draw_pictures(folder: Path, seed: int) -> None:
    """Write noise as a data set of two classes, in the layout of ``folder:``."""
    rng = np.random.default_rng(seed)
    for part, count in (("train", 40), ("test", 10)):
        for name in ("left", "right"):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels_HWC = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
                Image.fromarray(pixels_HWC).save(folder / part / name / f"{number}.png")


def two_drivers(folder: Path, seed: int) -> dict[str, Any]:
    """Start a second driver on a run at work: the first notices and quits, the second finishes."""
    paths = RunPaths(folder / "two-drivers")
    options = ("--seed", str(seed), "--replicates", "12")  # long enough to be overtaken
    first = start_driver(paths, *options)
    wait_for_events(paths, 20, first)
    second = start_driver(paths, *options)
    codes = first.wait(), second.wait()
    faults = [] if codes[1] == 0 else [f"the second ended with {codes[1]}: {second.reported[-500:]}"]
    faults += [] if codes[0] not in (0, 130) else [f"the first ended with {codes[0]}"]
    faults += (
        [] if "has taken over" in first.reported and "Traceback" not in first.reported else [first.reported[-800:]]
    )
    return {"exit_codes": codes, "faults": faults + checks.final_faults(paths)}
