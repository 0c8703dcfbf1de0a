"""An object store that goes away for a while, under a sweep whose driver is killed, too."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ablation.paths import RunPaths
from ablation.store import located
from tests.chaos import checks
from tests.chaos.processes import Driver, event_count, start_driver, wait_for_events
from tests.support.object_store import BUCKET, Line, line_to, served, settings

AWAY_S = 20.0
ROUND_TRIP_S = 0.05
EVENTS_BETWEEN = 40
# What the clock decides, and the kills.
TIMES = ["wall_s", "images_per_s", "checkpoint", "removed_checkpoint", "attempts"]


def lose_the_store(folder: Path, seed: int) -> dict[str, Any]:
    """Cut the line to the store for 20 s in mid-sweep, kill the driver with its Ray, resume elsewhere, cut it again."""
    # Epochs long enough for the store to be away in the middle of a sweep; one trial at a time, so that rungs meet the
    # trials in one order and both studies must come out the same.
    options = ("--seed", str(seed), "--set", "chaos.rounds=20", "--max-concurrent", "1")
    plain = RunPaths(folder / "plain")
    faults = [] if start_driver(plain, *options).wait() == 0 else ["the study on the disk did not end well"]
    with served() as endpoint, line_to(endpoint, ROUND_TRIP_S) as line, in_environment(settings(line.endpoint)):
        paths = RunPaths(located(f"{BUCKET}/runs/away"))
        first, second = ({"ABLATION_CACHE": str(folder / machine)} for machine in ("first", "second"))
        driver = start_driver(paths, *options, beside=folder, environment=first)
        faults += ride_out(line, paths, driver)
        driver.kill_all()
        faults += checks.rung_faults(paths)
        driver = start_driver(paths, *options, beside=folder, environment=second)
        faults += ride_out(line, paths, driver)
        code = driver.wait()
        faults += [f"exit code {code}: {driver.reported[-500:]}"] if code else []
        faults += checks.final_faults(paths)
        again, differing = checks.rerun_faults(paths, 20, seed)
        there, here = (checks.table(run.trials).drop(columns=TIMES) for run in (paths, plain))
    if not there.equals(here):
        faults.append(f"differs from the same study on the disk: {here.compare(there).to_dict()}")
    return {
        "away_s": 2 * AWAY_S,
        "round_trip_ms": 1000 * ROUND_TRIP_S,
        "rerun_to_the_bit": again,
        "faults": faults + differing,
    }


def ride_out(line: Line, paths: RunPaths, driver: Driver) -> list[str]:
    """Let the store be away in mid-sweep; return faults: the sweep has to go on then."""
    if not wait_for_events(paths, event_count(paths) + EVENTS_BETWEEN, driver):
        return [f"ended before the store was away: {driver.reported[-500:]}"]
    before = event_count(paths)
    line.cut()
    time.sleep(AWAY_S)
    is_alive = driver.process.poll() is None
    line.mend()
    if not is_alive:
        return [f"did not live through {AWAY_S:g} s without the store: {driver.reported[-500:]}"]
    wait_for_events(paths, before + EVENTS_BETWEEN, driver)
    return []


@contextlib.contextmanager
def in_environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Let this process, and those that it starts, have further variables."""
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
