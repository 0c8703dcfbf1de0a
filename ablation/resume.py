"""Command: ``ablation resume RUN_DIR`` goes on with a study by its folder; its options are the run's own."""

from __future__ import annotations

from typing import Annotated

import typer

from ablation.console.go_on import go_on_with
from ablation.console.messages import messages_for
from ablation.execution import run_prepared
from ablation.faults import FaultsError
from ablation.interrupts import INTERRUPTED, NOTHING_BEGUN, as_keyboard_interrupts
from ablation.ledger.log import read_events
from ablation.ledger.records import fold
from ablation.planning.planned_run import PlannedRun
from ablation.planning.resumed_run import plan_resume
from ablation.retry_option import RetryFailed, kinds_asked, run_command
from ablation.store import located


def main(
    run: Annotated[str, typer.Argument(help="A run directory, or its address.")],
    replicates: Annotated[int | None, typer.Option(help="Let the study grow to so many replicates.")] = None,
    data: Annotated[str | None, typer.Option(help="Where its data is now, if it has moved.")] = None,
    retry_failed: RetryFailed = None,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Go on with other code or versions; marked.")
    ] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="Import code that the run names, if it is no shipped study.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what is left, and run nothing.")] = False,
    executor: Annotated[str | None, typer.Option(help="ray or in-process; default: as before.")] = None,
    address: Annotated[str | None, typer.Option(help="A Ray cluster's address, or auto; default: as before.")] = None,
    max_concurrent: Annotated[int | None, typer.Option(help="Trials at a time; default: as before.")] = None,
    max_hours: Annotated[float | None, typer.Option(help="Stop after that long.")] = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write the report at the end.")] = True,
    log_format: Annotated[str, typer.Option(help="text, or json: one object a line on stderr")] = "text",
) -> None:
    """Go on with a study from its folder: its space, budget, data and resources are the run's own."""
    asked = {
        "executor": executor, "address": address, "max_concurrent": max_concurrent, "max_hours": max_hours,
        "log_format": log_format,
    }  # fmt: skip
    given = {name: value for name, value in asked.items() if value is not None}
    say = messages_for(log_format)
    study: PlannedRun | None = None
    faults: list[str] = []
    try:
        with as_keyboard_interrupts():
            retry = kinds_asked(retry_failed, faults)
            study = plan_resume(
                located(run), replicates=replicates, data=data, given=given, faults=faults,
                accept_changes=accept_changes, trust=trust,
            )  # fmt: skip
            if plan:
                typer.echo(left_in_words(study))
                return
            code = run_prepared(study, report, retry=retry)
    except FaultsError as error:
        say.faults(error.faults)
        raise typer.Exit(2) from error
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED and study is not None:
        say.go_on(go_on_with(study))
    elif code == INTERRUPTED:
        say.faults([NOTHING_BEGUN])
    raise typer.Exit(code)


def left_in_words(study: PlannedRun) -> str:
    """Say how much of a run is done and left, growth included."""
    planned = study.checked.plan
    records = fold(read_events(study.paths.ledger))
    ended = sum(state.has_ended for state in records.values())
    failed = sum(state.outcome == "failed" for state in records.values())
    left = planned.trial_count - ended
    words = f"{study.paths.root}: {left} of {planned.trial_count} trials left"
    return f"{words}; {failed} failed ones run again with --retry-failed" if failed else words


if __name__ == "__main__":
    run_command(main)
