"""A cluster of three hosts on one machine (network namespaces), one of which is lost in mid-sweep."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ablation.paths import RunPaths
from tests.chaos import checks
from tests.chaos.processes import MARK, kill, marked, spawn, start_driver, wait_for_events

BRIDGE, NETWORK, PORT = "ablchaos", "10.77.0", 26380
HOSTS = (1, 2, 3)


def lose_a_node(folder: Path, seed: int) -> dict[str, Any]:
    """Kill every process of the third host once the sweep is under way; the other two must finish it."""
    with hosts() as marks, _ray_nodes(folder, marks):
        paths = RunPaths(folder / "nodes")
        driver = start_driver(paths, "--address", f"{NETWORK}.1:{PORT}", "--seed", str(seed), netns=f"{BRIDGE}1")
        wait_for_events(paths, 60, driver)
        lost = _kill_marked(marks[3])
        code = driver.wait()
    faults = checks.final_faults(paths)
    faults += [f"exit code {code}: {driver.reported[-500:]}"] if code else []
    return {"processes_killed": lost, "faults": faults}


@contextlib.contextmanager
def hosts() -> Iterator[dict[int, str]]:
    """Make three network namespaces on a bridge; yield a mark for the processes of each."""
    _remove_hosts()
    _ip(f"link add {BRIDGE} type bridge")
    _ip(f"link set {BRIDGE} up")
    for host in HOSTS:
        name = f"{BRIDGE}{host}"
        _ip(f"netns add {name}")
        _ip(f"link add {name} type veth peer name eth0 netns {name}")
        _ip(f"link set {name} master {BRIDGE} up")
        _ip(f"-n {name} addr add {NETWORK}.{host}/24 dev eth0")
        _ip(f"-n {name} link set eth0 up")
        _ip(f"-n {name} link set lo up")
    marks = {host: uuid.uuid4().hex for host in HOSTS}
    try:
        yield marks
    finally:
        for mark in marks.values():
            _kill_marked(mark)
        _remove_hosts()


@contextlib.contextmanager
def _ray_nodes(folder: Path, marks: dict[int, str]) -> Iterator[None]:
    ray = str(Path(sys.executable).parent / "ray")
    for host in HOSTS:
        address = f"{NETWORK}.{host}"
        place = ["--head", f"--port={PORT}"] if host == 1 else [f"--address={NETWORK}.1:{PORT}"]
        command = [
            ray, "start", *place, f"--node-ip-address={address}", "--num-cpus=1", "--disable-usage-stats",
            "--object-store-memory=134217728",
        ]  # fmt: skip
        command += ["--include-dashboard=false"] if host == 1 else []
        log = folder / f"node-{host}.log"
        if spawn(command, log, f"{BRIDGE}{host}", {MARK: marks[host]}).wait(180):
            raise RuntimeError(log.read_text())
    yield


def _kill_marked(mark: str) -> int:
    killed: set[int] = set()
    while pids := [pid for pid in marked(mark) if pid != os.getpid()]:
        for pid in pids:
            kill(pid)
            killed.add(pid)
        time.sleep(0.1)
    return len(killed)


def _remove_hosts() -> None:
    for host in HOSTS:
        subprocess.run(["ip", "netns", "del", f"{BRIDGE}{host}"], capture_output=True, check=False)
    subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True, check=False)


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)
