"""What a run's ledger says now: tables while a sweep runs, and when each attempt began and ended.

A finished run has trials.parquet and epochs.parquet; a running one has only its ledger, or tables of an earlier
session. This module says which, and folds the ledger into the same columns where the tables are behind.
"""

from __future__ import annotations

import pandas as pd

from ablation.faults import FaultsError
from ablation.ledger.records import ConflictError, fold
from ablation.run_dir import RunLocation, run_dir
from ablation.tables import epochs_table, trials_table
from analysis.load import PlannedStudy

EVENT_COLUMNS = ("seq", "session", "kind", "trial_id", "unix_s")
ENDED = ("completed", "stopped", "diverged", "failed")


def events(run: RunLocation) -> pd.DataFrame:
    """Read the ledger without payloads: seq, session, kind, trial_id, unix_s; no rows if there is no ledger.

    And node: the machine of a cluster on which a trial has started, if that was noted; else empty.
    """
    found: pd.DataFrame = run_dir(run).event_columns(EVENT_COLUMNS).to_pandas()
    found["node"] = found["seq"].map(run_dir(run).nodes()).astype(object).fillna("")
    return found


def is_current(study: PlannedStudy, log: pd.DataFrame, trials: pd.DataFrame, epochs: pd.DataFrame) -> bool:
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


def tables(run: RunLocation, study: PlannedStudy) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fold the ledger into trials and epochs, as the run's own tables will have them.

    A trial that has started and not ended is "interrupted", whether or not a driver is at work on it. Raises
    FaultsError if the ledger is damaged or cannot be read.
    """
    try:
        records = fold(run_dir(run).events())
    except ConflictError as error:
        raise FaultsError([f"{run}: {error}"]) from error
    trials, epochs = trials_table(study.plan, records).to_pandas(), epochs_table(study.plan, records).to_pandas()
    trials["reason"] = trials["reason"].astype(object).where(trials["reason"].notna(), None)
    return trials, epochs
