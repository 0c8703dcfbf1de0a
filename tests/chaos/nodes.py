"""A cluster of three hosts on one machine (network namespaces): one is lost in mid-sweep, or some cannot run trials."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ablation.paths import RunPaths
from tests.chaos import checks
from tests.chaos.processes import MARK, kill, marked, spawn, start_driver, wait_for_events

BRIDGE, NETWORK, PORT = "ablchaos", "10.77.0", 26380
HOSTS = (1, 2, 3)
START_TRIES = 5  # Ray gives itself 30 s to start, which it does not keep on a busy machine
HERE = f"{NETWORK}.254"  # this machine, as hosts see it


def lose_a_node(folder: Path, seed: int) -> dict[str, Any]:
    """Kill every process of the third host once the sweep is under way; the other two must finish it."""
    with hosts() as marks, ray_nodes(folder, marks):
        paths = RunPaths(folder / "nodes")
        driver = start_driver(paths, "--address", f"{NETWORK}.1:{PORT}", "--seed", str(seed), netns=f"{BRIDGE}1")
        wait_for_events(paths, 60, driver)
        lost = kill_marked(marks[3])
        code = driver.wait()
    faults = checks.final_faults(paths)
    faults += [f"exit code {code}: {driver.reported[-500:]}"] if code else []
    return {"processes_killed": lost, "faults": faults}


STUDY = """
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablation import EpochRecord, Space, TrialContext
from ablation.faults import FaultsError
from pydantic import BaseModel
from tests.chaos.trial import SPACE as CHAOS, ChaosConfig, run_trial as train

class Summary(BaseModel):
    uri: str
    fingerprint: str = "0"

def prepare(uri: str, config: ChaosConfig) -> Summary:
    look_for_data(uri, {})
    return Summary(uri=uri)

def look_for_data(uri: str, planned: Mapping[str, Any]) -> None:
    if not Path(uri).is_file():
        raise FaultsError([f"{uri} is not here"])

def run_trial(config: ChaosConfig, context: TrialContext):
    yield from train(config, context)

SPACE = CHAOS.model_copy(update={"trial": "study:run_trial", "dataset": "study:prepare"})
"""


def refuse_nodes(folder: Path, seed: int) -> dict[str, Any]:
    """Let one host have a private run folder and another torch, one no data: they get no trial.

    The third has the study's file in another version, and runs the driver's.
    """
    study, runs, data = (folder / name for name in ("study", "runs", "data"))
    for place in (study, runs, data, folder / "edited", folder / "installed/torch-0.0.dist-info"):
        place.mkdir(parents=True)
    (study / "study.py").write_text(STUDY)
    (folder / "edited/study.py").write_text(f"{STUDY}# edited\n")
    (data / "pictures").write_text("some")
    (folder / "installed/torch-0.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 0.0\n")
    differences = {
        1: Difference(f"mount --bind {folder / 'edited'} {study}"),
        2: Difference(f"mount -t tmpfs none {runs}", {"PYTHONPATH": str(folder / "installed")}),
        3: Difference(f"mount -t tmpfs none {data}"),
    }
    with hosts() as marks, ray_nodes(folder, marks, differences):
        paths = RunPaths(runs / "preflight")
        driver = start_driver(
            paths, "--address", f"{NETWORK}.1:{PORT}", "--seed", str(seed), "--data", str(data / "pictures"),
            "--log-format", "json", netns=f"{BRIDGE}1", space=str(study / "study.py"),
        )  # fmt: skip
        code = driver.wait()
    lines = [json.loads(line) for line in driver.reported.splitlines() if line.startswith("{")]
    said = {line["node"]: [fault["what"] for fault in line["faults"]] for line in lines if line["kind"] == "node"}
    faults = checks.final_faults(paths) if code == 0 else [f"exit code {code}: {driver.reported[-500:]}"]
    expected: dict[int, list[str]] = {
        1: [],
        2: [f"{paths.root} is not the driver's there", "torch 0.0"],
        3: [f"{data}/pictures is not here"],
    }
    for host, words in expected.items():
        found = said.get(f"{NETWORK}.{host}")
        if found is None or len(found) != len(words) or any(word not in " ".join(found) for word in words):
            faults.append(f"host {host}: {found}, but expected {words}")
    faults += ["the preflight's folder is left"] if paths.preflight.exists() else []
    return {"said": said, "faults": faults}


@dataclass(frozen=True)
class Difference:
    """What a host has otherwise: a shell command in a mount namespace of its own, and variables."""

    command: str = "true"
    environment: Mapping[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def hosts(numbers: Sequence[int] = HOSTS) -> Iterator[dict[int, str]]:
    """Make a network namespace for each host, on a bridge; yield a mark for the processes of each."""
    _remove_hosts(numbers)
    _ip(f"link add {BRIDGE} type bridge")
    _ip(f"link set {BRIDGE} up")
    _ip(f"addr add {HERE}/24 dev {BRIDGE}")
    for host in numbers:
        name = f"{BRIDGE}{host}"
        _ip(f"netns add {name}")
        _ip(f"link add {name} type veth peer name eth0 netns {name}")
        _ip(f"link set {name} master {BRIDGE} up")
        _ip(f"-n {name} addr add {NETWORK}.{host}/24 dev eth0")
        _ip(f"-n {name} link set eth0 up")
        _ip(f"-n {name} link set lo up")
    marks = {host: uuid.uuid4().hex for host in numbers}
    try:
        yield marks
    finally:
        for mark in marks.values():
            kill_marked(mark)
        _remove_hosts(numbers)


@contextlib.contextmanager
def ray_nodes(
    folder: Path, marks: dict[int, str], differences: Mapping[int, Difference] = MappingProxyType({})
) -> Iterator[None]:
    """Start Ray on three hosts."""
    for host in HOSTS:
        start_node(folder, host, marks[host], differences.get(host, Difference()))
    yield


def start_node(
    folder: Path, host: int, mark: str, difference: Difference | None = None, cpus: int = 1, options: Sequence[str] = ()
) -> None:
    """Start Ray on a host, the first one as the head; raises RuntimeError with what it printed."""
    difference, log = difference or Difference(), folder / f"node-{host}.log"
    place = (
        ["--head", f"--port={PORT}", "--include-dashboard=false"] if host == 1 else [f"--address={NETWORK}.1:{PORT}"]
    )
    command = [
        str(Path(sys.executable).parent / "ray"), "start", *place, f"--node-ip-address={NETWORK}.{host}",
        f"--num-cpus={cpus}", "--disable-usage-stats", "--object-store-memory=134217728", *options,
    ]  # fmt: skip
    command = ["unshare", "-m", "sh", "-c", f'{difference.command} && exec "$@"', "sh", *command]
    for _ in range(START_TRIES):
        if spawn(command, log, f"{BRIDGE}{host}", {**difference.environment, MARK: mark}).wait(180) == 0:
            return
        kill_marked(mark)
    raise RuntimeError(log.read_text())


def kill_marked(mark: str) -> int:
    """SIGKILL all processes with a mark, and return how many there were."""
    killed: set[int] = set()
    while pids := [pid for pid in marked(mark) if pid != os.getpid()]:
        for pid in pids:
            kill(pid)
            killed.add(pid)
        time.sleep(0.1)
    return len(killed)


def _remove_hosts(numbers: Sequence[int]) -> None:
    for host in numbers:
        for kind in ("link", "netns"):  # a namespace takes a while to go, and its link with it
            subprocess.run(["ip", kind, "del", f"{BRIDGE}{host}"], capture_output=True, check=False)
    subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True, check=False)


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)
