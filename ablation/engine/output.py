"""A worker's standard output and error: one file a trial, from its first epoch to its last, file descriptors included.

``sys.stdout`` and ``sys.stderr`` are the same two objects as long as the process lives, and what changes is where file
descriptors 1 and 2 lead: handlers, consoles and subprocesses that outlive an epoch, or a trial, write on.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

# What a trial prints may name files whose names are no text, whatever the machine's locale.
UNREADABLE_AS = "backslashreplace"
STDOUT, STDERR = 1, 2


class Output:
    """Where this process's output goes; ``to`` and ``restore`` are called in turn."""

    def __init__(self) -> None:
        self._streams = tuple(_stream(number) for number in (STDOUT, STDERR))
        self._before: tuple[tuple[int, ...], tuple[TextIO, ...]] | None = None

    @property
    def is_redirected(self) -> bool:
        """Return whether output goes into a trial's file."""
        return self._before is not None

    def to(self, path: Path) -> None:
        """Append output to a file, whose folder is made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        _flush(sys.stdout, sys.stderr)
        self._before = tuple(os.dup(number) for number in (STDOUT, STDERR)), (sys.stdout, sys.stderr)
        for number in (STDOUT, STDERR):
            os.dup2(log, number)
        os.close(log)
        sys.stdout, sys.stderr = self._streams

    def restore(self) -> None:
        """Let output go where it went before."""
        if self._before is None:
            return
        (descriptors, streams), self._before = self._before, None
        _flush(*self._streams, sys.stdout, sys.stderr)
        for number, descriptor in zip((STDOUT, STDERR), descriptors, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        sys.stdout, sys.stderr = streams


def _stream(number: int) -> TextIO:
    return open(number, "w", buffering=1, encoding="utf-8", errors=UNREADABLE_AS, closefd=False)


def _flush(*streams: TextIO) -> None:
    for stream in streams:
        # A full disk has been reported by the trial that printed; here the next trial would pay for it.
        with suppress(OSError, ValueError):
            stream.flush()
