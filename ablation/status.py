"""Command: ``python -m ablation.status RUN_DIR`` counts what became of every planned trial, also while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablation import study_file
from ablation.ledger import LedgerError, read_events
from ablation.paths import RunPaths
from ablation.records import ConflictError, TrialState, fold
from ablation.tables import STATUSES, status


def show(run: Annotated[Path, typer.Argument(help="A run directory.")]) -> None:
    """Print the accounting of a run, read from its ledger."""
    paths = RunPaths(run)
    try:
        file, events = study_file.read(paths), read_events(paths.ledger)
        plan, records = study_file.plan_now(file, events), fold(events)
    except (FileNotFoundError, study_file.DamagedStudyError, LedgerError, ConflictError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    found = [status(records.get(trial.trial_id, TrialState(trial.trial_id))) for trial in plan.trials()]
    typer.echo(f"{run}: {plan.trial_count} trials planned")
    for name in STATUSES:
        typer.echo(f"{name:>12} {found.count(name):>6}")


if __name__ == "__main__":
    typer.run(show)
