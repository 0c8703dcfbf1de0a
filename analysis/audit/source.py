"""What a run directory says, read from study.json and the Parquet files alone.

Shares no code with what wrote them: the plan is taken as JSON and the ledger replayed here a second time, so that a
fault in either place shows.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ablation.paths import RunPaths
from ablation.store import AnyPath, files_below, opened, read_all

KEY = ["arm", "replicate"]
PAYLOAD_KEYS = {
    "epoch": ["epoch", "epoch_s", "metrics"],
    "ended": ["outcome"],
    "proposed": ["proposal", "config"],
    "decided": ["rung"],
}


@dataclass(frozen=True)
class AuditedRun:
    """What a run directory says, read independently of its writer."""

    plan: dict[str, Any]
    events: pd.DataFrame
    trials: pd.DataFrame
    epochs: pd.DataFrame

    @property
    def sign(self) -> float:
        """1 where larger is better, −1 where smaller is."""
        space, primary = self.plan["space"], self.plan["metric"]
        # A metric has its own direction; of version 1, where it is a name alone, the space's.
        own = [one["direction"] for one in space["metrics"] if isinstance(one, dict) and one["name"] == primary]
        return 1.0 if [*own, space["direction"]][0] == "maximize" else -1.0

    @property
    def stages(self) -> list[int]:
        """Search trials of a replicate after which it was confirmed: several if the search grew."""
        return [*self.plan.get("searched_before", ()), self.plan["budget"]["trials"]]

    @property
    def validation(self) -> str:
        """Column of the metric that guides the search."""
        return f"metric.val_{self.plan['metric']}"

    def payloads(self, kind: str) -> pd.DataFrame:
        """Return one kind's events with the keys of PAYLOAD_KEYS as columns."""
        chosen = self.events[self.events["kind"] == kind]
        parsed = [json.loads(text) for text in chosen["payload"]]
        payload = pd.DataFrame(parsed, index=chosen.index, columns=PAYLOAD_KEYS[kind])
        return pd.concat([chosen[["seq", "trial_id"]], payload], axis=1)


def read(paths: RunPaths) -> tuple[AuditedRun, list[str]]:
    """Read a run directory, and say what of its ledger is damaged.

    Raises OSError or ValueError, naming the file, if one cannot be read at all.
    """
    events, faults = _read_ledger(paths.ledger)
    grown = [json.loads(text)["plan"] for text in events["payload"][events["kind"] == "grown"]]
    run = AuditedRun(
        plan=[_plan(paths.study), *grown][-1],
        events=events,
        trials=_table(paths.trials),
        epochs=_table(paths.epochs),
    )
    return run, faults


def _plan(path: AnyPath) -> dict[str, Any]:
    """Read the plan of study.json; that its digest fits is not asked, and that it is a plan shows in the checks."""
    try:
        plan = json.loads(path.read_bytes())["plan"]
        return {**plan, "space": {**plan["space"]}}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); restore it from a copy, it never changes") from error


def _table(path: AnyPath) -> pd.DataFrame:
    try:
        with opened(path) as file:
            return pd.read_parquet(file)
    except ValueError as error:  # pyarrow's ArrowInvalid is one
        raise ValueError(f"{path} is damaged ({error}); python -m ablation.tables RUN makes it again") from error


def _read_ledger(directory: AnyPath) -> tuple[pd.DataFrame, list[str]]:
    """Read the parts session by session; what a later one has from its first event on replaces what was before."""
    faults: list[str] = []
    columns = ["seq", "session", "kind", "trial_id", "unix_s", "payload"]
    events, last_session = pd.DataFrame(columns=columns), -1
    paths = sorted(files_below(directory, "*.parquet"), key=_session_and_place)
    contents = read_all(paths)
    for path in paths:
        digest = path.name.removesuffix(".parquet").rpartition("-")[2]
        if hashlib.sha256(contents[path]).hexdigest()[: len(digest)] != digest:
            if not any(_replaces(later, path) for later in paths):
                faults.append(f"ledger: {path.name} is not what its digest says")
            continue
        part = pd.read_parquet(io.BytesIO(contents[path]))
        session, first, _ = _session_and_place(path)
        if session == last_session and part["seq"].max() <= events["seq"].max():
            continue  # left beside its merger
        kept = events[events["seq"] < first]
        events, last_session = (pd.concat([kept, part]) if len(kept) else part), session
    return events.reset_index(drop=True), faults


def _replaces(later: AnyPath, path: AnyPath) -> bool:
    """Return whether a later session began where this part begins or before: then the part does not count."""
    (session, first, _), (own_session, own_first, _) = _session_and_place(later), _session_and_place(path)
    return session > own_session and first <= own_first


def _session_and_place(path: AnyPath) -> tuple[int, int, int]:
    session, first, last = (int(text) for text in path.name.split("-")[:3])
    return session, first, -last
