"""Many sweeps in one process, one after the other, as in a notebook: Ray starts and ends in it each time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.chaos.processes import ROOT

LOOP = """
import sys
from ablation.run import run
for number in range(int(sys.argv[2])):
    run("tests.toy_study:SPACE", name=f"run-{number}", out=sys.argv[1], report=False, arms=("reference",),
        replicates=2, trials=1, epochs=2)
    print("done", number, flush=True)
"""


def run_in_a_row(folder: Path, count: int) -> dict[str, Any]:
    """Call ``run`` that many times in one process."""
    command = [sys.executable, "-c", LOOP, str(folder), str(count)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    done = process.stdout.count("done ")
    faults = [] if process.returncode == 0 else [f"exit code {process.returncode}: {process.stderr[-500:]}"]
    return {"runs": done, "faults": faults + ([] if done == count else [f"{done} of {count} runs ended"])}
