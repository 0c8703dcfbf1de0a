"""Text for a terminal, printed as it is: brackets of a user's are no markup, and colons no emoji."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import typer
from rich.console import Console
from rich.text import Text

from ablation.faults import FaultsError

BAD_INPUT = 2  # exit code

console = partial(Console, markup=False, emoji=False, highlight=False, soft_wrap=True)


def print_errors(errors: Iterable[str], out: Console | None = None) -> None:
    """Print one error a line, on standard error if ``out`` is left out."""
    out = console(stderr=True) if out is None else out
    for error in errors:
        out.print(Text.assemble(("error:", "red"), f" {error}"))


@contextmanager
def exit_on_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Print a FaultsError, or another of ``kinds``, that the block raises, and end the command with exit code 2."""
    expected: tuple[type[Exception], ...] = (FaultsError, *kinds)
    try:
        yield
    except expected as error:
        print_errors(error.faults if isinstance(error, FaultsError) else [str(error)])
        raise typer.Exit(BAD_INPUT) from error
