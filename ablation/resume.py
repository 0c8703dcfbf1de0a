"""Command: ``ablation resume RUN_DIR`` goes on with a study by its folder; its options are the run's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Annotated

import typer

from ablation import study_file
from ablation.console.go_on import go_on_after_interrupt
from ablation.console.messages import messages_for
from ablation.execution import run_prepared
from ablation.failures import Kind
from ablation.faults import FaultsError
from ablation.interrupts import INTERRUPTED, NOTHING_BEGUN, as_keyboard_interrupts
from ablation.ledger.log import read_events
from ablation.ledger.records import fold
from ablation.planning.planned_run import PlannedRun
from ablation.planning.resumed_run import plan_resume
from ablation.retry_option import OPTION, kinds_asked, retry_option, run_command
from ablation.store import located
from ablation.study.retry import reopenable
from ablation.trial import Phase

PHASES: tuple[Phase, ...] = ("search", "confirm")


def main(
    run: Annotated[str, typer.Argument(help="A run directory, or its address.")],
    replicates: Annotated[int | None, typer.Option(help="Let the study grow to so many replicates.")] = None,
    trials: Annotated[
        int | None, typer.Option(help="Let the search of a study without comparisons grow to so many trials.")
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="The run's space as it is now: levels that it has gained are further arms.")
    ] = None,
    arms: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Let the study grow by these arms of its space; repeatable."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Where its data is now, if it has moved.")] = None,
    retry_failed: Annotated[str | None, retry_option()] = None,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Go on with other code or versions; marked.")
    ] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="Import code that the run names, if it is no shipped study.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what is left, and run nothing.")] = False,
    executor: Annotated[str | None, typer.Option(help="ray or in-process; default: as before.")] = None,
    address: Annotated[
        str | None,
        typer.Option(help="A Ray cluster's address, auto, or local: no cluster, but this machine; default: as before."),
    ] = None,
    cpus_per_trial: Annotated[float | None, typer.Option(help="CPUs a trial takes; default: as before.")] = None,
    gpus_per_trial: Annotated[str | None, typer.Option(help="GPUs a trial takes, or auto; default: as before.")] = None,
    max_concurrent: Annotated[int | None, typer.Option(help="Trials at a time; default: as before.")] = None,
    max_nodes: Annotated[
        int | None, typer.Option(help="Wait for nodes of a cluster that grows, up to so many; default: as before.")
    ] = None,
    max_hours: Annotated[float | None, typer.Option(help="Stop after that long.")] = None,
    keep: Annotated[
        str | None, typer.Option(help="Checkpoints that stay: confirmed, best-per-arm or all; default: as before.")
    ] = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write the report at the end.")] = True,
    log_format: Annotated[str, typer.Option(help="text, or json: one object a line on stderr")] = "text",
) -> None:
    """Go on with a study from its folder: its space, budget, data and resources are the run's own."""
    asked = {
        "executor": executor, "address": address, "cpus_per_trial": cpus_per_trial, "gpus_per_trial": gpus_per_trial,
        "max_concurrent": max_concurrent, "max_nodes": max_nodes,
        "max_hours": max_hours, "log_format": log_format, "keep": keep,
    }  # fmt: skip
    given = {name: value for name, value in asked.items() if value is not None}
    say = messages_for(log_format)
    study: PlannedRun | None = None
    faults: list[str] = []
    try:
        with as_keyboard_interrupts():
            say.step(f"reading {run}")
            retry = kinds_asked(retry_failed, faults)
            study = plan_resume(
                located(run), replicates=replicates, trials=trials, space=space, arms=arms or (), data=data,
                given=given, faults=faults, accept_changes=accept_changes, trust=trust,
            )  # fmt: skip
            if plan:
                for line in left_in_words(study, retry):
                    typer.echo(line)
                return
            code = run_prepared(study, report, retry=retry)
    except FaultsError as error:
        say.faults(error.faults)
        raise typer.Exit(2) from error
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED and study is not None:
        say.go_on(go_on_after_interrupt(study))
    elif code == INTERRUPTED:
        say.faults([NOTHING_BEGUN])
    raise typer.Exit(code)


def left_in_words(study: PlannedRun, retry: Collection[Kind] = ()) -> Iterator[str]:
    """Say what is left of a run, growth and failures of the kinds to ``retry`` included."""
    plan, events = study.checked.plan, read_events(study.paths.ledger)
    records = fold(events)
    again = {trial.trial_id for trial in reopenable(plan, records, retry)}
    ended = {trial_id for trial_id, state in records.items() if state.has_ended} - again
    left = [trial for trial in plan.trials() if trial.trial_id not in ended]
    yield f"{study.paths.root}: {len(left)} of {plan.trial_count} trials left"
    known = {arm.name for arm in study_file.plan_now(study_file.read(study.paths), events).arms}
    by_arm = Counter((trial.arm, trial.phase) for trial in left)
    for arm in plan.arms:
        counts = [f"{by_arm[arm.name, phase]} {phase}" for phase in PHASES if by_arm[arm.name, phase]]
        if counts:
            yield f"  {arm.name}: {', '.join(counts)}{'' if arm.name in known else '; a new arm'}"
    others = len(reopenable(plan, records)) - len(again)
    if others:
        yield f"{others} that failed run again with {OPTION}"


if __name__ == "__main__":
    run_command(main)
