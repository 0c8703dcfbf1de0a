"""Studies of a user's own, started where users start them: other folders, names that shadow ours, limited CPUs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pandas as pd

from ablation.ledger.log import read_events
from ablation.paths import RunPaths
from analysis.audit.checks import audit
from tests.chaos.processes import ROOT, spawn

# A study whose score is read from a file beside the user and from a module beside the study.
STUDY = """
from pathlib import Path

from ablation.trial import EpochRecord
from pydantic import BaseModel
from search_spaces.space import Budget, Choice, Float, Space

from {neighbour} import GAIN


class Config(BaseModel):
    bonus: bool = True
    lr: float = 0.1


def run_trial(config: Config, context):
    base = float(Path("data.csv").read_text())
    for epoch in range(1, context.epochs + 1):
        score = base + GAIN * config.bonus + 0.001 * epoch
        metrics = {{"val_score": score}}
        if context.phase == "confirm" and epoch == context.epochs:
            metrics["test_score"] = score
        yield EpochRecord(epoch=epoch, epoch_s=0.01, metrics=metrics, images=1)


SPACE = Space(
    name="elsewhere",
    description="a score that says which file and which module were read",
    trial="{module}:run_trial",
    factors={{"bonus": Choice(values=(True, False))}},
    reference={{"bonus": True}},
    baseline={{"bonus": False}},
    nuisance={{"lr": Float(low=0.01, high=1.0, default=0.1)}},
    metrics=("score",),
    budgets={{"quick": Budget(replicates=2, trials=2, epochs=2, grace_epochs=1, reduction_factor=2)}},
)
"""
BASE, GAIN = 0.5, 0.25
# What people name their files and folders, and what has the same name here or in Python.
SHADOWING_FILES = ("random.py", "space.py", "ablation.py", "analysis.py", "trial.py")
SHADOWING_FOLDERS = ("analysis", "ablation", "search_spaces")


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and the code it ended with."""

    code: int
    printed: str


def start_from_another_folder(folder: Path) -> dict[str, Any]:
    """Start a study by path from a folder that has the data, and another module of the neighbour's name."""
    write_study(folder / "study", "gain.py", neighbour="model")
    (folder / "model.py").write_text("GAIN = -100.0\n")
    (folder / "data.csv").write_text(str(BASE))
    outcome = _run(folder, "study/gain.py", "--name", "run")
    return {"faults": _faults(folder / "runs/run", outcome)}


def shadow_names(folder: Path) -> dict[str, Any]:
    """Give the study, and folders beside it, names that are also ours or Python's; with the report."""
    faults = []
    for name in SHADOWING_FILES:
        here = folder / Path(name).stem
        write_study(here, name, neighbour="my_gain")
        (here / "data.csv").write_text(str(BASE))
        for shadow in SHADOWING_FOLDERS:
            if Path(name).stem != shadow:
                (here / shadow).mkdir()
                (here / shadow / "__init__.py").write_text(f"raise SystemExit('the user has a package {shadow}')\n")
        faults += [f"{name}: {fault}" for fault in _faults(here / "runs/run", _run(here, name, "--name", "run"))]
    return {"faults": faults}


def limit_cpus(folder: Path) -> dict[str, Any]:
    """Start a sweep that may use one processor of the machine's: plan and sweep count one slot."""
    write_study(folder, "limited.py", neighbour="my_gain")
    (folder / "data.csv").write_text(str(BASE))
    one = ("taskset", "--cpu-list", str(min(os.sched_getaffinity(0))))
    planned = _run(folder, "limited.py", "--plan", "--json", before=one)
    swept = _run(folder, "limited.py", "--name", "run", before=one)
    faults = _faults(folder / "runs/run", swept)
    slots = json.loads(planned.printed).get("slots") if planned.code == 0 else None
    if slots != 1:
        faults.append(f"the plan counts {slots} slots on one processor: {planned.printed[-300:]}")
    most = most_at_a_time(RunPaths(folder / "runs/run"))
    if most != 1:
        faults.append(f"{most} trials ran at a time on one processor")
    return {"faults": faults}


def edit_code(folder: Path) -> dict[str, Any]:
    """Edit a module between two sessions: refused by name, then accepted and marked, with page and audit."""
    faults = _first_session(folder)
    (folder / "my_gain.py").write_text(f"# A comment is a change, too.\nGAIN = {GAIN}\n")
    return {"faults": faults + _second_session(folder, "my_gain.py has changed")}


def change_versions(folder: Path) -> dict[str, Any]:
    """Go on with another version of a package, as its metadata says it: refused by name, then accepted and marked."""
    faults = _first_session(folder)
    about = folder / "newer/optuna-99.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: optuna\nVersion: 99.0\n")
    return {"faults": faults + _second_session(folder, "optuna is 99.0, but was ", str(folder / "newer"))}


def _first_session(folder: Path) -> list[str]:
    write_study(folder, "mine.py", neighbour="my_gain")
    (folder / "data.csv").write_text(str(BASE))
    return _faults(folder / "runs/run", _run(folder, "mine.py", "--name", "run"))


def _second_session(folder: Path, change: str, *search_path: str) -> list[str]:
    """Let the study grow: with what changed it is refused by name, and goes on when that is accepted."""
    grown = ("--name", "run", "--resume", "--replicates", "3")
    refused = _run(folder, "mine.py", *grown, search_path=search_path)
    faults = [] if refused.code == 2 and change in refused.printed else [f"not refused: {refused.printed[-500:]}"]
    accepted = _run(folder, "mine.py", *grown, "--accept-changes", search_path=search_path)
    faults += _faults(folder / "runs/run", accepted)
    codes = pd.read_parquet(folder / "runs/run/trials.parquet").groupby("replicate")["code"].unique()
    if [len(codes[replicate]) for replicate in range(3)] != [1, 1, 1] or codes[0][0] == codes[2][0]:
        faults.append(f"trials are not marked by their code: {codes.to_dict()}")
    if "Not all trials ran with the same code" not in (folder / "runs/run/report/index.html").read_text():
        faults.append("the page does not say that code changed")
    return faults


def most_at_a_time(paths: RunPaths[Path]) -> int:
    """Return how many trials ran at once, at most, by the order of their events."""
    changes = {"started": 1, "ended": -1, "retried": -1}
    started = {event.trial_id for event in read_events(paths.ledger) if event.kind == "started"}
    steps = [
        changes[event.kind]
        for event in read_events(paths.ledger)
        if event.kind in changes and event.trial_id in started
    ]
    return max(accumulate(steps), default=0)


def write_study(folder: Path, name: str, neighbour: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(STUDY.format(neighbour=neighbour, module=Path(name).stem))
    (folder / f"{neighbour}.py").write_text(f"GAIN = {GAIN}\n")


def _run(
    folder: Path, space: str, *options: str, before: tuple[str, ...] = (), search_path: tuple[str, ...] = ()
) -> Outcome:
    """Run the command in the user's folder; -P keeps that from coming first on the import path."""
    log = folder / "printed.txt"
    log.unlink(missing_ok=True)
    command = [*before, sys.executable, "-P", "-m", "ablation.run", "--space", space, "--budget", "quick", *options]
    process = spawn(command, log, environment={"PYTHONPATH": os.pathsep.join([*search_path, str(ROOT)])}, cwd=folder)
    return Outcome(process.wait(600), log.read_text())


def _faults(root: Path, outcome: Outcome) -> list[str]:
    if outcome.code != 0:
        return [f"exit code {outcome.code}: {outcome.printed[-500:]}"]
    trials = pd.read_parquet(root / "trials.parquet")
    faults = audit(root) + [
        f"{row.trial_id} is {row.status}: {row.reason}"
        for row in trials.itertuples()
        if row.status not in ("completed", "stopped")
    ]
    expected: Mapping[str, float] = {"reference": BASE + GAIN + 0.002, "baseline": BASE + 0.002}
    confirmed = trials[trials["phase"] == "confirm"]
    for arm, score in confirmed.set_index("arm")["metric.test_score"].items():
        if abs(score - expected[str(arm)]) > 1e-9:
            faults.append(f"{arm} scores {score}, but must score {expected[str(arm)]}: another file or module was read")
    if not (root / "report/index.html").is_file():
        faults.append("there is no page")
    return faults
