"""Command: ``python -m ablation.status RUN_DIR`` counts what became of every planned trial, also while it runs."""

from __future__ import annotations

import os
import platform
import shlex
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from ablation import study_file
from ablation.failures import by_reason, in_words
from ablation.ledger.log import Event, LedgerError, newest_driver, read_events
from ablation.ledger.records import ConflictError, Records, TrialState, fold
from ablation.machine import started
from ablation.paths import RunPaths
from ablation.plan import Plan
from ablation.study_file import StudyFile
from ablation.tables import STATUSES, status
from ablation.terminal import console, exit_on_errors

QUIET_S = 600.0  # a driver on another machine that has recorded nothing for so long is taken to be gone


def running_trials(events: Sequence[Event], records: Records, driver: dict[str, Any] | None) -> set[str]:
    """Return the trials that the newest session has started and not ended, if its driver is at work."""
    if driver is None or not is_at_work(driver, max((event.unix_s for event in events), default=0.0)):
        return set()
    under_way: set[str] = set()
    for event in events:
        if event.session == driver["session"] and event.trial_id is not None:
            if event.kind == "started":
                under_way.add(event.trial_id)
            elif event.kind == "retried":
                under_way.discard(event.trial_id)
    return {trial_id for trial_id in under_way if not records[trial_id].has_ended}


def is_at_work(driver: dict[str, Any], last_event_unix_s: float) -> bool:
    """Return whether a driver lives: its process, on this machine; on another, whether it recorded anything lately."""
    if driver["host"] != platform.node():
        return time.time() - last_event_unix_s < QUIET_S
    if driver.get("started") is not None and started(int(driver["process"])) != driver["started"]:
        return False  # another process has got its number
    with suppress(PermissionError):  # another user's, and there
        try:
            os.kill(int(driver["process"]), 0)
        except ProcessLookupError:
            return False
    return True


def _not_going_on(driver: dict[str, Any], events: Sequence[Event], file: StudyFile, plan: Plan) -> str:
    """Say that no trial is under way, and why."""
    who = f"driver {driver['process']} on {driver['host']}"
    if is_at_work(driver, max((event.unix_s for event in events), default=0.0)):
        return f"{who} is at work, and no trial has started yet"
    return f"{who} is gone; go on with: {go_on_command(file, plan)}"


def go_on_command(file: StudyFile, plan: Plan, *, retry_failed: bool = False) -> str:
    """Return the command, or the call of ``run``, that goes on with a study, or runs its failed trials again."""
    if file.command[1:3] != ("-m", "ablation.run"):
        return f"run(…, name={file.name!r}, resume=True{', retry_failed=True' * retry_failed})"
    named = [] if "--name" in file.command else ["--name", file.name]
    # Of an option that is given twice, the last one counts: a study that grew is as large as it is now.
    grown = ["--replicates", str(plan.budget.replicates)] if plan.budget != file.plan.budget else []
    return shlex.join([*file.command, *named, *grown, "--resume", *["--retry-failed"] * retry_failed])


def show(run: Annotated[Path, typer.Argument(help="A run directory.")]) -> None:
    """Print the accounting of a run, read from its ledger."""
    out, paths = console(), RunPaths(run)
    with exit_on_errors(FileNotFoundError, study_file.DamagedStudyError, LedgerError, ConflictError):
        file, events = study_file.read(paths), read_events(paths.ledger)
        plan, records = study_file.plan_now(file, events), fold(events)
    driver = newest_driver(paths.ledger)
    running = running_trials(events, records, driver)
    states = [records.get(trial.trial_id, TrialState(trial.trial_id)) for trial in plan.trials()]
    counts = Counter("running" if state.trial_id in running else status(state) for state in states)
    out.print(f"{run}: {plan.trial_count} trials planned")
    for name in ("running", *STATUSES) if running else STATUSES:
        out.print(f"{name:>12} {counts[name]:>6}")
    if driver is not None and counts["pending"] + counts["interrupted"] and not running:
        out.print(_not_going_on(driver, events, file, plan))
    failures = by_reason((state.trial_id, status(state), state.reason) for state in states)
    for line in in_words(failures, paths):
        out.print(line)
    if any(failed.status == "failed" for failed in failures):
        out.print(f"run failed trials again, once it is mended, with: {go_on_command(file, plan, retry_failed=True)}")


if __name__ == "__main__":
    typer.run(show)
