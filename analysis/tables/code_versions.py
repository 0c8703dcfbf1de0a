"""Which trials ran with which code: a study that went on with other code than it began with says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.numbers import count

COLUMNS = ("code", "first_session", "trials", "arms", "changed")
CHANGES_NAMED = 3


def code_table(trials: pd.DataFrame, summary: Mapping[str, Any]) -> pd.DataFrame:
    """List the versions of the code in the order in which sessions brought them.

    Columns: code (digest), first_session, trials (that ran last with it), arms (theirs, by comma), changed (files and
    versions that differ from the row before, by comma). Empty for a run from before code was recorded.
    """
    rows, before = [], None
    for record in summary.get("code", ()):
        chosen = trials[trials["code"] == record["code"]] if "code" in trials else trials.iloc[:0]
        rows.append(
            {
                "code": record["code"],
                "first_session": record["session"],
                "trials": len(chosen),
                "arms": ", ".join(dict.fromkeys(chosen["arm"])),
                "changed": "" if before is None else ", ".join(_differing(before, record)),
            }
        )
        before = record
    return pd.DataFrame(rows, columns=list(COLUMNS))


def mixture(codes: pd.DataFrame) -> str | None:
    """Say that trials ran with different code, how many and what changed; None if they did not."""
    used = codes[codes["trials"] > 0]
    if len(used) < 2:
        return None
    first, *later = used.to_dict("records")
    after = "; ".join(
        f"{count(row['trials'], 'trial')} after a change of {_shortened(row['changed'])} ({row['arms']})"
        for row in later
    )
    return (
        f"Not all trials ran with the same code, which was accepted when the run went on: {first['trials']} with the "
        f"first, {after}. What differs between arms may be the change."
    )


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for kind in ("files", "versions"):
        names = before[kind].keys() | now[kind].keys()
        yield from (name for name in sorted(names) if before[kind].get(name) != now[kind].get(name))


def _shortened(changed: str) -> str:
    names = changed.split(", ")
    more = len(names) - CHANGES_NAMED
    return ", ".join(names[:CHANGES_NAMED]) + (f" and {more} more" if more > 0 else "")
