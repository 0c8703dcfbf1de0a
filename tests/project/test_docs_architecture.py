"""docs/architecture.md stays true: its files, rooms, floors and events are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ablation.ledger.events import KINDS
from tests.project.test_imports import FLOORS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text()


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """Return the cells of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_files_exist() -> None:
    named = re.findall(r"`((?:ablation|analysis|search_spaces|tests)/[\w/.]*)`", PAGE)
    assert len(named) > 30
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_floors_are_those_that_the_import_test_keeps() -> None:
    shown: list[set[str]] = []
    for floor, room, about in rows("Rooms and floors"):
        if floor:
            shown.append(set())
        shown[-1].add(room.strip("`"))
        assert about, room
    assert shown == [set(rooms.split()) for rooms in reversed(FLOORS)]


def test_every_kind_of_event_has_its_row() -> None:
    assert [row[0].strip("`") for row in rows("The life of an event")] == list(KINDS)


def test_the_picture_of_a_trial_has_every_event_of_a_trial() -> None:
    drawn = set(re.findall(r"-->.* : (.*)", section("The life of a trial")))
    about_trials = [kind for kind in KINDS if kind not in ("session_opened", "grown")]
    assert [kind for kind in about_trials if not any(kind in label for label in drawn)] == []


@pytest.mark.parametrize("row", rows("Where to change what"), ids=lambda row: row[0])
def test_a_change_names_a_file_that_has_what_is_named_beside_it(row: list[str]) -> None:
    change, where, _ = row
    paths = re.findall(r"`(\w+/[\w/]+\.py)`", where)
    assert paths, change
    text = "".join((ROOT / path).read_text() for path in paths)
    assert [name for name in re.findall(r"`([A-Za-z_]+)`", where) if not re.search(rf"\b{name}\b", text)] == []
