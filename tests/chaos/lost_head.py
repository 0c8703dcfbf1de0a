"""The head of a cluster is lost, and the cluster with it: the study goes on at a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ablation.paths import RunPaths
from tests.chaos import checks
from tests.chaos.nodes import BRIDGE, NETWORK, PORT, hosts, kill_marked, ray_nodes
from tests.chaos.processes import Driver, start_driver, wait_for_events


def lose_the_head(folder: Path, seed: int) -> dict[str, Any]:
    """Kill the head of a cluster under a driver on another node; it must end in order, and another cluster go on."""
    paths = RunPaths(folder / "head")
    with hosts() as marks, ray_nodes(folder, marks):
        driver = _start(paths, seed)
        wait_for_events(paths, 60, driver)
        killed = kill_marked(marks[1])
        code, said = driver.wait(300), driver.reported
    faults = checks.rung_faults(paths)
    faults += [] if code == 1 and "go on with: " in said else [f"exit code {code}: {said[-1500:]}"]
    with hosts() as marks, ray_nodes(folder, marks):
        driver = _start(paths, seed)
        code = driver.wait()
    faults += checks.final_faults(paths) if code == 0 else [f"exit code {code}: {driver.reported[-1500:]}"]
    again, differing = checks.rerun_faults(paths, 20, seed)
    return {"processes_killed": killed, "rerun_to_the_bit": again, "faults": faults + differing}


def _start(paths: RunPaths[Path], seed: int) -> Driver:
    options = ("--address", f"{NETWORK}.1:{PORT}", "--seed", str(seed))
    return start_driver(paths, *options, netns=f"{BRIDGE}2")
