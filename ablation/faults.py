"""Faults in what a user gave: collected, then reported all at once."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class FaultsError(ValueError):
    """Everything that is wrong with some input, each fault naming the value, the rule and the remedy."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


def nearest(word: str, known: Iterable[str]) -> str:
    """Format a hint for an unknown ``word``: the closest known one if there is one, and all of them.

    >>> nearest("acuracy", ["accuracy", "loss"])
    "did you mean 'accuracy'? known: accuracy, loss"
    """
    known = sorted(known)
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}known: {', '.join(known)}"
