"""How soon are the slots of a node that joins in use, and do workers stay warm? Sleeping trials on a growing cluster.

Ray's head and nodes are processes of this machine; the first node joins while the sweep starts, each other one when all
slots of those before it train. For each node: seconds from its join until as many trials train at once as there are
slots, start-up of its workers included. Beside it the workers that were asked for, and the mean share of slots that
train from the last of these moments to the start of the last trial.

Prints JSON and exits 1 if more workers than slots (and retries) were asked for, a node but the first takes more than
30 s, or the share is below 0.95. Run: ``python -m benchmarks.growing [--nodes 3] [--slots-per-node 4]``.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any

import typer

# First, since it sets what Ray reads when it is imported.
import ablation.engine.cluster  # noqa: F401

# isort: split
from ray.cluster_utils import Cluster

from ablation.ledger.events import Ended, Event, Retried, Started
from ablation.ledger.log import read_events
from benchmarks.slots import LEAST_BUSY, ROOT, busy_share

MOST_S = 30.0
WAIT_MOST_S = 300.0
EPOCHS = 30
TRIALS_PER_SLOT = 9
ARMS_TIMES_TRIALS = 24  # of the sleeping study, a replicate


def main(
    nodes: Annotated[int, typer.Option(help="Nodes that join, one after the other.")] = 3,
    slots_per_node: Annotated[int, typer.Option(help="Trials at a time on each.")] = 4,
) -> None:
    """Let nodes join a sweep; exit 1 if a bar is missed."""
    slots = nodes * slots_per_node
    replicates = max(2, -(-slots * TRIALS_PER_SLOT // ARMS_TIMES_TRIALS))
    with tempfile.TemporaryDirectory(prefix="growing-") as folder:
        ledger, asked = Path(folder) / "run/ledger", Path(folder) / "workers"
        head = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        command = [sys.executable, "-m", "benchmarks.counted_workers", str(asked), "ablation.run"]
        command += ["--space", "benchmarks.slots:SPACE", "--no-report", "--out", folder, "--name", "run"]
        command += ["--replicates", str(replicates), "--epochs", str(EPOCHS), "--address", head.address]
        command += ["--max-nodes", str(nodes), "--gpus-per-trial", "0"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as sweep:
            used_s = []
            for number in range(1, nodes + 1):
                began = time.time()
                head.add_node(num_cpus=slots_per_node)
                used_s.append(_wait_until_running(ledger, number * slots_per_node) - began)
            error = sweep.communicate()[1].decode()
        head.shutdown()
        if sweep.returncode != 0:
            sys.exit(error)
        events, workers = read_events(ledger), int(asked.read_text())
    retries = sum(isinstance(event.what, Retried) for event in events)
    busy = busy_share(_spans(events), slots)
    missed = [f"{workers} workers for {slots} slots"] if workers > slots + retries else []
    missed += [f"node {number}: {took_s:.1f} s" for number, took_s in enumerate(used_s[1:], 2) if took_s > MOST_S]
    missed += [f"{busy:.3f} busy"] if busy < LEAST_BUSY else []
    result: dict[str, Any] = {
        "seconds_from_join_to_all_slots_in_use": [round(took_s, 1) for took_s in used_s],
        "workers_asked_for": workers,
        "slots": slots,
        "retries": retries,
        "share_of_slots_that_train": round(busy, 3),
        "missed": missed,
        "hardware": {"cpus": os.cpu_count(), "machine": platform.machine()},
        "versions": {"python": platform.python_version(), "ray": version("ray")},
    }
    typer.echo(json.dumps(result, indent=1))
    raise typer.Exit(1 if missed else 0)


def _wait_until_running(ledger: Path, count: int) -> float:
    """Return when that many trials first ran at once, by the ledger's clock."""
    deadline = time.monotonic() + WAIT_MOST_S
    while time.monotonic() < deadline:
        events = read_events(ledger) if ledger.exists() else []
        changes = [(event.unix_s, _change(event)) for event in events]
        running = accumulate(change for _, change in changes)
        for (moment, _), at_once in zip(changes, running, strict=True):
            if at_once >= count:
                return moment
        time.sleep(0.2)
    sys.exit(f"there were never {count} trials at once in {WAIT_MOST_S:g} s")


def _change(event: Event) -> int:
    return 1 if isinstance(event.what, Started) else -1 if isinstance(event.what, Ended | Retried) else 0


def _spans(events: list[Event]) -> list[tuple[float, float]]:
    began = {event.trial_id: event.unix_s for event in events if isinstance(event.what, Started)}
    return [(began[event.trial_id], event.unix_s) for event in events if isinstance(event.what, Ended)]


if __name__ == "__main__":
    typer.run(main)
