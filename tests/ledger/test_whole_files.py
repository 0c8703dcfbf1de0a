"""A file is there whole or not at all, and there is one way to write it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from ablation.store import put_whole

ROOT = Path(__file__).parents[2]


def test_a_file_is_written_and_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)  # the longest name that file systems have
    put_whole(path, b"first")
    put_whole(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError("no room")

    path = tmp_path / "file"
    put_whole(path, b"first")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no room"):
        put_whole(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"kept")
    link.symlink_to(target)
    put_whole(link, b"new")
    assert (target.read_bytes(), link.read_bytes(), link.is_symlink()) == (b"kept", b"new", False)


def test_there_is_one_way_to_write_a_whole_file() -> None:
    """What syncs or moves files: the store, and data's cache, which moves a folder; a damaged checkpoint is renamed."""
    moves = re.compile(r"os\.(replace|rename)\(|\b\w*(path|part|partial|temporary|file)\.(replace|rename)\(")
    found = {
        path.relative_to(ROOT).as_posix()
        for room in ("ablation", "analysis", "search_spaces")
        for path in (ROOT / room).rglob("*.py")
        if moves.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"ablation/store.py", "ablation/tcl/data/partial.py", "ablation/checkpoint.py"}
