"""SIGKILL: of the driver with its Ray, of the driver alone on a cluster that lives on, of single workers."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ablation.paths import RunPaths
from tests.chaos import checks
from tests.chaos.processes import (
    MARK,
    Driver,
    epoch_times,
    event_count,
    kill,
    marked,
    spawn,
    start_driver,
    wait_for_events,
)

HITS_PER_TRIAL = 2  # below the retries that the engine grants
PORT = 26379
NO_START = "Ray did not start"  # in the 30 s that it gives itself: a busy machine


def kill_with_ray(folder: Path, kills: int, seed: int, options: tuple[str, ...] = ()) -> dict[str, Any]:
    """Kill the driver and all its Ray processes at random moments, the start-up included, and resume each time."""
    return _kill_and_resume(folder, kills, seed, options, Driver.kill_all)


def kill_driver_alone(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill the driver alone; the cluster, and for a while its actors, live on while the next driver resumes."""
    with cluster(folder) as address:
        return _kill_and_resume(folder, kills, seed, ("--address", address), Driver.kill_alone)


def kill_workers(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill single workers of running sweeps, one after the other."""
    rng, faults, done, studies = random.Random(seed), [], 0, 0
    while done < kills:
        paths = RunPaths(folder / f"workers-{studies}")
        driver = start_driver(paths, "--seed", str(seed + studies))
        studies += 1
        hits: Counter[str] = Counter()
        while done < kills:
            seen = event_count(paths) + rng.randint(2, 25)
            if not wait_for_events(paths, seen, driver):
                break
            victims = [(pid, trial) for pid, trial in _at_work(driver) if hits[trial] < HITS_PER_TRIAL]
            if victims:
                pid, trial = rng.choice(victims)
                kill(pid)
                hits[trial] += 1
                done += 1
        code = driver.wait()
        faults += [f"{paths.root.name}: exit code {code}"] if code else []
        faults += checks.final_faults(paths)
    return {"kills": done, "studies": studies, "faults": faults}


def _kill_and_resume(folder: Path, kills: int, seed: int, options: tuple[str, ...], strike: Any) -> dict[str, Any]:
    rng, faults, done, studies = random.Random(seed), [], 0, 0
    worked_s = plain_s = 0.0
    rerun_count = 0
    while done < kills:
        paths = RunPaths(folder / f"run-{studies}")
        # Epochs long enough for the time that a kill costs to be seen beside that of training.
        study_options = (*options, "--seed", str(seed + studies), "--set", "chaos.rounds=20")
        ends: list[float] = []
        while True:
            driver = start_driver(paths, *study_options)
            if done == kills or not _wait_a_while(driver, paths, rng):
                code = driver.wait()
                if code and NO_START in driver.reported:
                    continue
                faults += [f"{paths.root.name}: exit code {code}: {driver.reported[-300:]}"] if code else []
                break
            strike(driver)
            ends.append(time.time())
            done += 1
            faults += checks.rung_faults(paths) if paths.study.exists() else []
        faults += checks.final_faults(paths)
        again, differing = checks.rerun_faults(paths, 20, seed)
        rerun_count += again
        faults += differing
        plain = RunPaths(folder / f"plain-{studies}")
        start_driver(plain, *study_options).wait()
        worked_s += _worked_s(paths, ends)
        plain_s += _worked_s(plain, [])
        studies += 1
    return {
        "kills": done, "studies": studies, "faults": faults, "rerun_to_the_bit": rerun_count,
        "time_ratio": round(worked_s / plain_s, 2),
    }  # fmt: skip


def _wait_a_while(driver: Driver, paths: RunPaths[Path], rng: random.Random) -> bool:
    """Wait for a random moment; False where the driver ended before it."""
    if rng.random() < 0.2:
        time.sleep(rng.uniform(0, 8))  # anywhere in the start-up
        return driver.process.poll() is None
    if not wait_for_events(paths, event_count(paths) + rng.randint(5, 120), driver):
        return False
    time.sleep(rng.uniform(0, 1))  # anywhere between two flushes
    return driver.process.poll() is None


def _worked_s(paths: RunPaths[Path], ends: list[float]) -> float:
    """Add up the time from each session's first epoch to its end: without start-ups."""
    first: dict[int, float] = {}
    last: dict[int, float] = {}
    for session, unix_s in epoch_times(paths):
        first.setdefault(session, unix_s)
        last[session] = unix_s
    total = 0.0
    for session, began in first.items():
        end = next((end for end in ends if end >= last[session]), last[session])
        total += end - began
    return total


def _at_work(driver: Driver) -> Iterator[tuple[int, str]]:
    """Yield the workers that are in an epoch, with the trial whose log they hold open."""
    for pid in driver.running("ray::"):
        with contextlib.suppress(OSError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                target = link.readlink()
                if target.parent.name == "logs" and target.suffix == ".txt" and ".hang" not in target.name:
                    yield pid, target.stem
                    break


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Start a Ray head of its own, which outlives drivers; yield its address."""
    mark = uuid.uuid4().hex
    ray = Path(sys.executable).parent / "ray"
    head = spawn(
        [str(ray), "start", "--head", f"--port={PORT}", "--num-cpus=2", "--include-dashboard=false",
         "--object-store-memory=268435456", "--disable-usage-stats"],
        folder / "head.log", environment={MARK: mark},
    )  # fmt: skip
    if head.wait(180):
        raise RuntimeError((folder / "head.log").read_text())
    try:
        yield f"127.0.0.1:{PORT}"
    finally:
        while pids := [pid for pid in marked(mark) if pid != os.getpid()]:
            for pid in pids:
                kill(pid)
            time.sleep(0.1)
