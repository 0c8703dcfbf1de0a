"""What a run's ledger says now: tables while a sweep runs, and when each attempt began and ended.

A finished run has trials.parquet and epochs.parquet; a running one has only its ledger, or tables of an earlier
session. This module says which, and folds the ledger into the same columns where the tables are behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import pandas as pd

from ablation.ledger.log import Event
from analysis.ledger_parts import columns_of_parts, whole_log
from analysis.load import EPOCH_COLUMNS, TRIAL_COLUMNS, Study
from analysis.places import Place, Run, patiently, place
from search_spaces.metrics import COLUMN, as_columns

EVENT_COLUMNS = ("seq", "session", "kind", "trial_id", "unix_s")
ENDED = ("completed", "stopped", "diverged", "failed")


def events(run: Run) -> pd.DataFrame:
    """Read the ledger without payloads: seq, session, kind, trial_id, unix_s; no rows if there is no ledger."""
    where = place(run)
    return patiently(lambda: _columns(where))


def is_current(study: Study, log: pd.DataFrame, trials: pd.DataFrame, epochs: pd.DataFrame) -> bool:
    """Say whether the tables hold all that is planned and the ledger says; true if there is no ledger."""
    if log.empty:
        return True
    if set(trials["trial_id"]) != {trial.trial_id for trial in study.planned}:
        return False
    reported = log["kind"].value_counts()
    over = int(trials["status"].isin(ENDED).sum())
    newest = log.loc[log["kind"] == "epoch", "seq"].max()
    return (
        reported.get("ended", 0) - reported.get("reopened", 0) == over
        and reported.get("started", 0) == int(trials["attempts"].fillna(0).sum())
        and (pd.isna(newest) or newest == epochs["seq"].max())
    )


def tables(run: Run, study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fold the ledger into trials and epochs, with the columns that the run's own tables will have.

    ``seed`` is left out: it follows from the plan alone. A trial that has started and not ended is "interrupted",
    whether or not a driver is at work on it. Raises FaultsError if the ledger is damaged or cannot be read.
    """
    log = whole_log(place(run))
    planned = {str(row["trial_id"]): row for row in _planned(study)}
    curves: dict[str, list[dict[str, Any]]] = {trial_id: [] for trial_id in planned}
    for event in log:
        if event.trial_id in planned:
            _apply(planned[event.trial_id], curves[event.trial_id], event)
    trials = pd.DataFrame(list(planned.values()))
    rows = [row for curve in curves.values() for row in curve]
    trials = trials.reindex(columns=list(dict.fromkeys([*trials.columns, *TRIAL_COLUMNS])))
    trials["reason"] = trials["reason"].astype(object).where(trials["reason"].notna(), None)
    epochs = pd.DataFrame(rows, columns=None if rows else list(EPOCH_COLUMNS))
    last = epochs.groupby("trial_id").tail(1).set_index("trial_id").filter(like=COLUMN)
    trials = trials.join(last, on="trial_id")
    known = [*TRIAL_COLUMNS, "code"]
    rest = sorted(name for name in trials.columns if name not in known)
    return trials[[*known, *rest]], epochs.sort_values(["trial_id", "epoch"], ignore_index=True)


def _planned(study: Study) -> list[dict[str, Any]]:
    epochs = study.plan["budget"]["epochs"]
    return [
        {
            **{"trial_id": trial.trial_id, "arm": trial.arm, "replicate": trial.replicate},
            **{"phase": trial.phase, "index": trial.index, "status": "pending", "epochs_planned": epochs},
            **{"epochs_trained": 0, "attempts": 0, "code": None, "wall_s": 0.0},
        }
        for trial in study.planned
    ]


def _apply(row: dict[str, Any], curve: list[dict[str, Any]], event: Event) -> None:
    payload: Mapping[str, Any] = event.payload
    match event.kind:
        case "proposed":
            row |= {f"config.{name}": value for name, value in payload["config"].items()}
        case "started":
            row |= {"attempts": row["attempts"] + 1, "status": "interrupted", "code": payload.get("code")}
        case "epoch":
            row["epochs_trained"] = payload["epoch"]
            row["wall_s"] += payload["epoch_s"]
            del curve[payload["epoch"] - 1 :]  # the newest attempt wins
            known = {"trial_id": row["trial_id"], "epoch": payload["epoch"], "seq": event.seq}
            curve.append({**known, "epoch_s": payload["epoch_s"], **as_columns(payload["metrics"])})
        case "decided" if not payload["goes_on"]:
            row["stopped_at_rung"] = payload["rung"]
        case "ended":
            row |= {"status": payload["outcome"], "reason": payload["reason"], "wall_s": payload["wall_s"]}
        case "reopened":
            row |= {"status": "interrupted" if row["attempts"] else "pending", "reason": None}
        case _:
            pass


def _columns(where: Place) -> pd.DataFrame:
    arrow: Any = import_module("pyarrow")
    parts = list(columns_of_parts(where, EVENT_COLUMNS))
    table: pd.DataFrame = arrow.concat_tables(parts).to_pandas() if parts else pd.DataFrame(columns=list(EVENT_COLUMNS))
    return table
