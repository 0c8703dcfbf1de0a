"""Parts that are computed one by one: if one fails, that is kept and said in its place, and the rest goes on."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

Part = TypeVar("Part")
MOST_LETTERS = 300  # of an error's last line


@dataclass(frozen=True)
class Failure:
    """A part that could not be made: its name, the error's last line, and the traceback for whoever mends it."""

    name: str
    error: str
    traceback: str


class LostError(Exception):
    """What a part needs failed earlier, for the same reason as everything else that needs it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error)
        self.failure = failure


class Attempts:
    """Makes parts, and keeps what failed in ``failures``, in order."""

    def __init__(self, failures: Iterable[Failure] = ()) -> None:
        self.failures = list(failures)

    def make(self, name: str, part: Callable[[], Part], instead: Part) -> Part:
        """Return what ``part`` makes, or ``instead`` if that fails."""
        try:
            return part()
        except LostError as error:
            self.failures.append(Failure(name, error.failure.error, error.failure.traceback))
            return instead
        except Exception as error:
            lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
            self.failures.append(Failure(name, lines[-1].strip()[:MOST_LETTERS], traceback.format_exc()))
            return instead

    @property
    def failed(self) -> dict[str, str]:
        """The error of each part that failed, the first one of several."""
        return {failure.name: failure.error for failure in reversed(self.failures)}
