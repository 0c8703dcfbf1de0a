"""Standard error that goes silent if nobody reads it any more: raising there would end the sweep it reports on."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO, cast

from rich.console import Console

from ablation.terminal import console


class Stderr:
    """``sys.stderr`` as it is now, until a write to it fails; from then on nothing is reported, and nothing raises."""

    def __init__(self) -> None:
        self._stream: TextIO | None = sys.stderr  # None if the process was started without one
        self.encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        self._is_terminal = False
        if self._stream is not None:
            with suppress(OSError, ValueError):
                self._is_terminal = self._stream.isatty()

    def isatty(self) -> bool:
        """Return whether the stream was a terminal when it was opened."""
        return self._is_terminal

    def write(self, text: str) -> int:
        """Write a text; return its length, also if it went nowhere."""
        stream = self._stream
        if stream is not None:
            try:
                stream.write(text)
            except (OSError, ValueError):  # no reader, a terminal that is gone, a full disk; a closed stream
                self._go_silent(stream)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        stream = self._stream
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                self._go_silent(stream)

    def _go_silent(self, stream: TextIO) -> None:
        self._stream = None
        # The stream keeps what it could not write, and failing to flush that at exit would make the exit code 120.
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, stream.fileno())
            finally:
                os.close(nowhere)


def stderr_console(stream: Stderr | None = None) -> Console:
    """Return a console on standard error that outlives its reader."""
    return console(file=cast(TextIO, stream or Stderr()))
