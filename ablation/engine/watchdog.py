"""End a worker whose epoch takes too long; beside the trial's log lies the traceback that it leaves."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ablation.engine.output import UNREADABLE_AS

SUFFIX = ".hang.txt"


def trace_of(log: Path) -> Path:
    """Return where the traceback of a trial's hang lies, by the trial's log."""
    return log.with_suffix(SUFFIX)


@contextmanager
def watched(trace: Path, most_s: float) -> Iterator[None]:
    """End this process, leaving its traceback, if what follows takes longer than ``most_s``."""
    trace.parent.mkdir(parents=True, exist_ok=True)
    with trace.open("a", encoding="utf-8", errors=UNREADABLE_AS) as traces:
        faulthandler.dump_traceback_later(most_s, exit=True, file=traces)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            trace.unlink(missing_ok=True)


def remove_empty_traces(logs: Path) -> None:
    """Remove what workers left that were killed in mid-epoch by something other than the watchdog."""
    for trace in logs.glob(f"*{SUFFIX}"):
        with suppress(OSError):
            if trace.stat().st_size == 0:
                trace.unlink()
