"""Ledgers for tests: events by the names and keys that the log has."""

from __future__ import annotations

from typing import Any

from ablation.ledger.events import Event, from_payload
from ablation.ledger.log import Ledger


def append(ledger: Ledger, kind: str, trial_id: str | None = None, **payload: Any) -> Event:
    """Append what the log has as ``kind`` and ``payload``."""
    return ledger.append(from_payload(kind, payload), trial_id)
