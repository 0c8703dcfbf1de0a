"""The console command ``ablation``: each of the project's commands as a subcommand, imported when it is asked for.

Unlike ``python -m``, it does not put the working folder first on the import path: a user's own ``analysis/`` or
``random.py`` in there stays the user's.
"""

from __future__ import annotations

import os
import sys
from pkgutil import resolve_name
from typing import Annotated

import typer

from ablation.interrupts import quit_when_interrupted
from ablation.retry_option import WithRetry
from ablation.version import VERSION

PROGRAM = "ablation"
TYPED = (
    "COMP_WORDS",
    "_TYPER_COMPLETE_ARGS",
)  # the line so far while a shell completes it: bash; zsh, fish, PowerShell
# name: import path, and what it is for, so that the list needs none of them
COMMANDS = {
    "run": ("ablation.run:main", "Find out which parts of a model matter: plan, search, confirm, report."),
    "plan": ("ablation.run:main", "Show what would run, how long it takes and what it could detect; runs nothing."),
    "resume": ("ablation.resume:main", "Go on with a study from its folder, or let it grow."),
    "status": ("ablation.status:show", "Count what became of every planned trial, also while a study runs."),
    "best": ("ablation.best:show", "Print the best configuration, its score and its checkpoint."),
    "report": ("analysis.report.__main__:main", "Write the report of one or more studies."),
    "predict": ("ablation.predict:predict", "Predict with a study's best model."),
    "export": ("ablation.export:main", "Write a study's best model for use without this project."),
    "rerun": ("ablation.rerun:show", "Run one trial again and compare it with what was recorded."),
    "audit": ("analysis.audit.__main__:main", "Check a run directory against itself."),
}


def _list() -> typer.Typer:
    """Return the app that lists the commands, completes them in a shell and knows the version."""
    app = typer.Typer(no_args_is_help=True)
    app.callback()(_ablation)
    typed = next((text for name in TYPED if (text := os.environ.get(name))), "")
    completed = next(iter(typed.split()[1:]), None)
    for name, (path, about) in COMMANDS.items():
        called = resolve_name(path) if name == completed else _not_called
        app.command(name=name, help=about)(called)
    return app


def _not_called() -> None:
    """Stand in the list of commands."""


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"ablation {VERSION}")
        raise typer.Exit


def _ablation(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Which parts of a model matter, by how much, and how sure are we?"""


def main() -> None:
    """Run the command that was typed, as if it were a program of its own."""
    typed = sys.argv[1] if len(sys.argv) > 1 else ""
    if typed not in COMMANDS:
        _list()()
        return
    path, about = COMMANDS[typed]
    sys.argv[:2] = [f"{PROGRAM} {typed}"]
    if typed in ("run", "plan"):
        quit_when_interrupted()  # their imports take seconds
    if typed == "plan":
        sys.argv.append("--plan")
    app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)
    app.command(help=about, cls=WithRetry)(resolve_name(path))
    app(prog_name=sys.argv[0])


if __name__ == "__main__":
    main()
