"""The event log of a study: append-only immutable Parquet parts, the single source of truth.

A driver is the only writer. Every event gets the next ``seq``, and order is ``seq``, never the clock. A driver opens a
session with a number above every earlier one; one that meets a higher session than its own writes no more.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import threading
import time
import uuid
from collections.abc import Callable
from itertools import islice
from typing import Any

from ablation.ledger import parts
from ablation.ledger.events import Event as Event
from ablation.ledger.events import Happening
from ablation.ledger.parts import (
    GapError,
    LiveRange,
    chain,
    list_parts,
    put_part,
    read_live,
    read_log,
    superseded_parts,
)
from ablation.ledger.parts import LedgerError as LedgerError
from ablation.ledger.storage import Folder as Folder
from ablation.machine import started
from ablation.store import AnyPath

log = logging.getLogger(__name__)

FLUSH_EVERY_S = 1.0
FLUSH_TRIES = 5  # in a row: a store behind a network may be away for a moment
COMPACT_ABOVE = 64  # parts
REMOVED_A_FLUSH = 8  # parts in a store, in which one after the other takes seconds
LARGE_PART_EVENTS = 20_000  # a part of that many is left as it is
CLAIM = re.compile(r"session-(\d+)-([0-9a-f]+)\.json")


class OvertakenError(LedgerError):
    """Another driver has taken over the run."""


class Ledger:
    """Append events and put them in the log, at the latest a second after they happened.

    Opening begins a new session, which overtakes any driver still at work on the run. Use as a context manager:
    leaving flushes.
    """

    def __init__(self, location: Folder | AnyPath | str, clock: Callable[[], float] = time.time) -> None:
        self._folder = Folder.at(location)
        self._clock = clock
        self._folder.make()
        # Claimed before the log is read: from then on the driver before this one writes no more.
        self.session = _claim(self._folder)
        self.history = read_log(self._folder)
        self._next_seq = len(self.history)
        self._written = self._next_seq
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

    @property
    def failure(self) -> BaseException | None:
        """What keeps the log from being written, if anything does: another driver, or the disk."""
        return self._failure

    @property
    def appended(self) -> int:
        """How many events the log has, those included that are yet to be written."""
        return self._next_seq

    @property
    def written(self) -> int:
        """How many events of the log are on disk."""
        return self._written

    def append(self, what: Happening, trial_id: str | None = None) -> Event:
        """Add what happened, to a trial or the study, to the log; raises what an earlier flush met."""
        if isinstance(self._failure, LedgerError):
            raise self._failure
        if self._failure is not None:
            raise self._unwritable(self._failure) from self._failure
        with self._lock:
            event = Event(self._next_seq, self.session, trial_id, self._clock(), what)
            self._next_seq += 1
            self._unwritten.append(event)
        return event

    def flush(self) -> None:
        """Put everything appended so far into the log, as one part.

        Raises OvertakenError if another driver has taken over, OSError if nothing can be written; what was not
        written stays to be tried again.
        """
        with self._flushing:
            with self._lock:
                events, self._unwritten = self._unwritten, []
            try:
                self._check_session()
                if not events:
                    return
                put_part(self._folder, events)
                self._written = events[-1].seq + 1
            except BaseException:
                with self._lock:
                    self._unwritten = events + self._unwritten
                raise
            self._merge()

    def close(self) -> None:
        """Flush what is left and end the background flushing; what cannot be written is reported."""
        self._closed.set()
        self._flusher.join()
        if isinstance(self._failure, OvertakenError):
            return
        tries = 1 if self._failure is not None else FLUSH_TRIES
        while self._unwritten:
            tries -= 1
            try:
                self.flush()
            except OSError as error:
                if tries == 0:
                    raise self._unwritable(error) from error
                time.sleep(FLUSH_EVERY_S)

    def _unwritable(self, why: BaseException) -> LedgerError:
        return LedgerError(f"cannot write {self._folder}: {why}; make that possible, then go on with --resume")

    def _merge(self) -> None:
        try:
            self._compact()
        except (FileNotFoundError, GapError):
            self._check_session()  # a driver that has taken over merges, too
            raise
        except OSError as error:
            log.warning("%s: parts could not be merged (%s); the next flush tries again", self._folder, error)

    def _check_session(self) -> None:
        newest, name = max(_claims(self._folder), default=(0, ""))
        if newest > self.session:
            other = _claimant(self._folder, name)
            raise OvertakenError(
                f"another driver ({other}) has taken over {self._folder}: this one, session {self.session}, "
                f"writes no more, and the other, session {newest}, goes on from what it found"
            )

    def _compact(self) -> None:
        """Merge small parts as they grow in number; a crash in between leaves both, and the merged one is read."""
        parts = list_parts(self._folder)
        if len(parts) <= COMPACT_ABOVE:
            return
        ranges = chain(parts, self._folder)
        # Only the newest parts are small, those since the last large one.
        start = len(ranges)
        while start and ranges[start - 1].part.count < LARGE_PART_EVENTS:
            start -= 1
        if len(ranges) - start > COMPACT_ABOVE // 2:
            put_part(self._folder, read_live(self._folder, ranges[start:]), is_merged=True)
        # The newest first: a crash in between leaves a log without gaps.
        left = reversed(list(superseded_parts(list_parts(self._folder), self._folder)))
        for part in islice(left, None if self._folder.is_here else REMOVED_A_FLUSH):
            self._folder.delete(part.name)

    def _flush_regularly(self) -> None:
        failed = 0
        while not self._closed.wait(FLUSH_EVERY_S):
            try:
                self.flush()
                failed = 0
            except Exception as error:
                failed += 1
                if failed == FLUSH_TRIES or not isinstance(error, OSError):
                    # Reported by the next append, in the driver's own thread, where it ends the sweep.
                    self._failure = error
                    return


def live_parts(location: Folder | AnyPath | str) -> list[LiveRange]:
    """List the parts of a run's log that count, and up to which event; none if there is no log."""
    return parts.live_parts(Folder.at(location))


def read_events(location: Folder | AnyPath | str) -> list[Event]:
    """Read a run's whole log in order; ``parts.read_log`` says what is recovered and what refused."""
    return read_log(Folder.at(location))


def newest_driver(location: Folder | AnyPath | str) -> dict[str, Any] | None:
    """Return the number, host and process of the newest session that was opened; None if there is none."""
    folder = Folder.at(location)
    number, name = max(_claims(folder), default=(0, ""))
    try:
        return {"session": number, **json.loads(folder.read(name))} if name else None
    except (OSError, ValueError):
        return None  # of a driver that is just opening it


def _claims(folder: Folder) -> list[tuple[int, str]]:
    found = ((CLAIM.fullmatch(name), name) for name in folder.names())
    return [(int(match[1]), name) for match, name in found if match is not None]


def _claim(folder: Folder) -> int:
    """Take the next session number; of drivers that ask at once each gets its own, and the highest goes on."""
    token = uuid.uuid4().hex[:12]
    about = json.dumps({"host": platform.node(), "process": os.getpid(), "started": started(os.getpid())}).encode()
    written = max((part.session for part in list_parts(folder)), default=0)
    while True:
        session = 1 + max(written, max((number for number, _ in _claims(folder)), default=0))
        name = f"session-{session:04d}-{token}.json"
        folder.put(name, about)
        if all(number < session or other == name for number, other in _claims(folder)):
            return session
        # Not alone: whoever saw it alone keeps it, the others go on to a number of their own.
        folder.delete(name)
        time.sleep(int(token[:2], 16) / 256)


def _claimant(folder: Folder, name: str) -> str:
    try:
        about = json.loads(folder.read(name))
    except (OSError, ValueError):
        return name
    return f"process {about['process']} on {about['host']}"
