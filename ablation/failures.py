"""Failures by their reasons: of which kind, how often, with one trial as an example; for reports and for retries."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

from ablation.paths import RunPaths
from ablation.store import AnyPath, opened

Kind = Literal["lost", "memory", "error"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LOST = "worker lost"  # how the reason begins
NO_SURVIVOR = "no_survivor"  # the reason of confirm trials whose search found nothing to confirm
# As Python, torch, CUDA and Ray say it; of a worker that was killed without a word nobody knows.
OUT_OF_MEMORY = re.compile(
    r"\bMemoryError|OutOfMemoryError|CUDA out of memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED"
    r"|[Cc]annot allocate memory|can't allocate memory|low on memory"
)
SHOWN_LETTERS = 200
REASONS_SHOWN = 5
TRACEBACK_LINES = 5
TAIL_BYTES = 16_384


@dataclass(frozen=True)
class Failures:
    """Trials that ended alike: what became of them, the first one's reason, its id, how many there are, their kind."""

    status: str
    reason: str
    trial_id: str
    count: int = 1
    kind: Kind | None = None


def kind_of(reason: str) -> Kind | None:
    """Say whether a trial ran out of memory, lost its worker otherwise, or failed by itself; None: by its search.

    >>> kind_of("worker lost 4 times: its process ended without an exception (killed, out of memory, crashed)")
    'lost'
    >>> kind_of("RuntimeError: CUDA out of memory. Tried to allocate 2 GiB")
    'memory'
    """
    if reason == NO_SURVIVOR:
        return None
    if OUT_OF_MEMORY.search(reason):
        return "memory"
    return "lost" if reason.startswith(LOST) else "error"


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
        kind = kind_of(reason or "") if status == "failed" else None
        first = Failures(status, first_line(reason or "for no known reason"), trial_id, kind=kind)
        found[key] = first if known is None else replace(known, count=known.count + 1)
    return sorted(found.values(), key=lambda failures: -failures.count)


def in_words(found: Iterable[Failures], paths: RunPaths) -> Iterator[str]:
    """Say how many failed for which reason, and where one of each has its log."""
    found = list(found)
    for failures in found[:REASONS_SHOWN]:
        log = paths.log(failures.trial_id)
        where = f" ({log})" if log.is_file() else ""
        how = "diverged: " if failures.status == "diverged" else ""
        yield f"{failures.count} × {how}{failures.reason}{where}"
    rest = found[REASONS_SHOWN:]
    if rest:
        yield f"{sum(failures.count for failures in rest)} more, for {len(rest)} other reasons: trials.parquet has them"


def retry_in_words(found: Iterable[Failures], command: str | None) -> Iterator[str]:
    """Say how failed trials run again, if they may; of several kinds, also how those of one."""
    if command is None:
        return
    yield f"run failed trials again, once it is mended, with: {command}"
    counts: Counter[str] = Counter()
    for failures in found:
        counts[failures.kind or ""] += failures.count
    kinds = [f"{kind} ({counts[kind]})" for kind in KINDS if counts[kind]]
    if len(kinds) > 1:
        yield f"or those of one kind, named behind it: {', '.join(kinds)}"


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
