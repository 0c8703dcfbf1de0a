"""A request to stop, whichever signal brings it and however early: in one line, or as the exception for it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

INTERRUPTED = 130  # exit code
STDERR = 2
NOTHING_BEGUN = "interrupted before anything was started"


def quit_when_interrupted() -> None:
    """Let SIGINT end this process with one line, until ``as_keyboard_interrupts``; one that is ignored stays so.

    For the time of imports, which may swallow a KeyboardInterrupt or show it as a traceback of theirs.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _quit)


def _quit(number: int, frame: FrameType | None) -> None:
    is_for_programs = any("json" in (word, word.removeprefix("--log-format=")) for word in sys.argv)
    line = json.dumps({"kind": "fault", "fault": NOTHING_BEGUN}) if is_for_programs else f"error: {NOTHING_BEGUN}"
    with suppress(OSError):
        os.write(STDERR, f"{line}\n".encode())
    os._exit(INTERRUPTED)


@contextmanager
def as_keyboard_interrupts() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt, as SIGINT does.

    What ``quit_when_interrupted`` set up ends here.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with handled(interrupt, signal.SIGTERM):
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is _quit:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        yield


@contextmanager
def handled(handle: Callable[[int, FrameType | None], None], *numbers: signal.Signals) -> Iterator[None]:
    """Handle signals, SIGHUP among them, until the block ends; a SIGHUP that is ignored, as by nohup, stays so.

    Outside the main thread, where Python handles no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    with_hup = numbers if is_ignored else (*numbers, signal.SIGHUP)
    previous = {number: signal.signal(number, handle) for number in with_hup}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
