"""Signals that end a sweep in order: noted, for the sweep to look at when it can stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ablation.interrupts import handled


class Signals:
    """The number of the latest signal that asked for an end; None if none has."""

    def __init__(self) -> None:
        self.number: int | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note signals until the block ends; outside the main thread, where Python handles none, nothing changes."""

        def note(number: int, frame: FrameType | None) -> None:
            self.number = number

        with handled(note, signal.SIGINT, signal.SIGTERM):
            yield
