"""The option ``--retry-failed [lost|memory|error]``, whose value may be left out, which typer's options cannot."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import typer
from typer.core import TyperCommand

from ablation.failures import KINDS, Kind

OPTION = "--retry-failed"
ALL = "all"
A_KIND = rf"(?:{'|'.join((*KINDS, ALL))})"

retry_option = partial(
    typer.Option,
    OPTION,
    metavar=f"[{'|'.join(KINDS)}]",
    help="Run failed trials again: all, or those whose worker was lost, that ran out of memory, or that raised.",
)


class WithRetry(TyperCommand):
    """A command that takes ``--retry-failed`` with a kind or without."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, after the kind that was left out was put in."""
        return super().parse_args(ctx, filled_in(args))


def filled_in(arguments: Sequence[str]) -> list[str]:
    """Give ``--retry-failed`` its value.

    >>> filled_in(["--retry-failed", "RUN", "--retry-failed", "memory"])
    ['--retry-failed=all', 'RUN', '--retry-failed=memory']
    """
    found: list[str] = []
    for argument in arguments:
        if found and found[-1] == OPTION:
            has_kind = re.fullmatch(rf"{A_KIND}(,{A_KIND})*", argument)
            found[-1] = f"{OPTION}={argument if has_kind else ALL}"
            if has_kind:
                continue
        found.append(argument)
    return [f"{OPTION}={ALL}" if argument == OPTION else argument for argument in found]


def kinds_asked(given: str | bool | None, faults: list[str]) -> tuple[Kind, ...]:
    """Return the kinds of failures to retry, several with commas between them; none if nothing was given."""
    if not given:
        return ()
    names = {ALL} if given is True else set(given.split(","))
    unknown = sorted(names - {*KINDS, ALL})
    faults += [f"{OPTION} is {name!r}, but must be one of {', '.join(KINDS)}, or left out for all" for name in unknown]
    return tuple(kind for kind in KINDS if names & {kind, ALL})


def run_command(function: Callable[..., Any]) -> None:
    """Run a function as a command, as ``typer.run`` does."""
    app = typer.Typer(add_completion=False)
    app.command(cls=WithRetry)(function)
    app()
