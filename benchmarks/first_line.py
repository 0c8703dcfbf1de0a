"""How long does a command in a terminal say nothing? From its start to its first line, by turns, each a new process.

Prints JSON; exits 1 if a command's median is above two seconds. Commands that read a run read docs/example, and each is
killed after its first line. Run: ``python -m benchmarks.first_line [--rounds 5]``.
"""

from __future__ import annotations

import json
import os
import platform
import pty
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

ROOT = Path(__file__).parents[1]
EXAMPLE = str(ROOT / "docs/example")
MOST_S = 2.0
ABLATION = ("-m", "ablation.cli")  # what the console command starts
COMMANDS = {
    "ablation run": (*ABLATION, "run", "--space", "sorting"),
    "python -m ablation.run": ("-m", "ablation.run", "--space", "sorting"),
    "ablation plan": (*ABLATION, "plan", "--space", "sorting"),
    "ablation resume": (*ABLATION, "resume", EXAMPLE, "--plan"),
    "ablation status": (*ABLATION, "status", EXAMPLE),
    "ablation best": (*ABLATION, "best", EXAMPLE),
    "ablation report": (*ABLATION, "report", EXAMPLE, "--out", os.devnull),
}


def first_line(arguments: tuple[str, ...], folder: str) -> dict[str, float]:
    """Start Python in a folder and a terminal of its own; return seconds of wall and processor until it says a line."""
    began = time.perf_counter()
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execv(sys.executable, [sys.executable, *arguments])
    said = b""
    while b"\n" not in said:
        said += os.read(terminal, 4096)  # raises OSError if the command ends without a line
    wall_s = time.perf_counter() - began
    os.kill(process, signal.SIGKILL)
    used = os.wait4(process, 0)[2]
    os.close(terminal)
    return {"wall_s": wall_s, "cpu_s": used.ru_utime + used.ru_stime}


def main(rounds: Annotated[int, typer.Option(min=1, help="How often each command is started.")] = 5) -> None:
    """Start every command ``rounds`` times, by turns."""
    spent: dict[str, list[dict[str, float]]] = {command: [] for command in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for command, arguments in COMMANDS.items():
                spent[command].append(first_line(arguments, folder))
    found: dict[str, dict[str, Any]] = {}
    for command, tries in spent.items():
        wall_s = [one["wall_s"] for one in tries]
        found[command] = {
            "wall_s": round(statistics.median(wall_s), 2),
            "wall_s_highest": round(max(wall_s), 2),
            "cpu_s": round(statistics.median(one["cpu_s"] for one in tries), 2),
        }
    slow = [command for command, one in found.items() if one["wall_s"] > MOST_S]
    about = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    load = [round(value, 1) for value in os.getloadavg()]
    typer.echo(json.dumps({"commands": found, "above_two_seconds": slow, **about, "load_average": load}, indent=1))
    raise typer.Exit(1 if slow else 0)


if __name__ == "__main__":
    typer.run(main)
