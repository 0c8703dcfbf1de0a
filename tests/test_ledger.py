"""The event log: whole parts in order, or a loud error."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablation import ledger as ledger_module
from ablation.ledger import Ledger, LedgerError, read_events
from ablation.records import ConflictError, fold


def write_three_parts(directory: Path) -> None:
    with Ledger(directory, clock=lambda: 5.0) as ledger:
        for number in range(3):
            ledger.append("started", f"trial {number}", attempt=1, text="ä\n'")
            ledger.flush()


def test_events_come_back_in_order_with_their_payloads(tmp_path: Path) -> None:
    write_three_parts(tmp_path)
    events = read_events(tmp_path)
    assert [event.seq for event in events] == [0, 1, 2]
    assert [event.trial_id for event in events] == ["trial 0", "trial 1", "trial 2"]
    assert events[0].payload == {"attempt": 1, "text": "ä\n'"}
    assert {event.unix_s for event in events} == {5.0}


def test_a_later_session_goes_on_with_a_higher_number(tmp_path: Path) -> None:
    write_three_parts(tmp_path)
    with Ledger(tmp_path) as ledger:
        assert len(ledger.history) == 3
        event = ledger.append("session_opened")
    assert (event.seq, event.session) == (3, 2)


@pytest.mark.parametrize("kept", [0.0, 0.25, 0.5, 0.75])
def test_a_truncated_part_is_refused_by_name(tmp_path: Path, kept: float) -> None:
    write_three_parts(tmp_path)
    part = sorted(tmp_path.glob("*.parquet"))[1]
    part.write_bytes(part.read_bytes()[: int(kept * part.stat().st_size)])
    with pytest.raises(LedgerError, match=part.name):
        read_events(tmp_path)


def test_a_flipped_byte_is_refused_by_name(tmp_path: Path) -> None:
    write_three_parts(tmp_path)
    part = sorted(tmp_path.glob("*.parquet"))[2]
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(LedgerError, match=part.name):
        read_events(tmp_path)


def test_a_missing_part_is_refused(tmp_path: Path) -> None:
    write_three_parts(tmp_path)
    sorted(tmp_path.glob("*.parquet"))[1].unlink()
    with pytest.raises(LedgerError, match="lacks events 1"):
        read_events(tmp_path)


def test_many_parts_are_merged_without_losing_an_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "COMPACT_ABOVE", 4)
    with Ledger(tmp_path) as ledger:
        for number in range(23):
            ledger.append("started", str(number), attempt=1)
            ledger.flush()
    assert len(list(tmp_path.glob("*.parquet"))) <= 5
    assert [event.trial_id for event in read_events(tmp_path)] == [str(number) for number in range(23)]


def test_parts_left_beside_their_merger_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "COMPACT_ABOVE", 2)
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
    write_three_parts(tmp_path)
    assert [event.seq for event in read_events(tmp_path)] == [0, 1, 2]


def test_parts_left_by_a_crash_are_merged_no_second_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "COMPACT_ABOVE", 2)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
        write_three_parts(tmp_path)
    with Ledger(tmp_path) as ledger:
        for number in range(3, 9):
            ledger.append("started", f"trial {number}", attempt=1)
            ledger.flush()
    assert [event.trial_id for event in read_events(tmp_path)] == [f"trial {number}" for number in range(9)]


def test_a_second_driver_is_kept_out(tmp_path: Path) -> None:
    with Ledger(tmp_path), pytest.raises(LedgerError, match="another driver is at work"):
        Ledger(tmp_path)
    with Ledger(tmp_path):
        pass


def test_a_failed_write_is_told_and_nothing_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    with Ledger(tmp_path) as ledger:
        ledger.append("started", "a", attempt=1)
        with monkeypatch.context() as patch:
            patch.setattr(ledger_module, "put_whole", full_disk)
            with pytest.raises(OSError, match="No space left"):
                ledger.flush()
        ledger.append("started", "b", attempt=1)
    assert [event.trial_id for event in read_events(tmp_path)] == ["a", "b"]


def test_an_epoch_out_of_line_is_a_conflict(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        for epoch in (1, 3):
            ledger.append("epoch", "a", epoch=epoch, epoch_s=0.1, images=1, metrics={})
    with pytest.raises(ConflictError, match="epoch 3 follows epoch 1"):
        fold(read_events(tmp_path))
