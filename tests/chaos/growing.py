"""Clusters that grow and shrink while a sweep runs: by Ray's autoscaler from no worker at all, or by hand."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ablation.ledger.events import Started
from ablation.ledger.log import read_events
from ablation.paths import RunPaths
from tests.chaos import checks
from tests.chaos.host_provider import HEAD, JOURNAL, WORKER
from tests.chaos.nodes import BRIDGE, NETWORK, PORT, Difference, hosts, kill_marked, start_node
from tests.chaos.processes import ROOT, Driver, marked, start_driver, wait_until

WORKERS = (2, 3, 4)
IDLE_MINUTES = 0.2
LEAVE_MOST_S = 120.0  # of a machine that does other things beside
TIMES = 10
COMMANDS = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")


def scale_from_zero(folder: Path, seed: int) -> dict[str, Any]:
    """Start a sweep on a cluster without a worker: nodes come, one is killed, another joins, all go at the end."""
    with hosts((1, *WORKERS)) as marks, _autoscaled(folder, marks):
        paths, driver = _start(folder, seed, "--max-nodes", str(len(WORKERS)), rounds=12)
        wait_until(lambda: len(_nodes_at_work(paths)) >= 2, driver)
        victim = _nodes_at_work(paths)[-1]
        killed = kill_marked(marks[int(victim.rpartition(".")[2])])
        code = driver.wait(1200)
        gone_s, left = _until_gone(marks)
    journal = (folder / JOURNAL).read_text().splitlines()
    faults = checks.final_faults(paths) if code == 0 else [f"exit code {code}: {driver.reported[-1500:]}"]
    faults += left
    faults += ["no node was lost and replaced"] if len(_joined(journal)) <= len(set(_joined(journal))) else []
    faults += ["nothing was said while there was no node"] if "asked the cluster for" not in driver.reported else []
    used_s = _seconds_to_use(paths, journal)
    found = {"processes_killed": killed, "journal": journal, "nodes": _nodes_at_work(paths)}
    return {**found, "joined_to_first_trial_s": used_s, "all_gone_s": gone_s, "faults": faults}


def lose_the_driver(folder: Path, seed: int) -> dict[str, Any]:
    """Kill the driver of a sweep that has nodes: they leave without it, and come again when it goes on."""
    with hosts((1, *WORKERS)) as marks, _autoscaled(folder, marks):
        paths, driver = _start(folder, seed, "--max-nodes", str(len(WORKERS)), rounds=12)
        wait_until(lambda: len(_nodes_at_work(paths)) >= 2, driver)
        driver.kill_alone()
        killed_gone_s, faults = _until_gone(marks)
        _, driver = _start(folder, seed, "--max-nodes", str(len(WORKERS)), rounds=12)
        code = driver.wait(1200)
        gone_s, left = _until_gone(marks)
    faults += left + (checks.final_faults(paths) if code == 0 else [f"exit code {code}: {driver.reported[-1500:]}"])
    return {"all_gone_s": [killed_gone_s, gone_s], "faults": faults}


def join_and_leave(folder: Path, seed: int) -> dict[str, Any]:
    """Let a node join a sweep and be killed, ten times; another one stays."""
    used = 0
    with hosts() as marks:
        start_node(folder, 1, marks[1], cpus=0)
        start_node(folder, 2, marks[2])
        paths, driver = _start(folder, seed, rounds=30)
        while used < TIMES and driver.process.poll() is None:
            before = _starts(paths, 3)
            start_node(folder, 3, marks[3])
            used += wait_until(partial(_has_started_since, paths, 3, before), driver)
            kill_marked(marks[3])
        code = driver.wait(1800)
    faults = checks.final_faults(paths) if code == 0 else [f"exit code {code}: {driver.reported[-1500:]}"]
    faults += [f"the sweep ended when the node had joined {used} of {TIMES} times"] if used < TIMES else []
    return {"joined": used, "faults": faults}


def share_a_cluster(folder: Path, seed: int) -> dict[str, Any]:
    """Start a second study on a cluster that the first has taken all of: both get a part, and each says so."""
    with hosts((1, 2)) as marks:
        start_node(folder, 1, marks[1], cpus=0)
        start_node(folder, 2, marks[2], cpus=2)
        first, first_driver = _start(folder, seed, rounds=30)
        wait_until(partial(_has_started_since, first, 2, 2), first_driver)
        second, second_driver = _start(folder, seed, rounds=30, name="second")
        codes = [driver.wait(1800) for driver in (first_driver, second_driver)]
    faults = []
    for paths, driver, code in zip((first, second), (first_driver, second_driver), codes, strict=True):
        faults += checks.final_faults(paths) if code == 0 else [f"exit code {code}: {driver.reported[-1500:]}"]
        faults += [] if "another study has" in driver.reported else [f"{paths.root.name} says nothing of the other"]
    spans = [[event.unix_s for event in read_events(paths.ledger) if event.trial_id] for paths in (first, second)]
    waited_s, alone_s = spans[1][0] - spans[0][0], spans[0][-1] - spans[0][0]
    faults += ["the second study began when the first had ended"] if waited_s >= alone_s else []
    return {"second_began_after_s": round(waited_s), "first_took_s": round(alone_s), "faults": faults}


def _start(folder: Path, seed: int, *options: str, rounds: int, name: str = "growing") -> tuple[RunPaths[Path], Driver]:
    paths = RunPaths(folder / name)
    driver = start_driver(
        paths, "--address", f"{NETWORK}.1:{PORT}", "--seed", str(seed), "--gpus-per-trial", "0",
        "--set", f"chaos.rounds={rounds}", *options, netns=f"{BRIDGE}1",
    )  # fmt: skip
    return paths, driver


@contextlib.contextmanager
def _autoscaled(folder: Path, marks: dict[int, str]) -> Iterator[None]:
    """Start a head with Ray's autoscaler, and no worker."""
    group = {"node_config": {}, "resources": {"CPU": 1}, "min_workers": 0, "max_workers": len(WORKERS)}
    configuration = {
        "cluster_name": "growing",
        "max_workers": len(WORKERS),
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": IDLE_MINUTES,
        "provider": {
            "type": "external",
            "module": "tests.chaos.host_provider.HostProvider",
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "folder": str(folder),
            "marks": {str(host): marks[host] for host in WORKERS},
        },
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
        **{f"{when}_commands": [] for when in COMMANDS},
        "available_node_types": {
            HEAD: {"node_config": {}, "resources": {"CPU": 0}, "max_workers": 0},
            WORKER: group,
        },
        "head_node_type": HEAD,
    }
    file = folder / "cluster.json"
    file.write_text(json.dumps(configuration))
    settings = {"PYTHONPATH": str(ROOT), "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    options = [f"--autoscaling-config={file}"]
    start_node(folder, 1, marks[1], Difference(environment=settings), cpus=0, options=options)
    yield


def _until_gone(marks: dict[int, str]) -> tuple[float, list[str]]:
    """Wait until the autoscaler has let all workers go; return the seconds, and which stay as faults."""
    began = time.monotonic()
    while left := [host for host in WORKERS if marked(marks[host])]:
        if time.monotonic() - began > LEAVE_MOST_S:
            break
        time.sleep(0.5)
    faults = [f"host {host} is still there after {LEAVE_MOST_S:g} s" for host in left]
    return round(time.monotonic() - began, 1), faults


def _nodes_at_work(paths: RunPaths[Path]) -> list[str]:
    """List the nodes on which trials began, in the order of their first."""
    events = read_events(paths.ledger) if paths.ledger.exists() else []
    return list(dict.fromkeys(str(event.what.node) for event in events if isinstance(event.what, Started)))


def _has_started_since(paths: RunPaths[Path], host: int, starts: int) -> bool:
    return _starts(paths, host) > starts


def _starts(paths: RunPaths[Path], host: int) -> int:
    events = read_events(paths.ledger) if paths.ledger.exists() else []
    return sum(isinstance(event.what, Started) and event.what.node == f"{NETWORK}.{host}" for event in events)


def _seconds_to_use(paths: RunPaths[Path], journal: list[str]) -> list[float]:
    """List how long after each join of a node the next trial began on it."""
    starts = [(event.unix_s, event.what.node) for event in read_events(paths.ledger) if isinstance(event.what, Started)]
    ups = [line.split()[:2] for line in journal if line.endswith("is up")]
    after = [[at - float(up) for at, where in starts if where == node and at > float(up)] for up, node in ups]
    return [round(min(seconds), 1) for seconds in after if seconds]


def _joined(journal: list[str]) -> list[str]:
    return [line.split()[1] for line in journal if line.endswith("is up")]
