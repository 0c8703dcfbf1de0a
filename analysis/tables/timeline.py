"""When trials ran, in how many slots, and how long slots stood idle: from the ledger's clock."""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
import pandas as pd

COLUMNS = ("trial_id", "arm", "phase", "status", "session", "node", "slot", "start_s", "end_s")


class Use(NamedTuple):
    """How a sweep used its slots: slots at most at once, seconds of sweep, share of slot time without a trial, nodes.

    Of several nodes, each one's slots count from its first trial to its last.
    """

    slots: int
    sweep_s: float
    idle: float
    nodes: int


def attempts(log: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """List every attempt at a trial: trial_id, arm, phase, status, session, node, slot, start_s, end_s.

    Args:
        log: seq, session, kind, trial_id, unix_s, node, as ``live.events`` returns them.
        trials: for arm, phase and what became of the trial; an attempt that was tried again is "retried".

    Returns:
        Seconds count from the first session's opening, with the time between sessions cut out. A slot is the lowest
        number free on its node when the attempt began; nodes follow each other in the order of their first trial. An
        attempt without end lasts until its session's last event.
    """
    if log.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    span = log.groupby("session")["unix_s"].agg(["min", "max"])
    length = (span["max"] - span["min"]).clip(lower=0)
    offset = length.cumsum().shift(fill_value=0.0) - span["min"]
    marks = log[log["kind"].isin(["started", "ended", "retried"])].sort_values(["trial_id", "seq"], kind="stable")
    same = (marks["trial_id"] == marks["trial_id"].shift(-1)) & (marks["session"] == marks["session"].shift(-1))
    end = marks["unix_s"].shift(-1).where(same, marks["session"].map(span["max"]))
    final = marks["kind"].shift(-1).where(same) == "ended"
    again = marks["trial_id"] == marks["trial_id"].shift(-1)
    started = marks["kind"] == "started"
    rows = marks.loc[started, ["trial_id", "session", "node"]].assign(
        start_s=(marks["unix_s"] + marks["session"].map(offset))[started],
        end_s=(np.maximum(end, marks["unix_s"]) + marks["session"].map(offset))[started],
        retried=(again & ~final)[started],
    )
    rows = rows.merge(trials[["trial_id", "arm", "phase", "status"]], on="trial_id").sort_values(
        ["start_s", "trial_id"], kind="stable", ignore_index=True
    )
    rows["status"] = rows["status"].mask(rows["retried"], "retried")
    rows["slot"], taken = 0, 0
    for _, on_node in rows.groupby("node", sort=False):
        slots = np.array(_slots(on_node["start_s"].tolist(), on_node["end_s"].tolist()))
        rows.loc[on_node.index, "slot"] = taken + slots
        taken += int(slots.max()) + 1
    return rows[list(COLUMNS)]


def use(log: pd.DataFrame, found: pd.DataFrame) -> Use | None:
    """Sum up idle time over the sessions of a sweep; None if nothing ran."""
    if found.empty:
        return None
    span = log.groupby("session")["unix_s"].agg(["min", "max"])
    sweep_s = float((span["max"] - span["min"]).clip(lower=0).sum())
    slots = int(found["slot"].max()) + 1
    busy_s = float((found["end_s"] - found["start_s"]).sum())
    by_node = found.groupby("node")
    there_s = slots * sweep_s
    if len(by_node) > 1:
        there_s = float(((by_node["end_s"].max() - by_node["start_s"].min()) * by_node["slot"].nunique()).sum())
    return Use(slots, sweep_s, 1 - min(1.0, busy_s / there_s) if there_s > 0 else 0.0, len(by_node))


def occupancy(found: pd.DataFrame, points: int = 400) -> pd.DataFrame:
    """Count the trials running at evenly spaced moments: columns time_s, running."""
    if found.empty:
        return pd.DataFrame(columns=["time_s", "running"])
    starts, ends = np.sort(found["start_s"].to_numpy()), np.sort(found["end_s"].to_numpy())
    moments = np.linspace(0.0, float(ends[-1]), points)
    running = np.searchsorted(starts, moments, side="right") - np.searchsorted(ends, moments, side="right")
    return pd.DataFrame({"time_s": moments, "running": running})


def _slots(starts: list[float], ends: list[float]) -> list[int]:
    """Give each interval, in order of start, the lowest number that is free."""
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    found, opened = [], 0
    for start, end in zip(starts, ends, strict=True):
        while busy and busy[0][0] <= start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if not free:
            heapq.heappush(free, opened)
            opened += 1
        slot = heapq.heappop(free)
        heapq.heappush(busy, (end, slot))
        found.append(slot)
    return found
