"""The command with a plain loop in the driver's place: a whole sweep, from header to accounting, without Ray."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stdout
from types import ModuleType
from typing import Any

import pytest
import typer

from ablation import prepared_run
from ablation import run as run_module
from ablation.engine.growth import open_study
from ablation.engine.progress import Progress
from ablation.ledger import Ledger
from ablation.paths import RunPaths
from ablation.plan import Plan
from ablation.resources import Resources, Slots
from ablation.study_file import StudyFile
from tests.plain_loop import carry_out


def put_in_place(patch: pytest.MonkeyPatch, ended: str = "finished") -> None:
    """Let sweeps run one trial after the other in this process, and end as said: all of it, or after five epochs."""

    def sweep(file: StudyFile, paths: RunPaths, resources: Resources, plan: Plan, **rest: Any) -> str:
        with Ledger(paths.ledger) as ledger:
            study = open_study(file, ledger, plan)
            with Progress(study, Slots(1, 1.0, 0.0), resources.log_format) as progress, redirect_stdout(io.StringIO()):
                study.observer = progress.note
                carry_out(study, paths, most_epochs=None if ended == "finished" else 5)
        return ended

    driver = ModuleType("ablation.engine.driver")
    driver.__dict__.update(sweep=sweep, NoStartError=ConnectionError)
    patch.setitem(sys.modules, "ablation.engine.driver", driver)
    patch.setattr(prepared_run, "visible_gpus", lambda address: 0)


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patched:
        put_in_place(patched)
        typer.run(run_module.main)
