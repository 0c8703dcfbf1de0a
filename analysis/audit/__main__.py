"""Command: ``python -m analysis.audit RUN_DIR`` checks a run directory against itself."""

from __future__ import annotations

from typing import Annotated

import typer

from ablation.faults import FaultsError
from ablation.paths import RunPaths, no_run
from ablation.store import located
from ablation.terminal import exit_on_errors
from analysis.audit.checks import audit


def main(run: Annotated[str, typer.Argument(help="A run directory, or its address.")]) -> None:
    """Check plan, ledger, trials and epochs of a run against each other.

    Exit code 0: all agree; 1: not, with every disagreement; 2: the directory is no run.
    """
    with exit_on_errors():
        root = located(run)
        if not RunPaths(root).study.is_file():
            raise FaultsError([no_run(root)])
    faults = audit(root)
    for fault in faults:
        typer.echo(fault)
    typer.echo(f"{run}: {f'{len(faults)} disagreements' if faults else 'plan, ledger, trials and epochs agree'}")
    raise typer.Exit(1 if faults else 0)


if __name__ == "__main__":
    typer.run(main)
