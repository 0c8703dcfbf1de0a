"""Run a study without Ray: one trial after the other in this process, or some of them interleaved."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ablation import study_file, tables
from ablation.checkpoint import newest_path
from ablation.code_record import CodeRecord
from ablation.ledger.log import Ledger
from ablation.paths import RunPaths
from ablation.plan import Plan
from ablation.study.study import Assignment, Study
from ablation.trial import EpochRecord, build_config, import_object
from ablation.user_code import UserCode


def run_study(plan: Plan, root: Path, *, at_a_time: int = 2, most_epochs: int | None = None) -> RunPaths[Path]:
    """Carry out a plan, or its first ``most_epochs`` epochs as if killed then, and write its tables."""
    paths = RunPaths(root)
    if not paths.study.is_file():
        study_file.write(study_file.describe(root.name, plan, "quick", None, ["tests"]), paths)
    with Ledger(paths.ledger) as ledger:
        carry_out(Study(plan, ledger), paths, at_a_time=at_a_time, most_epochs=most_epochs)
    tables.materialise(paths)
    return paths


def carry_out(study: Study, paths: RunPaths[Path], *, at_a_time: int = 2, most_epochs: int | None = None) -> None:
    """Run what a study has left, or its first ``most_epochs`` epochs."""
    code = CodeRecord.of_trial(study.plan.space.trial, UserCode.here())
    study.open_session(process=0, resources={}, code=code)
    running: list[tuple[Assignment, Iterator[EpochRecord], float]] = []
    epochs = 0
    while most_epochs is None or epochs < most_epochs:
        while len(running) < at_a_time and (assignment := study.next_assignment()) is not None:
            study.started(assignment.trial.trial_id)
            running.append((assignment, _start(study.plan, assignment, paths), time.monotonic()))
        if not running:
            break
        assignment, records, began = running.pop(0)
        epochs += 1
        if _take_epoch(study, assignment, records, paths, time.monotonic() - began):
            running.append((assignment, records, began))


def _take_epoch(
    study: Study, assignment: Assignment, records: Iterator[EpochRecord], paths: RunPaths[Path], elapsed_s: float
) -> bool:
    trial_id = assignment.trial.trial_id
    try:
        record = next(records, None)
    except Exception as error:
        study.end(trial_id, "failed", f"{type(error).__name__}: {error}", elapsed_s)
        return False
    if record is None:
        study.end(trial_id, "failed", "ended early", elapsed_s)
        return False
    newest = newest_path(paths.checkpoint_dir(trial_id))
    return study.report(
        trial_id, record, elapsed_s, None if newest is None else newest.relative_to(paths.root).as_posix()
    )


def _start(plan: Plan, assignment: Assignment, paths: RunPaths[Path]) -> Iterator[EpochRecord]:
    trial = assignment.trial
    run_trial = import_object(plan.space.trial)
    context = trial.context(paths.checkpoint_dir(trial.trial_id), paths.artifact_dir(trial.trial_id))
    records: Any = run_trial(build_config(run_trial, assignment.config), context)
    return iter(records)
