"""The event log of a study: append-only immutable Parquet parts, the single source of truth.

The driver is the only writer. Every event gets the next ``seq``, and order is ``seq``, never the clock. A part holds
a whole stretch of the log, is put at once (temporary file, fsync, rename) and is named session-first-last-digest.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

EventKind = Literal["session_opened", "proposed", "started", "epoch", "decided", "ended", "retried"]

SCHEMA = pa.schema(
    [
        ("seq", pa.int64()),
        ("session", pa.int32()),
        ("kind", pa.string()),
        ("trial_id", pa.string()),
        ("unix_s", pa.float64()),
        ("payload", pa.string()),
    ],
    metadata={"schema_version": "1"},
)
FLUSH_EVERY_S = 1.0
COMPACT_ABOVE = 64  # parts
LARGE_PART_EVENTS = 20_000  # a part of that many is left as it is


class LedgerError(RuntimeError):
    """The log on disk is damaged, or somebody else's."""


@dataclass(frozen=True)
class Event:
    """One thing that happened: ``payload`` is JSON, its keys depend on the kind (docs/results.md)."""

    seq: int
    session: int
    kind: EventKind
    trial_id: str | None
    unix_s: float
    payload: Mapping[str, Any]


class Ledger:
    """Append events and put them on disk, at the latest a second after they happened.

    Opening begins a new session, with a number above every earlier one. Use as a context manager: leaving flushes.
    """

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock_file = _lock(directory)
        self._directory = directory
        self._clock = clock
        self.history = read_events(directory)
        self._next_seq = len(self.history)
        self.session = 1 + max((event.session for event in self.history), default=0)
        self._unwritten: list[Event] = []
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._failure: BaseException | None = None
        self._closed = threading.Event()
        self._flusher = threading.Thread(target=self._flush_regularly, name="ledger-flush", daemon=True)
        self._flusher.start()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def append(self, kind: EventKind, trial_id: str | None = None, **payload: Any) -> Event:
        """Give an event the next place in the log; raises what an earlier flush in the background met."""
        if self._failure is not None:
            raise LedgerError(f"cannot write {self._directory}: {self._failure}") from self._failure
        with self._lock:
            event = Event(self._next_seq, self.session, kind, trial_id, self._clock(), payload)
            self._next_seq += 1
            self._unwritten.append(event)
        return event

    def flush(self) -> None:
        """Put everything appended so far on disk, as one part."""
        with self._flushing:
            with self._lock:
                events, self._unwritten = self._unwritten, []
            if events:
                try:
                    _put_part(self._directory, events)
                except BaseException:
                    with self._lock:
                        self._unwritten = events + self._unwritten
                    raise
                _compact(self._directory)

    def close(self) -> None:
        """Flush what is left and end the background flushing."""
        self._closed.set()
        self._flusher.join()
        try:
            self.flush()
        finally:
            self._lock_file.close()

    def _flush_regularly(self) -> None:
        while not self._closed.wait(FLUSH_EVERY_S):
            try:
                self.flush()
            except Exception as error:
                # Told by the next append, in the driver's own thread, where it ends the sweep.
                self._failure = error
                return


def _lock(directory: Path) -> IO[bytes]:
    """Keep a second driver on this machine out; the lock goes with the process, however it ends."""
    file = (directory / ".lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise LedgerError(f"another driver is at work on {directory.parent}; wait for it or end it") from error
    return file


def read_events(directory: Path) -> list[Event]:
    """Read the whole log in order.

    Raises LedgerError where a part is damaged (its digest does not match) or a stretch of the log is missing.
    """
    events: list[Event] = []
    for part in _uncovered(_parts(directory)):
        if part.first != len(events):
            raise LedgerError(f"{directory} lacks events {len(events)}..{part.first - 1}; restore the missing part")
        events += _read_part(part)
        if [event.seq for event in events[part.first :]] != list(range(part.first, part.last + 1)):
            raise LedgerError(f"{part.path} does not hold the events that its name says; restore it from a copy")
    return events


@dataclass(frozen=True, order=True)
class _Part:
    first: int
    minus_last: int  # of parts that begin alike, the longest comes first
    path: Path

    @property
    def last(self) -> int:
        return -self.minus_last


def _parts(directory: Path) -> list[_Part]:
    parts = []
    for path in directory.glob("*.parquet"):
        _session, first, last, _digest = path.stem.split("-")
        parts.append(_Part(int(first), -int(last), path))
    return sorted(parts)


def _uncovered(parts: list[_Part]) -> Iterator[_Part]:
    """Leave out parts whose stretch a merged one has told already: a crash may have left them beside it."""
    told = -1
    for part in parts:
        if part.last > told:
            told = part.last
            yield part


def _read_part(part: _Part) -> Iterator[Event]:
    content = part.path.read_bytes()
    if not part.path.stem.endswith(_digest(content)):
        raise LedgerError(f"{part.path} is damaged: its content does not match its name; restore it from a copy")
    for row in pq.read_table(pa.BufferReader(content), schema=SCHEMA, use_threads=False).to_pylist():
        yield Event(**{**row, "payload": json.loads(row["payload"])})


def _put_part(directory: Path, events: list[Event]) -> None:
    rows = [{**event.__dict__, "payload": json.dumps(dict(event.payload))} for event in events]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    first, last = events[0], events[-1]
    put_whole(directory / f"{last.session:04d}-{first.seq:09d}-{last.seq:09d}-{_digest(content)}.parquet", content)


def _compact(directory: Path) -> None:
    """Merge small parts as they grow in number; a crash in between leaves both, and the longer one is read."""
    parts = _parts(directory)
    small = [part for part in _uncovered(parts) if part.last - part.first < LARGE_PART_EVENTS]
    if len(small) <= COMPACT_ABOVE:
        return
    _put_part(directory, [event for part in small for event in _read_part(part)])
    told = {part.path for part in _uncovered(_parts(directory))}
    for part in _parts(directory):
        if part.path not in told:
            part.path.unlink()


def put_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
