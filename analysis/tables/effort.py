"""What each arm cost, what did not complete, and what its searches chose."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.effects import arm_names
from analysis.load import PHASES, STATUSES, PlannedStudy

MOST_LETTERS = 1000  # of a reason


def effort_table(study: PlannedStudy, trials: pd.DataFrame) -> pd.DataFrame:
    """Count each arm's trials by phase and status, with epochs trained and seconds of trial time.

    Columns: arm, ``<phase>`` (planned), ``<phase>_<status>`` for each status, epochs, wall_s. An equal ``search``
    in every row is what makes the comparison fair.
    """
    counts = trials.groupby(["arm", "phase", "status"]).size().to_dict()
    epochs, wall_s = (trials[name].fillna(0.0).groupby(trials["arm"]).sum() for name in ("epochs_trained", "wall_s"))
    rows = []
    for name in arm_names(study, trials):
        row: dict[str, object] = {"arm": name}
        for phase in PHASES:
            found = {status: int(counts.get((name, phase, status), 0)) for status in STATUSES}
            row[phase] = sum(found.values())
            row |= {f"{phase}_{status}": number for status, number in found.items()}
        row["epochs"] = int(epochs.get(name, 0))
        row["wall_s"] = float(wall_s.get(name, 0.0))
        rows.append(row)
    return pd.DataFrame(rows)


def not_completed(trials: pd.DataFrame) -> pd.DataFrame:
    """List the trials that neither completed nor were stopped by the search, with the reason each gave.

    Columns: trial_id, arm, phase, status, epochs_trained, epochs_planned, attempts, reason (empty if unknown, cut if
    longer than MOST_LETTERS: trials.parquet has all of it).
    """
    columns = ["trial_id", "arm", "phase", "status", "epochs_trained", "epochs_planned", "attempts", "reason"]
    rows = trials.loc[~trials["status"].isin(["completed", "stopped"]), columns].reset_index(drop=True)
    for name in ("epochs_trained", "attempts"):
        rows[name] = rows[name].fillna(0).astype(int)
    reasons = ["" if pd.isna(reason) else _cut(str(reason)) for reason in rows["reason"]]
    return rows.assign(reason=pd.Series(reasons, index=rows.index, dtype=object))


def _cut(reason: str) -> str:
    """Keep a reason's beginning and end, which an exception's text has its point in."""
    if len(reason) <= MOST_LETTERS:
        return reason
    half = MOST_LETTERS // 2
    return f"{reason[:half]} … ({len(reason) - 2 * half:,} letters left out) … {reason[-half:]}"


def chosen(study: PlannedStudy, trials: pd.DataFrame) -> pd.DataFrame:
    """List what each replicate's search chose, as its confirm trials ran it.

    Columns: arm, replicate, name, value, default (as text: where searches start; empty if the space does not
    say). One row for each hyperparameter that the arm searched.
    """
    confirm = trials[(trials["phase"] == "confirm") & (trials["status"] != "pending")]
    by_arm: dict[str, list[dict[str, Any]]] = {}
    for row in confirm.drop_duplicates(["arm", "replicate"]).to_dict("records"):
        by_arm.setdefault(row["arm"], []).append({str(column): cell for column, cell in row.items()})
    rows: list[tuple[object, ...]] = []
    for arm in study.arms:
        for trial in by_arm.get(arm.name, []):
            for name in arm.searched:
                value = trial.get(f"config.{name}")
                if value is not None and not pd.isna(value):
                    default = study.start(name)
                    text = "" if default is None else str(default)
                    rows.append((arm.name, int(trial["replicate"]), name, value, text))
    return pd.DataFrame(rows, columns=["arm", "replicate", "name", "value", "default"])
