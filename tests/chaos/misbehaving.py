"""Trials that go wrong, and a driver that is asked to stop: counted, with reasons, and going on."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path
from typing import Any

import pandas as pd

from ablation.paths import RunPaths
from analysis.audit import audit
from tests.chaos import checks
from tests.chaos.processes import kill, start_driver, wait_for_events

ENDINGS = {
    "nan": ("diverged", "train_loss not finite in epoch 2", ""),
    "none": ("failed", "val_accuracy'? is None", ""),
    "raise": ("failed", "ArithmeticError: asked to", "ArithmeticError: asked to"),
    "memory": ("failed", r"worker lost \d times", "MemoryError: asked to"),
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
    faults = audit(paths.root) + ([] if code == 1 else [f"exit code {code}: {driver.told[-500:]}"])
    for row in search.itertuples():
        if row.status != status or not re.search(reason, str(row.reason)) or int(str(row.epochs_trained)) > 2:
            faults.append(f"{row.trial_id} is {row.status} after {row.epochs_trained} epochs: {row.reason}")
        if logged not in paths.log(str(row.trial_id)).read_text():
            faults.append(f"{row.trial_id}: its log lacks {logged!r}")
    confirm = trials[trials["phase"] == "confirm"]
    faults += [f"{row.trial_id}: {row.reason}" for row in confirm.itertuples() if row.reason != "no_survivor"]
    return {"faults": faults}


def interrupt(folder: Path, number: int, seed: int) -> dict[str, Any]:
    """Ask a driver to stop: within 10 s it ends with 130, having said how to go on."""
    paths = RunPaths(folder / f"interrupted-{number}")
    driver = start_driver(paths, "--seed", str(seed))
    wait_for_events(paths, 40, driver)
    asked = time.monotonic()
    kill(driver.process.pid, number)
    code = driver.wait()
    took_s = time.monotonic() - asked
    faults = [] if code == 130 else [f"exit code {code}"]
    faults += [] if "--resume" in driver.told else [f"does not say how to go on: {driver.told[-500:]}"]
    faults += [] if took_s <= 10 else [f"took {took_s:.1f} s"]
    resumed = start_driver(paths, "--seed", str(seed))
    faults += [f"resumed with exit code {resumed.process.returncode}"] if resumed.wait() else []
    return {
        "signal": signal.Signals(number).name,
        "took_s": round(took_s, 1),
        "faults": faults + checks.final_faults(paths),
    }


def two_drivers(folder: Path, seed: int) -> dict[str, Any]:
    """Start a second driver on a run at work: the first notices and quits, the second finishes."""
    paths = RunPaths(folder / "two-drivers")
    options = ("--seed", str(seed), "--replicates", "12")  # long enough to be overtaken
    first = start_driver(paths, *options)
    wait_for_events(paths, 20, first)
    second = start_driver(paths, *options)
    codes = first.wait(), second.wait()
    faults = [] if codes[1] == 0 else [f"the second ended with {codes[1]}: {second.told[-500:]}"]
    faults += [] if codes[0] not in (0, 130) else [f"the first ended with {codes[0]}"]
    faults += [] if "has taken over" in first.told and "Traceback" not in first.told else [first.told[-800:]]
    return {"exit_codes": codes, "faults": faults + checks.final_faults(paths)}
