"""Signals that end a sweep in order: noted, for the sweep to look at when it can stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Signals:
    """The number of the latest signal that asked for an end; None if none has."""

    def __init__(self) -> None:
        self.number: int | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note signals until the block ends."""
        previous = self.take_over()
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def take_over(self) -> dict[signal.Signals, Any]:
        """Handle signals here from now on, and return the handlers that they had; none outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return {}  # Python lets no other thread handle signals

        def note(number: int, frame: FrameType | None) -> None:
            self.number = number

        handled = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
            handled.append(signal.SIGHUP)
        return {number: signal.signal(number, note) for number in handled}
