"""Signals that end a sweep in order: noted, for the sweep to look at when it can stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Signals:
    """The number of the latest signal that asked for an end; None if none has."""

    def __init__(self) -> None:
        self.number: int | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note signals until the block ends; outside the main thread, where Python handles none, nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: FrameType | None) -> None:
            self.number = number

        handled = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
            handled.append(signal.SIGHUP)
        previous = {number: signal.signal(number, note) for number in handled}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
