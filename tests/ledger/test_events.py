"""Events as the log has them: read back whole, by older and newer readers alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablation.ledger import events, parts
from ablation.ledger.events import Ended, EpochTrained, Event, from_payload, to_payload
from ablation.ledger.log import Ledger, LedgerError, read_events
from ablation.ledger.storage import Folder

NUMBERS = st.floats(allow_nan=False)
TRAINED = st.builds(
    EpochTrained,
    st.integers(1, 300),
    NUMBERS,
    st.dictionaries(st.text(), NUMBERS),
    st.integers(0, 10**9),
    st.integers(1, 9),
)
ENDED = st.builds(
    Ended, st.sampled_from(["completed", "failed"]), st.none() | st.text(), NUMBERS, st.none() | st.text()
)


@given(st.one_of(TRAINED, ENDED))
def test_what_happened_comes_back_through_json(what: Any) -> None:
    assert from_payload(what.kind, json.loads(json.dumps(to_payload(what)))) == what


def test_every_kind_has_its_name_once() -> None:
    assert all(name == cls.kind for name, cls in events.KINDS.items())
    assert len(events.KINDS) == 10


def test_an_older_reader_ignores_what_a_newer_writer_adds() -> None:
    payload = {"epoch": 1, "epoch_s": 2.0, "metrics": {"val_score": 0.5}, "images": 3, "attempt": 1}
    assert from_payload("epoch", {**payload, "energy_j": 7.0, "version": 2}) == from_payload("epoch", payload)


def test_a_newer_reader_fills_in_what_an_older_writer_did_not_know() -> None:
    assert from_payload("epoch", {"epoch": 1, "epoch_s": 2.0, "metrics": {}}) == EpochTrained(1, 2.0, {}, 0, 1)
    assert from_payload("started", {"attempt": 1}).kind == "started"


def test_an_older_version_is_made_newer_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    class Third(Ended):
        kind: ClassVar[str] = "ended"
        version: ClassVar[int] = 3

    monkeypatch.setitem(events.KINDS, "ended", Third)
    monkeypatch.setitem(events.UPCASTS, ("ended", 1), lambda old: {**old, "wall_s": old["wall_min"] * 60})
    monkeypatch.setitem(events.UPCASTS, ("ended", 2), lambda old: {**old, "reason": old["why"]})
    second = {"outcome": "failed", "why": "so", "wall_s": 60.0, "checkpoint": None, "version": 2}
    first = {"outcome": "failed", "why": "so", "wall_min": 1.0, "checkpoint": None}
    third = from_payload("ended", first)
    assert third == from_payload("ended", second) and third.reason == "so" and third.wall_s == 60.0  # type: ignore[union-attr]
    assert to_payload(third)["version"] == 3
    assert from_payload("ended", to_payload(third)) == third


def test_what_cannot_be_read_names_the_part_and_what_is_wrong(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.append(EpochTrained(1, 1.0, {}), "a/0/search/0")
    (part,) = parts.list_parts(Folder.at(tmp_path))
    for kind, payload, words in (
        ("melted", {}, "kind 'melted' are not known here; use the version of ablation that wrote them"),
        ("epoch", {"epoch": 1}, "kind 'epoch' lacks what it needs"),
    ):
        row = {"seq": 0, "session": 1, "kind": kind, "trial_id": None, "unix_s": 0.0, "payload": json.dumps(payload)}
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist([row], schema=parts.SCHEMA), sink)
        content = sink.getvalue().to_pybytes()
        for path in tmp_path.glob("*.parquet"):
            path.unlink()
        (tmp_path / f"0001-000000000-000000000-{parts.digest(content)}.parquet").write_bytes(content)
        with pytest.raises(LedgerError, match=words):
            read_events(tmp_path)
    assert part.count == 1


def test_an_event_shows_its_kind_and_payload() -> None:
    event = Event(0, 1, "a/0/search/0", 0.0, Ended("failed", None, 1.0, None))
    assert (event.kind, event.payload) == (
        "ended",
        {"outcome": "failed", "reason": None, "wall_s": 1.0, "checkpoint": None},
    )
