"""The shipped study in an object store while everything goes wrong: its report is that of a quiet run on a disk."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from ablation.ledger.events import Started
from ablation.ledger.log import read_events
from ablation.paths import RunPaths
from ablation.store import as_typed, located
from tests.chaos import checks
from tests.chaos.nodes import BRIDGE, HERE, NETWORK, PORT, Difference, hosts, kill_marked, start_node
from tests.chaos.processes import ROOT, Driver, event_count, start, start_driver, wait_for_events
from tests.chaos.same_report import differences
from tests.chaos.stores import EVENTS_BETWEEN, ROUND_TRIP_S, in_environment, ride_out
from tests.support.object_store import BUCKET, line_to, served, settings

SMALL = ("--replicates", "2", "--trials", "3", "--epochs", "6")


def break_everything(folder: Path, seed: int) -> dict[str, Any]:
    """Cut the line to the store for 20 s, kill the driver, a worker's node, the driver again; compare the reports."""
    # One trial at a time, so that rungs meet the trials in one order and both studies must come out the same.
    options = (*SMALL, "--seed", str(seed), "--max-concurrent", "1")
    plain = RunPaths(folder / "plain/study")
    code = start_driver(plain, *options, space="tcl", beside=folder).wait(1200)
    faults = [f"the study on the disk ended with {code}"] if code else []
    with (
        hosts() as marks,
        served() as endpoint,
        line_to(endpoint, ROUND_TRIP_S, HERE) as line,
        in_environment(settings(line.endpoint)),
    ):
        for host in marks:
            cache = Difference(environment={"ABLATION_CACHE": str(folder / f"cache-{host}")})
            start_node(folder, host, marks[host], cache, cpus=int(host > 1))
        paths = RunPaths(located(f"{BUCKET}/runs/study"))
        address = ("--address", f"{NETWORK}.1:{PORT}")
        driver = start_driver(paths, *options, *address, space="tcl", netns=f"{BRIDGE}1", beside=folder)
        faults += ride_out(line, paths, driver)
        driver.kill_alone()
        driver = _go_on(paths, folder)
        _wait_for_more(paths, driver)
        killed = kill_marked(marks[_at_work(paths)])
        _wait_for_more(paths, driver)
        driver.kill_alone()
        driver = _go_on(paths, folder)
        code = driver.wait(1200)
        if code:
            return {"faults": [*faults, f"exit code {code}: {driver.reported[-1500:]}"]}
        faults += checks.final_faults(paths)
        names = {as_typed(paths.root): "RUN", as_typed(plain.root): "RUN"}
        faults += differences(_report(paths, folder), _report(plain, folder), names)
        attempts = checks.table(paths.trials)["attempts"]
    return {"processes_killed": killed, "trials": len(attempts), "attempts": int(attempts.sum()), "faults": faults}


def _go_on(paths: RunPaths, folder: Path) -> Driver:
    log = folder / f"resumed-{uuid.uuid4().hex}.log"
    return start("ablation.resume", [as_typed(paths.root), "--no-report"], log, netns=f"{BRIDGE}1")


def _wait_for_more(paths: RunPaths, driver: Driver) -> None:
    wait_for_events(paths, event_count(paths) + EVENTS_BETWEEN, driver)


def _at_work(paths: RunPaths) -> int:
    """Return the host on which the last trial began."""
    nodes = [str(event.what.node) for event in read_events(paths.ledger) if isinstance(event.what, Started)]
    return int(nodes[-1].rpartition(".")[2])


def _report(paths: RunPaths, folder: Path) -> Path:
    out = folder / f"report-{uuid.uuid4().hex}"
    command = [sys.executable, "-m", "analysis.report", as_typed(paths.root), "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return out
