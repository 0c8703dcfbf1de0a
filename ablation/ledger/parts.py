"""The parts of an event log: how they are named and read, and what of them counts.

A part holds a whole stretch of the log and is named ``session-first-last-digest.parquet``; one that compaction made of
smaller ones says ``merged`` before the digest. Sessions fork: the first part of a later session begins where its driver
had read to, and what an overtaken session wrote behind that place does not count.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from ablation.ledger.events import Event, from_payload
from ablation.ledger.storage import Folder
from ablation.store import AT_A_TIME
from ablation.version import VERSION

SCHEMA_VERSION = 1
SCHEMA = pa.schema(
    [
        ("seq", pa.int64()),
        ("session", pa.int32()),
        ("kind", pa.string()),
        ("trial_id", pa.string()),
        ("unix_s", pa.float64()),
        ("payload", pa.string()),
    ]
)
NAME = re.compile(r"(\d+)-(\d+)-(\d+)-(merged-)?([0-9a-f]+)\.parquet")

READ_TRIES = 5
PAUSE_S = 0.1  # a compaction removes one part after the other
Found = TypeVar("Found")

log = logging.getLogger(__name__)


class LedgerError(RuntimeError):
    """The log is damaged, or cannot be written."""


@dataclass(frozen=True)
class Part:
    """One file of the log, by its name: events ``first`` to ``last`` as ``session`` wrote them."""

    session: int
    first: int
    last: int
    is_merged: bool
    name: str

    @property
    def count(self) -> int:
        """How many events it holds."""
        return self.last - self.first + 1

    @classmethod
    def named(cls, name: str) -> Part:
        """Read a part's name; raises ValueError if it is none."""
        match = NAME.fullmatch(name)
        if match is None:
            raise ValueError(name)
        session, first, last = (int(group) for group in match.groups()[:3])
        return cls(session, first, last, match[4] is not None, name)


class DamagedPartError(LedgerError):
    """A part's content is not what its name says."""


class GapError(LedgerError):
    """A stretch of the log is missing."""


@dataclass(frozen=True)
class LiveRange:
    """What counts of a part: its events up to ``last``."""

    part: Part
    last: int


def list_parts(folder: Folder) -> list[Part]:
    """List a log's parts in the order in which they count: by session, then as they follow each other.

    Raises LedgerError for a file that is no part.
    """
    parts = []
    for name in folder.names():
        if name.endswith(".parquet") and not name.startswith("."):
            try:
                parts.append(Part.named(name))
            except ValueError as error:
                raise LedgerError(f"{folder.locate(name)} is no part of a ledger; move it elsewhere") from error
    # Of parts of a session that begin alike the longest comes first: it is the others' merger.
    return sorted(parts, key=lambda part: (part.session, part.first, -part.last))


def chain(parts: Sequence[Part], folder: Folder) -> list[LiveRange]:
    """Chain parts to the one log they hold; raises GapError if a stretch of it is missing."""
    reported: list[LiveRange] = []
    for part in parts:
        if reported and reported[-1].part.session == part.session and part.last <= reported[-1].last:
            continue  # left beside its merger by a crash
        while reported and reported[-1].part.first >= part.first:
            reported.pop()
        if reported:
            reported[-1] = LiveRange(reported[-1].part, min(reported[-1].last, part.first - 1))
        reported.append(LiveRange(part, part.last))
    # Only now: what a crash in the middle of a compaction left may have gaps, and its merger none.
    end = -1
    for live in reported:
        if live.part.first != end + 1:
            raise GapError(
                f"{folder} lacks events {end + 1} to {live.part.first - 1}: the part before {live.part.name} is "
                "missing; restore it from a copy"
            )
        end = live.last
    return reported


def read_log(folder: Folder) -> list[Event]:
    """Read the whole log in order.

    A last part that was torn while it was written is left out, with a warning in the log: its trials repeat what it
    reported. Raises LedgerError, naming file and remedy, if another part is damaged or missing.
    """
    return _retried(lambda: read_live(folder, _without_torn_end(folder)))


def live_parts(folder: Folder) -> list[LiveRange]:
    """List what counts of a log, in order, as ``read_log`` reads it; no content is read but that of the last part."""
    return _retried(lambda: _without_torn_end(folder))


def retry_while_compacting(read: Callable[[], Found], *gone: type[Exception]) -> Found:
    """Read parts that a driver may be compacting: again if one went between its listing and its reading.

    ``gone`` are the errors that say so; the last one is raised, since the part is truly gone then.
    """
    for _ in range(READ_TRIES - 1):
        try:
            return read()
        except gone:
            time.sleep(PAUSE_S)
    return read()


def _retried(read: Callable[[], list[Found]]) -> list[Found]:
    try:
        return retry_while_compacting(read, FileNotFoundError, GapError)
    except FileNotFoundError as error:
        raise LedgerError(str(error)) from error


def _without_torn_end(folder: Folder) -> list[LiveRange]:
    ranges = chain(list_parts(folder), folder)
    if ranges and not ranges[-1].part.is_merged:
        try:
            _read_whole(folder, ranges[-1].part)
        except DamagedPartError as error:
            log.warning("%s; it is the last one, so its trials repeat what it reported", error)
            return ranges[:-1]
    return ranges


def _read_whole(folder: Folder, part: Part) -> bytes:
    content = folder.read(part.name)
    if digest(content) != part.name.removesuffix(".parquet").rpartition("-")[2]:
        where = folder.locate(part.name)
        raise DamagedPartError(f"{where} is damaged: its content does not match its name; restore it from a copy")
    return content


def read_live(folder: Folder, ranges: Sequence[LiveRange]) -> list[Event]:
    """Read what counts of parts; raises DamagedPartError at the first that is damaged."""
    # A part that lies far away is waited for, so several are at a time; here decoding takes the time.
    with ThreadPoolExecutor(1 if folder.is_here else AT_A_TIME) as threads:
        parts = threads.map(lambda live: read_part(folder, live.part), ranges)
        return [event for live, events in zip(ranges, parts, strict=True) for event in events if event.seq <= live.last]


def read_part(folder: Folder, part: Part) -> list[Event]:
    """Read one part; raises DamagedPartError if it is not what its name says, LedgerError for a newer schema."""
    # Not by read_table, which imports pandas and takes seconds for that.
    table = pq.ParquetFile(pa.BufferReader(_read_whole(folder, part))).read(use_threads=False)
    where = folder.locate(part.name)
    written = int((table.schema.metadata or {}).get(b"schema_version", b"1"))
    if written > SCHEMA_VERSION:
        raise LedgerError(f"{where} has schema version {written}, but this is {SCHEMA_VERSION}; use a newer ablation")
    try:
        events = [_event(**row) for row in table.to_pylist()]
    except ValueError as error:
        raise LedgerError(f"{where}: {error}") from error
    if [event.seq for event in events] != list(range(part.first, part.last + 1)):
        raise DamagedPartError(f"{where} does not hold the events that its name says; restore it from a copy")
    return events


def put_part(folder: Folder, events: Sequence[Event], *, is_merged: bool = False) -> Part:
    """Write events as one part."""
    rows = [
        {name: json.dumps(event.payload) if name == "payload" else getattr(event, name) for name in SCHEMA.names}
        for event in events
    ]
    metadata = {"schema_version": str(SCHEMA_VERSION), "written_by": json.dumps(_writer())}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata(metadata)), sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    first, last = events[0], events[-1]
    merged = "merged-" if is_merged else ""
    name = f"{last.session:04d}-{first.seq:09d}-{last.seq:09d}-{merged}{digest(content)}.parquet"
    folder.put(name, content)
    return Part.named(name)


def _event(seq: int, session: int, kind: str, trial_id: str | None, unix_s: float, payload: str) -> Event:
    return Event(seq, session, trial_id, unix_s, from_payload(kind, json.loads(payload)))


def superseded_parts(parts: Sequence[Part], folder: Folder) -> Iterator[Part]:
    """Yield the parts of which nothing counts."""
    counting = {live.part for live in chain(parts, folder)}
    yield from (part for part in parts if part not in counting)


def digest(content: bytes) -> str:
    """Return the digest that names carry: 12 hexadecimal digits of SHA-256."""
    return hashlib.sha256(content).hexdigest()[:12]


@cache
def _writer() -> dict[str, Any]:
    return {"ablation": VERSION, "pyarrow": pa.__version__, "host": platform.node(), "process": os.getpid()}
