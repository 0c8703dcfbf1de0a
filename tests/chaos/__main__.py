"""Command: ``python -m tests.chaos``: break runs in every way there is, and print what was lost. Needs root."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from tests.chaos import (
    damage,
    disk,
    elsewhere,
    growing,
    kills,
    lost_head,
    misbehaving,
    nodes,
    stores,
    successive,
    whole_study,
)

Scenario = Callable[[Path], dict[str, Any]]


def scenarios(seed: int, scale: float) -> dict[str, Scenario]:
    """List what is done; ``scale`` shrinks the numbers of kills."""

    def times(count: int) -> int:
        return max(1, round(count * scale))

    return {
        "driver-with-ray": lambda folder: kills.kill_with_ray(folder, times(30), seed),
        "driver-alone": lambda folder: kills.kill_driver_alone(folder, times(20), seed),
        "workers": lambda folder: kills.kill_workers(folder, times(50), seed),
        "node": lambda folder: nodes.lose_a_node(folder, seed),
        "head": lambda folder: lost_head.lose_the_head(folder, seed),
        "elastic": lambda folder: growing.scale_from_zero(folder, seed),
        "elastic-driver": lambda folder: growing.lose_the_driver(folder, seed),
        "joins-and-leaves": lambda folder: growing.join_and_leave(folder, seed),
        "two-studies": lambda folder: growing.share_a_cluster(folder, seed),
        "preflight": lambda folder: nodes.refuse_nodes(folder, seed),
        "files": lambda folder: damage.damage_files(folder, times(20), seed),
        "disk-ledger": lambda folder: disk.full_disk(folder, seed, "ledger"),
        "disk-checkpoints": lambda folder: disk.full_disk(folder, seed, "checkpoints"),
        "disk-read-only": lambda folder: disk.read_only(folder, seed),
        "interrupt-int": lambda folder: misbehaving.interrupt(folder, signal.SIGINT, seed),
        "interrupt-term": lambda folder: misbehaving.interrupt(folder, signal.SIGTERM, seed),
        "interrupt-hup": lambda folder: misbehaving.interrupt(folder, signal.SIGHUP, seed),
        "interrupt-group-term": lambda folder: misbehaving.interrupt(folder, signal.SIGTERM, seed, os.killpg),
        "interrupt-group-hup": lambda folder: misbehaving.interrupt(folder, signal.SIGHUP, seed, os.killpg),
        "successive-runs": lambda folder: successive.run_in_a_row(folder, times(50)),
        "store-away": lambda folder: stores.lose_the_store(folder, seed),
        "whole-study": lambda folder: whole_study.break_everything(folder, seed),
        "two-drivers": lambda folder: misbehaving.two_drivers(folder, seed),
        "clock-back": lambda folder: misbehaving.set_clock_back(folder, seed),
        "another-folder": elsewhere.start_from_another_folder,
        "shadowing-names": elsewhere.shadow_names,
        "cpu-limit": elsewhere.limit_cpus,
        "edited-code": elsewhere.edit_code,
        "changed-versions": elsewhere.change_versions,
        "image-vanishes": lambda folder: misbehaving.lose_an_image(folder, seed),
        **{f"trial-{how}": partial(misbehaving.misbehave, how=how, seed=seed) for how in misbehaving.ENDINGS},
    }


def main(
    seed: Annotated[int, typer.Option(help="Of moments, victims and studies.")] = 0,
    only: Annotated[str, typer.Option(metavar="GLOB", help="Only these scenarios.")] = "*",
    scale: Annotated[float, typer.Option(help="Share of the kills.")] = 1.0,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the runs.")] = False,
) -> None:
    """Run the scenarios one after the other; exit 1 where anything was lost, doubled, left over or silently wrong."""
    if os.geteuid() != 0:
        typer.echo("needs root: disks are mounted and network namespaces made", err=True)
        raise typer.Exit(2)
    faults = 0
    chosen = {name: run for name, run in scenarios(seed, scale).items() if fnmatchcase(name, only)}
    if not chosen:
        typer.echo(f"--only is {only!r}, but must match one of {', '.join(scenarios(seed, scale))}", err=True)
        raise typer.Exit(2)
    for name, run in chosen.items():
        folder, began = Path(tempfile.mkdtemp(prefix=f"chaos-{name}-")), time.monotonic()
        found = run(folder)
        faults += len(found["faults"])
        typer.echo(json.dumps({"scenario": name, **found, "wall_s": round(time.monotonic() - began)}))
        if not keep:
            shutil.rmtree(folder)
    typer.echo(f"{len(chosen)} scenarios, seed {seed}: {faults} faults")
    raise typer.Exit(1 if faults else 0)


if __name__ == "__main__":
    typer.run(main)
