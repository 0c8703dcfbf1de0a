"""Consoles that print text as it is: brackets of a user's are no markup, and colons no emoji."""

from __future__ import annotations

from functools import partial

from rich.console import Console
from rich.text import Text

console = partial(Console, markup=False, emoji=False, highlight=False, soft_wrap=True)


def error_line(fault: str) -> Text:
    """Return a fault as every command says it."""
    return Text.assemble(("error:", "red"), f" {fault}")
