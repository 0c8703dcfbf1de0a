"""Two reports of one study, held against each other byte by byte; what says when or where a trial ran is left out."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

# A checkpoint's name holds a digest of its bytes, which hold the seconds that epochs took.
VARYING = ("wall_s", "created_utc", "checkpoint")
NOT_HELD = ("timeline.csv", "manifest.json")
# Parts of the page about when and where; their tables are compared without those columns.
VARYING_PARTS = ("cost", "timeline", "effort", "provenance")
SAID_OTHERWISE = {
    r"\d{4}-\d\d-\d\d \d\d:\d\d UTC": "DATE",
    r"\b\d[\d.,]*\s(s|min|h)\b": "TIME",
    r'"title":"time, s","values":\[[^]]*\]': "TIMES",
    r"epoch-(\d+)-\w+\.safetensors": r"epoch-\1",
}


def differences(one: Path, other: Path, places: dict[str, str]) -> list[str]:
    """List the files, tables and parts of the page that differ; ``places`` are what to read for names of places."""
    files = [sorted(path.relative_to(report) for path in report.rglob("*.*")) for report in (one, other)]
    if files[0] != files[1]:
        return [f"files: {set(files[0]) ^ set(files[1])}"]
    kinds = {".csv": _table, ".html": _page, ".json": _findings}
    found = []
    for file in files[0]:
        if file.suffix in kinds and file.name not in NOT_HELD:
            mine, theirs = (kinds[file.suffix](_read(report / file, places)) for report in (one, other))
            found += [f"{file}: {key}" for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)]
    return found


def _read(path: Path, places: dict[str, str]) -> str:
    text = path.read_text()
    for place, name in places.items():
        text = text.replace(place, name)
    return text


def _table(text: str) -> dict[str, Any]:
    """Return a table's columns."""
    columns = zip(*csv.reader(text.splitlines()), strict=True)
    return {name: column for name, *column in columns if name not in VARYING}


def _findings(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text, object_hook=lambda one: {k: v for k, v in one.items() if k not in VARYING})
    return found


def _page(text: str) -> dict[str, str]:
    """Return the page's parts, by the names of their sections."""
    for pattern, word in SAID_OTHERWISE.items():
        text = re.sub(pattern, word, text)
    pieces = re.split(r'<section [^>]*id="(\w+)"', text)
    parts = dict(zip(["head", *pieces[1::2]], pieces[::2], strict=True))
    return {name: part for name, part in parts.items() if name not in VARYING_PARTS}
