"""Disks that fill up or turn read-only under a sweep: a clear error, and after the cure everything goes on."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ablation.paths import RunPaths
from tests.chaos import checks
from tests.chaos.processes import start_driver, wait_for_events

TINY = {"ledger": "48k", "checkpoints": "24k"}
ROOMY = "200m"


UNMOUNT_MOST_S = 30.0


def full_disk(folder: Path, seed: int, where: str) -> dict[str, Any]:
    """Let the ledger, or the checkpoints, of a run lie on a tiny file system; then give it room."""
    paths = RunPaths(folder / f"full-{where}")
    start_driver(paths, "--seed", str(seed), "--max-hours", "1e-9").wait()
    (paths.root / where).mkdir(exist_ok=True)
    with _small_disk(paths.root / where, TINY[where]):
        driver = start_driver(paths, "--seed", str(seed))
        code = driver.wait()
        faults = _refusal_faults(code, driver.reported, "No space left on device")
        subprocess.run(["mount", "-o", f"remount,size={ROOMY}", str(paths.root / where)], check=True)
        return {"exit_code": code, "faults": faults + _resumed_faults(paths, seed)}


def read_only(folder: Path, seed: int) -> dict[str, Any]:
    """Remount the run directory read-only in mid-sweep (permissions mean nothing to root); then make it writable."""
    paths = RunPaths(folder / "read-only")
    driver = start_driver(paths, "--seed", str(seed))
    wait_for_events(paths, 40, driver)
    subprocess.run(["mount", "--bind", str(paths.root), str(paths.root)], check=True)
    try:
        # A bind mount over a folder in use: paths opened from now on go through it.
        subprocess.run(["mount", "-o", "remount,ro,bind", str(paths.root)], check=True)
        code = driver.wait()
        faults = _refusal_faults(code, driver.reported, "Read-only file system")
    finally:
        _unmount(paths.root)
    return {"exit_code": code, "faults": faults + _resumed_faults(paths, seed)}


def _unmount(folder: Path) -> None:
    """Unmount a folder, which workers may hold for a moment after their driver has ended."""
    deadline = time.monotonic() + UNMOUNT_MOST_S
    while subprocess.run(["umount", str(folder)], check=False, capture_output=True).returncode:
        if time.monotonic() > deadline:
            subprocess.run(["umount", str(folder)], check=True)
        time.sleep(0.5)


def _refusal_faults(code: int, reported: str, why: str) -> list[str]:
    faults = [f"ended with exit code {code}: {reported[-500:]}"] if code in (0, 130) else []
    faults += [f"does not say {why!r}: {reported[-500:]}"] if why not in reported else []
    faults += [f"does not say how to go on: {reported[-500:]}"] if "--resume" not in reported else []
    return faults + ([f"a traceback: {reported[-2000:]}"] if "Traceback" in reported else [])


def _resumed_faults(paths: RunPaths[Path], seed: int) -> list[str]:
    driver = start_driver(paths, "--seed", str(seed))
    code = driver.wait()
    return ([f"resumed with exit code {code}: {driver.reported[-500:]}"] if code else []) + checks.final_faults(paths)


@contextlib.contextmanager
def _small_disk(place: Path, size: str) -> Iterator[None]:
    kept = place.with_name(f"{place.name}-kept")
    shutil.copytree(place, kept)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "chaos", str(place)], check=True)
    shutil.copytree(kept, place, dirs_exist_ok=True)
    shutil.rmtree(kept)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)
