"""The event log: whole parts in order, or a loud error."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from ablation.ledger import log as ledger_module
from ablation.ledger import parts
from ablation.ledger.log import Ledger, LedgerError, OvertakenError, live_parts, read_events
from ablation.ledger.records import ConflictError, fold
from ablation.ledger.storage import Folder
from tests.support.ledgers import append


def write_three_parts(directory: Path) -> None:
    with Ledger(directory, clock=lambda: 5.0) as ledger:
        for number in range(3):
            append(ledger, "started", f"trial {number}", attempt=1, code="ä\n'")
            ledger.flush()


def test_events_come_back_in_order_with_their_payloads(tmp_path: Path) -> None:
    write_three_parts(tmp_path)
    events = read_events(tmp_path)
    assert [event.seq for event in events] == [0, 1, 2]
    assert [event.trial_id for event in events] == ["trial 0", "trial 1", "trial 2"]
    assert events[0].payload == {"attempt": 1, "code": "ä\n'"}
    assert {event.unix_s for event in events} == {5.0}


def test_a_later_session_goes_on_with_a_higher_number(tmp_path: Path) -> None:
    write_three_parts(tmp_path)
    with Ledger(tmp_path) as ledger:
        assert len(ledger.history) == 3
        event = append(ledger, "session_opened", process=0, resources={})
    assert (event.seq, event.session) == (3, 2)


def damage(part: Path, how: float | None) -> None:
    """Keep a share of a part, or flip a byte in its middle."""
    content = bytearray(part.read_bytes())
    if how is None:
        content[len(content) // 2] ^= 1
    part.write_bytes(content if how is None else content[: int(how * len(content))])


DAMAGES = [0.0, 0.25, 0.5, 0.75, None]


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("number", [0, 1])
def test_an_earlier_part_that_is_damaged_is_refused_by_name(tmp_path: Path, number: int, how: float | None) -> None:
    write_three_parts(tmp_path)
    part = sorted(tmp_path.glob("*.parquet"))[number]
    damage(part, how)
    with pytest.raises(LedgerError, match=rf"{part.name} is damaged.*restore it from a copy"):
        read_events(tmp_path)
    with pytest.raises(LedgerError, match=part.name):
        Ledger(tmp_path)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_torn_last_part_is_left_out_loudly_and_written_anew(
    tmp_path: Path, how: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    write_three_parts(tmp_path)
    part = sorted(tmp_path.glob("*.parquet"))[2]
    damage(part, how)
    assert [event.seq for event in read_events(tmp_path)] == [0, 1]
    assert part.name in caplog.text
    with Ledger(tmp_path) as ledger:
        append(ledger, "started", "again", attempt=1)
    assert [(event.seq, event.trial_id) for event in read_events(tmp_path)][1:] == [(1, "trial 1"), (2, "again")]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_merged_part_is_refused_though_it_is_the_last(
    tmp_path: Path, how: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "COMPACT_ABOVE", 2)
    write_three_parts(tmp_path)
    (part,) = tmp_path.glob("*merged*")
    damage(part, how)
    with pytest.raises(LedgerError, match=part.name):
        read_events(tmp_path)


def test_a_file_that_is_no_part_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "results.parquet").touch()
    with pytest.raises(LedgerError, match=r"results\.parquet is no part of a ledger"):
        read_events(tmp_path)


def test_a_newer_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(parts, "SCHEMA_VERSION", 2)
        write_three_parts(tmp_path)
    with pytest.raises(LedgerError, match="schema version 2, but this is 1; use a newer ablation"):
        read_events(tmp_path)


def test_a_parts_footer_says_what_wrote_it(tmp_path: Path) -> None:
    write_three_parts(tmp_path)
    metadata = pq.read_schema(sorted(tmp_path.glob("*.parquet"))[0]).metadata
    assert metadata[b"schema_version"] == b"1"
    assert json.loads(metadata[b"written_by"])["process"] == os.getpid()


def test_a_missing_part_is_refused(tmp_path: Path) -> None:
    write_three_parts(tmp_path)
    sorted(tmp_path.glob("*.parquet"))[1].unlink()
    with pytest.raises(LedgerError, match="lacks events 1"):
        read_events(tmp_path)


def test_many_parts_are_merged_without_losing_an_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "COMPACT_ABOVE", 4)
    with Ledger(tmp_path) as ledger:
        for number in range(23):
            append(ledger, "started", str(number), attempt=1)
            ledger.flush()
    assert len(list(tmp_path.glob("*.parquet"))) <= 5
    assert [event.trial_id for event in read_events(tmp_path)] == [str(number) for number in range(23)]


def test_parts_left_beside_their_merger_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "COMPACT_ABOVE", 2)
    monkeypatch.setattr(Folder, "delete", lambda self, name: None)
    write_three_parts(tmp_path)
    assert len(list(tmp_path.glob("*.parquet"))) == 4
    assert [event.seq for event in read_events(tmp_path)] == [0, 1, 2]


def test_parts_left_by_a_crash_are_merged_no_second_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "COMPACT_ABOVE", 2)
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "delete", lambda self, name: None)
        write_three_parts(tmp_path)
    with Ledger(tmp_path) as ledger:
        for number in range(3, 9):
            append(ledger, "started", f"trial {number}", attempt=1)
            ledger.flush()
    assert [event.trial_id for event in read_events(tmp_path)] == [f"trial {number}" for number in range(9)]
    assert len(list(tmp_path.glob("*.parquet"))) <= 3


def test_parts_merged_while_they_are_read_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_three_parts(tmp_path)
    read = Folder.read
    waiting = [FileNotFoundError("merged since it was listed")]

    def read_late(folder: Folder, name: str) -> bytes:
        if waiting:
            raise waiting.pop()
        return read(folder, name)

    monkeypatch.setattr(Folder, "read", read_late)
    assert len(read_events(tmp_path)) == 3


def test_a_crash_between_the_deletions_of_a_compaction_leaves_a_log_that_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A merger of two sessions' parts is the later one's; whichever of the merged are gone, nothing is missing."""
    write_three_parts(tmp_path)
    kept = {path.name: path.read_bytes() for path in tmp_path.glob("*.parquet")}
    monkeypatch.setattr(ledger_module, "COMPACT_ABOVE", 2)
    with Ledger(tmp_path) as ledger:
        append(ledger, "started", "trial 3", attempt=1)
    assert len(list(tmp_path.glob("*.parquet"))) == 1
    for gone in range(1 << len(kept)):
        left = [name for number, name in enumerate(kept) if not gone >> number & 1]
        for name in left:
            (tmp_path / name).write_bytes(kept[name])
        assert [event.seq for event in read_events(tmp_path)] == [0, 1, 2, 3], left
        for name in left:
            (tmp_path / name).unlink()


def test_a_second_driver_takes_over_and_the_first_writes_no_more(tmp_path: Path) -> None:
    with Ledger(tmp_path) as first:
        append(first, "started", "both know", attempt=1)
        first.flush()
        with Ledger(tmp_path) as second:
            assert [event.trial_id for event in second.history] == ["both know"]
            append(first, "started", "too late", attempt=1)
            with pytest.raises(OvertakenError, match=f"process {os.getpid()} on .* session 1, .* session 2"):
                first.flush()
            append(second, "started", "second", attempt=1)
        first._unwritten.clear()
    assert [event.trial_id for event in read_events(tmp_path)] == ["both know", "second"]


def test_what_an_overtaken_driver_wrote_behind_the_fork_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver whose part arrives after its successor has read the log, as a slow file system may have it."""
    with Ledger(tmp_path) as first:
        append(first, "started", "both know", attempt=1)
        first.flush()
        with Ledger(tmp_path) as second, monkeypatch.context() as patch:
            patch.setattr(Ledger, "_check_session", lambda self: None)
            for name in ("late", "later"):
                append(first, "started", name, attempt=1)
            first.flush()
            for name in ("second", "third", "fourth"):
                append(second, "started", name, attempt=1)
                second.flush()
    assert [event.trial_id for event in read_events(tmp_path)] == ["both know", "second", "third", "fourth"]
    monkeypatch.setattr(ledger_module, "COMPACT_ABOVE", 2)
    with Ledger(tmp_path) as third:
        append(third, "started", "fifth", attempt=1)
    merged = [event.trial_id for event in read_events(tmp_path)]
    assert merged == ["both know", "second", "third", "fourth", "fifth"]
    assert len(list(tmp_path.glob("*.parquet"))) == 1


def test_drivers_that_open_at_once_get_sessions_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        ledgers = list(pool.map(lambda _: Ledger(tmp_path), range(8)))
    sessions = [ledger.session for ledger in ledgers]
    newest = max(ledgers, key=lambda ledger: ledger.session)
    assert len(set(sessions)) == 8
    append(newest, "started", "mine", attempt=1)
    for ledger in ledgers:
        ledger.close()
    assert [event.trial_id for event in read_events(tmp_path)] == ["mine"]


def test_order_is_the_sequence_though_the_clock_is_set_back(tmp_path: Path) -> None:
    times = iter([100.0, 50.0, 75.0])
    with Ledger(tmp_path, clock=lambda: next(times)) as ledger:
        for name in "abc":
            append(ledger, "started", name, attempt=1)
    assert [(event.trial_id, event.unix_s) for event in read_events(tmp_path)] == [
        ("a", 100.0),
        ("b", 50.0),
        ("c", 75.0),
    ]


def test_a_ledger_lies_on_any_file_system_of_pyarrow(tmp_path: Path) -> None:
    """Through a file system that is not known to be local, so written as an object store is."""
    folder = Folder(fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "bucket/run/ledger")
    with Ledger(folder) as ledger:
        for number in range(3):
            append(ledger, "started", str(number), attempt=1)
            ledger.flush()
    with Ledger(folder) as ledger:
        assert (ledger.session, len(ledger.history)) == (2, 3)
        append(ledger, "session_opened", process=0, resources={})
    assert [event.session for event in read_events(folder)] == [1, 1, 1, 2]


def test_a_failed_write_is_told_and_nothing_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(folder: Folder, name: str, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    with Ledger(tmp_path) as ledger:
        append(ledger, "started", "a", attempt=1)
        with monkeypatch.context() as patch:
            patch.setattr(Folder, "put", full_disk)
            with pytest.raises(OSError, match="No space left"):
                ledger.flush()
        append(ledger, "started", "b", attempt=1)
    assert [event.trial_id for event in read_events(tmp_path)] == ["a", "b"]


def test_a_write_that_fails_to_the_end_is_told_with_the_way_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(folder: Folder, name: str, content: bytes) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(ledger_module, "FLUSH_EVERY_S", 0.001)
    ledger = Ledger(tmp_path)
    append(ledger, "started", "a", attempt=1)
    monkeypatch.setattr(Folder, "put", read_only)
    with pytest.raises(LedgerError, match="Read-only file system; make that possible, then go on with --resume"):
        ledger.close()


def test_a_store_that_is_away_for_a_moment_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put, tries, is_written = Folder.put, count(1), threading.Event()

    def away_at_first(folder: Folder, name: str, content: bytes) -> None:
        if name.endswith(".parquet") and next(tries) < ledger_module.FLUSH_TRIES:
            raise ConnectionError("no route to host")
        put(folder, name, content)
        if name.endswith(".parquet"):
            is_written.set()

    monkeypatch.setattr(Folder, "put", away_at_first)
    monkeypatch.setattr(ledger_module, "FLUSH_EVERY_S", 0.001)
    with Ledger(tmp_path) as ledger:
        append(ledger, "started", "a", attempt=1)
        assert is_written.wait(30)
        assert ledger.failure is None
    assert [event.trial_id for event in read_events(tmp_path)] == ["a"]


def test_a_store_that_stays_away_is_told_by_the_next_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(folder: Folder, name: str, content: bytes) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(ledger_module, "FLUSH_EVERY_S", 0.001)
    ledger = Ledger(tmp_path)
    (flusher,) = (thread for thread in threading.enumerate() if thread.name == "ledger-flush")
    monkeypatch.setattr(Folder, "put", away)
    append(ledger, "started", "a", attempt=1)
    flusher.join(30)
    with pytest.raises(LedgerError, match="no route to host; make that possible, then go on with --resume"):
        append(ledger, "started", "b", attempt=1)
    monkeypatch.undo()
    ledger.close()
    assert [event.trial_id for event in read_events(tmp_path)] == ["a"]


def test_a_store_that_is_away_for_a_moment_at_the_end_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, tries = Folder.put, count(1)

    def away_at_first(folder: Folder, name: str, content: bytes) -> None:
        if next(tries) < ledger_module.FLUSH_TRIES:
            raise ConnectionError("503")
        put(folder, name, content)

    monkeypatch.setattr(ledger_module, "FLUSH_EVERY_S", 3600)
    ledger = Ledger(tmp_path)
    append(ledger, "started", "a", attempt=1)
    monkeypatch.setattr(ledger_module, "FLUSH_EVERY_S", 0.001)
    monkeypatch.setattr(Folder, "put", away_at_first)
    ledger.close()
    assert [event.trial_id for event in read_events(tmp_path)] == ["a"]


def test_parts_that_cannot_be_merged_now_are_no_write_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(folder: Folder, name: str) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(ledger_module, "COMPACT_ABOVE", 2)
    monkeypatch.setattr(Folder, "delete", away)
    write_three_parts(tmp_path)
    assert "parts could not be merged (no route to host)" in caplog.text
    assert [event.seq for event in read_events(tmp_path)] == [0, 1, 2]


def test_how_much_is_written_for_good_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "FLUSH_EVERY_S", 3600)
    write_three_parts(tmp_path)
    ledger = Ledger(tmp_path)
    append(ledger, "started", "a", attempt=1)
    assert (ledger.appended, ledger.written) == (4, 3)
    ledger.flush()
    assert (ledger.appended, ledger.written) == (4, 4)
    ledger.close()


def test_parts_that_count_are_those_that_are_read(tmp_path: Path) -> None:
    assert live_parts(tmp_path) == []
    write_three_parts(tmp_path)
    torn = sorted(tmp_path.glob("*.parquet"))[2]
    damage(torn, 0.5)
    assert [live.last for live in live_parts(tmp_path)] == [0, 1]
    with Ledger(tmp_path) as ledger:
        append(ledger, "started", "again", attempt=1)
    ranges = live_parts(tmp_path)
    assert torn.exists() and torn.name not in {live.part.name for live in ranges}
    assert [live.last for live in ranges] == [0, 1, 2]


def test_a_driver_overtaken_in_mid_compaction_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def merged_by_another(folder: Folder, ranges: Sequence[object]) -> None:
        Ledger(folder).close()
        raise FileNotFoundError("gone")

    monkeypatch.setattr(ledger_module, "COMPACT_ABOVE", 2)
    monkeypatch.setattr(ledger_module, "read_live", merged_by_another)
    with pytest.raises(OvertakenError, match="session 2, goes on"):
        write_three_parts(tmp_path)
    assert [event.seq for event in read_events(tmp_path)] == [0, 1, 2]


def test_an_epoch_out_of_line_is_a_conflict(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        for epoch in (1, 3):
            append(ledger, "epoch", "a", epoch=epoch, epoch_s=0.1, images=1, metrics={})
    with pytest.raises(ConflictError, match="epoch 3 follows epoch 1"):
        fold(read_events(tmp_path))


def test_parts_that_go_while_they_are_read_are_read_again_and_are_gone_after_five_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parts, "PAUSE_S", 0.0)
    errors: Iterator[Exception] = iter([FileNotFoundError("first"), KeyError("second")])

    def read() -> str:
        for error in errors:
            raise error
        return "content"

    assert parts.retry_while_compacting(read, FileNotFoundError, KeyError) == "content"
    tries = [FileNotFoundError(str(number)) for number in range(9)]
    errors = iter(tries)
    with pytest.raises(FileNotFoundError, match="4"):
        parts.retry_while_compacting(read, FileNotFoundError)
    errors = iter(tries)
    with pytest.raises(FileNotFoundError, match="0"):
        parts.retry_while_compacting(read, KeyError)
