"""Command: ``python -m ablation.status RUN_DIR`` counts what became of every planned trial, also while it runs."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from ablation import study_file
from ablation.at_work import is_at_work, is_here, longest_quiet_s, running_trials
from ablation.console.best_text import best_facts, best_in_words
from ablation.console.go_on import go_on_command
from ablation.console.overview import Overview
from ablation.failures import Failures, by_reason, in_words, retry_in_words
from ablation.faults import FaultsError
from ablation.interrupts import INTERRUPTED
from ablation.ledger.log import Event
from ablation.ledger.records import ConflictError, TrialState, fold
from ablation.plan import Plan
from ablation.planning.effort import effort
from ablation.retry_option import OPTION
from ablation.run_dir import RunDir, run_dir
from ablation.study.counts import Counts
from ablation.study.retry import reopenable
from ablation.tables import STATUSES, status, sweep_wall_s
from ablation.terminal import console, exit_on_errors

WATCH_EVERY_S = 2.0
SHARE_OF_TIME = 4  # a large ledger takes long to read: at least so many times as long between two looks


@dataclass(frozen=True)
class Look:
    """A run as it stands.

    Attributes:
        where: the run.
        overview: what the live table of its driver shows.
        counts: trials by status, the running ones first if there are any.
        standing_still: that no trial is running though some are left; if its driver is gone, how to go on.
        checkpoints: how many are kept, and how many were removed since they were not to be kept.
        failures: trials that failed or diverged, by reason.
        retry: the command that runs failed ones again, if any may.
    """

    where: RunDir
    overview: Overview
    counts: dict[str, int]
    standing_still: str | None
    checkpoints: dict[str, int]
    failures: list[Failures]
    retry: str | None

    def facts(self) -> dict[str, Any]:
        """Return it for programs, with what the report says."""
        arms = {name: {**vars(arm), "running": len(arm.running)} for name, arm in self.overview.counts.arms.items()}
        return {
            "run": str(self.where),
            "planned": self.overview.plan.trial_count,
            "counts": self.counts,
            "is_going_on": self.overview.is_going_on,
            "standing_still": self.standing_still,
            "checkpoints": self.checkpoints,
            "arms": arms,
            "running": sorted(trial_id for arm in self.overview.counts.arms.values() for trial_id in arm.running),
            "epochs": self.overview.counts.epochs,
            **self.overview.facts(),
            "failures": [vars(failures) for failures in self.failures],
            "retry": self.retry,
            "answer": self.where.answer(),
            "best": best_facts(self.where),
        }

    def lines(self, most_lines: int) -> Iterator[RenderableType]:
        """Yield it for people."""
        yield self.overview.screen(most_lines)
        counted = " + ".join(f"{number} {name}" for name, number in self.counts.items() if number)
        yield Text(f"{self.overview.plan.trial_count} planned = {counted or 'none'}")
        kept, removed = self.checkpoints["kept"], self.checkpoints["removed"]
        words = [f"checkpoints: {kept} kept, {removed} removed since they were not to be kept"] * bool(kept or removed)
        words += [] if self.standing_still is None else [self.standing_still]
        words += [*in_words(self.failures, self.where.paths), *retry_in_words(self.failures, self.retry)]
        words += [*self.where.answer(), *([] if self.overview.is_going_on else best_in_words(best_facts(self.where)))]
        yield from map(Text, words)


def look(where: RunDir) -> Look:
    """Read a run's ledger, and whether its driver lives. Raises FaultsError if the run cannot be read."""
    file, events, driver = where.study(), where.events(), where.driver()
    try:
        plan, records = study_file.plan_now(file, events), fold(events)
    except ConflictError as error:
        raise FaultsError([str(error)]) from error
    trials = {trial.trial_id: trial for trial in plan.trials()}
    last_unix_s = max((event.unix_s for event in events), default=0.0)
    is_alive = driver is not None and is_at_work(driver, last_unix_s, longest_quiet_s(events))
    session = driver["session"] if driver is not None and is_alive else None
    running = set() if session is None else running_trials(events, records, session)
    counts = Counts(plan, trials, records)
    for trial_id in running:
        counts.arms[trials[trial_id].arm].running.add(trial_id)
    states = [records.get(trial_id, TrialState(trial_id)) for trial_id in trials]
    by_status = Counter("running" if state.trial_id in running else status(state) for state in states)
    standing_still = None
    if driver is not None and counts.ended < len(trials) and not running:
        who = f"driver {driver['process']} on {driver['host']}"
        minutes = (time.time() - last_unix_s) / 60
        is_gone = "is gone;" if is_here(driver) else f"has recorded nothing for {minutes:.0f} min; if it is gone,"
        gone = f"{who} {is_gone} go on with: {go_on_command(file, where.paths)}"
        standing_still = f"{who} is at work, and no trial is running at this moment" if is_alive else gone
    return Look(
        where,
        _overview(plan, counts, events, session if counts.ended < len(trials) else None),
        {name: by_status[name] for name in (("running", *STATUSES) if running else STATUSES)},
        standing_still,
        {
            "kept": sum(state.checkpoint is not None for state in states),
            "removed": sum(state.removed_checkpoint is not None for state in states),
        },
        by_reason((state.trial_id, status(state), state.reason) for state in states),
        go_on_command(file, where.paths, OPTION) if reopenable(plan, records) else None,
    )


def _overview(plan: Plan, counts: Counts, events: list[Event], session: int | None) -> Overview:
    """Say how fast the session that is at work goes; if there is none, how fast all went."""
    here = [event for event in events if session in (None, event.session)]
    elapsed_s = sweep_wall_s(here) if session is None or not here else max(0.0, time.time() - here[0].unix_s)
    epochs = sum(event.kind == "epoch" for event in here)
    return Overview(
        plan,
        counts,
        effort(plan).epochs_expected,
        epochs_here=epochs,
        elapsed_s=elapsed_s,
        epochs_per_s=epochs / max(elapsed_s, 1e-9),
        retries=sum(event.kind == "retried" for event in here),
        is_going_on=session is not None,
    )


def watch(where: RunDir, out: Console, *, as_json: bool = False) -> None:
    """Look again and again until no driver is at work on the run; raises FaultsError if it cannot be read."""
    with nullcontext() if as_json else Live(console=out, auto_refresh=False) as live:
        while True:
            began = time.monotonic()
            found = look(where)
            if live is None:
                typer.echo(json.dumps(found.facts()))
            else:
                live.update(Group(*found.lines(out.height)), refresh=True)
            if not found.overview.is_going_on:
                return
            time.sleep(max(WATCH_EVERY_S, SHARE_OF_TIME * (time.monotonic() - began)))


def show(
    run: Annotated[str, typer.Argument(help="A run directory, or an address such as s3://bucket/runs/NAME.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON; with --watch an object a line.")] = False,
    is_watched: Annotated[bool, typer.Option("--watch", help="Draw it again until the run has ended.")] = False,
) -> None:
    """Print where a run stands, read from its ledger: arms, failures, and the answer of its report if it has one."""
    with exit_on_errors():
        where, out = run_dir(run), console()
        if is_watched:
            try:
                watch(where, out, as_json=as_json)
            except KeyboardInterrupt:
                raise typer.Exit(INTERRUPTED) from None
            return
        found = look(where)
        if as_json:
            typer.echo(json.dumps(found.facts(), indent=1))
            return
        for line in found.lines(out.height if out.is_terminal else len(found.overview.plan.arms) + 10):
            out.print(line)


if __name__ == "__main__":
    typer.run(show)
