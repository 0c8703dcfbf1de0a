"""What each arm cost, what did not complete, and what its searches chose."""

from __future__ import annotations

import pandas as pd

from analysis.effects import arm_names
from analysis.load import PHASES, STATUSES, Study


def effort_table(study: Study, trials: pd.DataFrame) -> pd.DataFrame:
    """Count each arm's trials by phase and status, with epochs trained and seconds of trial time.

    Columns: arm, ``<phase>`` (planned), ``<phase>_<status>`` for each status, epochs, wall_s. An equal ``search``
    in every row is what makes the comparison fair.
    """
    rows = []
    for name in arm_names(study, trials):
        mine = trials[trials["arm"] == name]
        row: dict[str, object] = {"arm": name}
        for phase in PHASES:
            statuses = mine.loc[mine["phase"] == phase, "status"]
            row[phase] = len(statuses)
            row |= {f"{phase}_{status}": int((statuses == status).sum()) for status in STATUSES}
        row["epochs"] = int(mine["epochs_trained"].fillna(0).sum())
        row["wall_s"] = float(mine["wall_s"].fillna(0.0).sum())
        rows.append(row)
    return pd.DataFrame(rows)


def not_completed(trials: pd.DataFrame) -> pd.DataFrame:
    """List the trials that neither completed nor were stopped by the search, with the reason each gave.

    Columns: trial_id, phase, status, epochs_trained, epochs_planned, attempts, reason (empty where unknown).
    """
    columns = ["trial_id", "phase", "status", "epochs_trained", "epochs_planned", "attempts", "reason"]
    rows = trials.loc[~trials["status"].isin(["completed", "stopped"]), columns].reset_index(drop=True)
    for name in ("epochs_trained", "attempts"):
        rows[name] = rows[name].fillna(0).astype(int)
    return rows.assign(reason=rows["reason"].astype(object).where(rows["reason"].notna(), ""))


def chosen(study: Study, trials: pd.DataFrame) -> pd.DataFrame:
    """List what each replicate's search chose, as its confirm trials ran it.

    Columns: arm, replicate, name, value, default (as text: where searches start; empty where the space does not
    say). One row for each hyperparameter that the arm searched.
    """
    confirm = trials[(trials["phase"] == "confirm") & (trials["status"] != "pending")]
    first = confirm.drop_duplicates(["arm", "replicate"])
    rows = []
    for arm in study.arms:
        for _, trial in first[first["arm"] == arm.name].iterrows():
            for name in arm.searched:
                value = trial.get(f"config.{name}")
                if value is not None and not pd.isna(value):
                    default = study.start(name)
                    text = "" if default is None else str(default)
                    rows.append((arm.name, int(trial["replicate"]), name, value, text))
    return pd.DataFrame(rows, columns=["arm", "replicate", "name", "value", "default"])
