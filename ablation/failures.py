"""Failures by their reasons: how often each, with one trial as an example, for whoever reports them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ablation.paths import RunPaths
from ablation.store import AnyPath, opened

SHOWN_LETTERS = 200
REASONS_SHOWN = 5
TRACEBACK_LINES = 5
TAIL_BYTES = 16_384


@dataclass(frozen=True)
class Failures:
    """Trials that ended alike: what became of them, the first one's reason, its id, and how many there are."""

    status: str
    reason: str
    trial_id: str
    count: int = 1


def alike(reason: str) -> str:
    """Return what equal failures share: the reason's first line without its numbers."""
    return re.sub(r"0x[0-9a-f]+|\d+", "#", first_line(reason))


def by_reason(ends: Iterable[tuple[str, str, str | None]]) -> list[Failures]:
    """Group failed and diverged trials by like reasons, the most frequent first; each end is (id, status, reason)."""
    found: dict[tuple[str, str], Failures] = {}
    for trial_id, status, reason in ends:
        if status not in ("failed", "diverged"):
            continue
        key = status, alike(reason or "")
        known = found.get(key)
        first = Failures(status, first_line(reason or "for no known reason"), trial_id)
        found[key] = first if known is None else replace(known, count=known.count + 1)
    return sorted(found.values(), key=lambda failures: -failures.count)


def in_words(found: Iterable[Failures], paths: RunPaths) -> Iterator[str]:
    """Say how many failed for which reason, and where one of each has its log."""
    found = list(found)
    for failures in found[:REASONS_SHOWN]:
        log = paths.log(failures.trial_id)
        where = f"; log: {log}" if log.is_file() else ""
        yield f"{failures.count} {failures.status}: {failures.reason}{where}"
    rest = found[REASONS_SHOWN:]
    if rest:
        yield f"{sum(failures.count for failures in rest)} more, for {len(rest)} other reasons: trials.parquet has them"


def last_lines(log: AnyPath) -> list[str]:
    """Return the end of a trial's log, if it has one: the traceback's last lines."""
    try:
        with opened(log) as file:
            file.seek(max(0, file.size() - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [_cut(line) for line in text.splitlines()[-TRACEBACK_LINES:]]


def first_line(reason: str) -> str:
    """Return the first line of a reason, cut if it is long."""
    return _cut(next(iter(reason.strip().splitlines()), ""))


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}…"
