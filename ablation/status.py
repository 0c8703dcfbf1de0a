"""Command: ``python -m ablation.status RUN_DIR`` counts what became of every planned trial, also while it runs."""

from __future__ import annotations

import json
import os
import platform
import shlex
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

import typer

from ablation import study_file
from ablation.failures import by_reason, in_words
from ablation.faults import FaultsError
from ablation.ledger.log import Event
from ablation.ledger.records import ConflictError, Records, TrialState, fold
from ablation.machine import started
from ablation.plan import Plan
from ablation.run_dir import RunDir, run_dir
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


def facts(where: RunDir) -> dict[str, Any]:
    """Count a run's trials by status, with failures by reason and what the report says, for programs.

    Raises FaultsError if the run cannot be read.
    """
    file, events = where.study(), where.events()
    try:
        plan, records = study_file.plan_now(file, events), fold(events)
    except ConflictError as error:
        raise FaultsError([str(error)]) from error
    driver = where.driver()
    running = running_trials(events, records, driver)
    states = [records.get(trial.trial_id, TrialState(trial.trial_id)) for trial in plan.trials()]
    counts = Counter("running" if state.trial_id in running else status(state) for state in states)
    failures = by_reason((state.trial_id, status(state), state.reason) for state in states)
    is_still = driver is not None and counts["pending"] + counts["interrupted"] and not running
    is_failed = any(failed.status == "failed" for failed in failures)
    return {
        "run": str(where),
        "planned": plan.trial_count,
        "counts": {name: counts[name] for name in (("running", *STATUSES) if running else STATUSES)},
        "standing_still": _not_going_on(driver, events, file, plan) if driver is not None and is_still else None,
        "failures": failures,
        "retry": go_on_command(file, plan, retry_failed=True) if is_failed else None,
        "answer": where.answer(),
    }


def show(
    run: Annotated[str, typer.Argument(help="A run directory, or an address such as s3://bucket/runs/NAME.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print the accounting of a run, read from its ledger, and the answer of its report if it has one."""
    with exit_on_errors():
        where = run_dir(run)
        found = facts(where)
    if as_json:
        failures = [vars(failed) for failed in found["failures"]]
        typer.echo(json.dumps({**found, "failures": failures}, indent=1))
        return
    out = console()
    out.print(f"{run}: {found['planned']} trials planned")
    for name, number in found["counts"].items():
        out.print(f"{name:>12} {number:>6}")
    if found["standing_still"] is not None:
        out.print(found["standing_still"])
    for line in in_words(found["failures"], where.paths):
        out.print(line)
    if found["retry"] is not None:
        out.print(f"run failed trials again, once it is mended, with: {found['retry']}")
    for sentence in found["answer"]:
        out.print(sentence)


if __name__ == "__main__":
    typer.run(show)
