"""Command: ``python -m ablation.status RUN_DIR`` counts what became of every planned trial, also while it runs."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

import typer

from ablation import study_file
from ablation.console.go_on import go_on_command
from ablation.failures import by_reason, in_words, retry_in_words
from ablation.faults import FaultsError
from ablation.ledger.log import Event
from ablation.ledger.records import ConflictError, Records, TrialState, fold
from ablation.machine import started
from ablation.retry_option import OPTION
from ablation.run_dir import RunDir, run_dir
from ablation.study.retry import reopenable
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


def _not_going_on(driver: dict[str, Any], events: Sequence[Event], go_on: str) -> str:
    """Say that no trial is under way, and why."""
    who = f"driver {driver['process']} on {driver['host']}"
    if is_at_work(driver, max((event.unix_s for event in events), default=0.0)):
        return f"{who} is at work, and no trial has started yet"
    return f"{who} is gone; go on with: {go_on}"


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
    standing_still = None
    if driver is not None and counts["pending"] + counts["interrupted"] and not running:
        standing_still = _not_going_on(driver, events, go_on_command(file, where.paths))
    return {
        "run": str(where),
        "planned": plan.trial_count,
        "counts": {name: counts[name] for name in (("running", *STATUSES) if running else STATUSES)},
        "standing_still": standing_still,
        "checkpoints": {
            "kept": sum(state.checkpoint is not None for state in states),
            "removed": sum(state.removed_checkpoint is not None for state in states),
        },
        "failures": failures,
        "retry": go_on_command(file, where.paths, OPTION) if reopenable(plan, records) else None,
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
    if any(found["checkpoints"].values()):
        kept, removed = found["checkpoints"]["kept"], found["checkpoints"]["removed"]
        out.print(f"checkpoints: {kept} kept, {removed} removed since they were not to be kept")
    if found["standing_still"] is not None:
        out.print(found["standing_still"])
    for line in in_words(found["failures"], where.paths):
        out.print(line)
    for line in retry_in_words(found["failures"], found["retry"]):
        out.print(line)
    for sentence in found["answer"]:
        out.print(sentence)


if __name__ == "__main__":
    typer.run(show)
