"""Whether a run's driver lives, and which trials it runs."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ablation.ledger.events import Event, SessionOpened
from ablation.ledger.records import TrialState
from ablation.machine import started

LEAST_QUIET_S = 600.0


def is_here(driver: Mapping[str, Any]) -> bool:
    """Return whether a driver runs, or ran, on this machine."""
    return bool(driver["host"] == platform.node())


def longest_quiet_s(events: Iterable[Event]) -> float:
    """Return how long a driver on another machine may record nothing: an epoch, at most what the watchdog lets pass."""
    opened = [event.what for event in events if isinstance(event.what, SessionOpened)]
    return max(LEAST_QUIET_S, 60 * float(opened[-1].resources.get("watchdog_minutes", 0))) if opened else LEAST_QUIET_S


def is_at_work(driver: Mapping[str, Any], last_event_unix_s: float, quiet_s: float = LEAST_QUIET_S) -> bool:
    """Return whether a driver lives: its process, on this machine; on another, whether it recorded anything lately."""
    if not is_here(driver):
        return time.time() - last_event_unix_s < quiet_s
    if driver.get("started") is not None and started(int(driver["process"])) != driver["started"]:
        return False  # another process has got its number
    with suppress(PermissionError):  # another user's, and there
        try:
            os.kill(int(driver["process"]), 0)
        except ProcessLookupError:
            return False
    return True


def running_trials(events: Sequence[Event], records: Mapping[str, TrialState], session: int) -> set[str]:
    """Return the trials that a session has started and not ended."""
    under_way: set[str] = set()
    for event in events:
        if event.session == session and event.trial_id is not None:
            if event.kind == "started":
                under_way.add(event.trial_id)
            elif event.kind == "retried":
                under_way.discard(event.trial_id)
    return {trial_id for trial_id in under_way if not records[trial_id].has_ended}
