"""What confirm trials left about the test data: confusions, embeddings, attention; and what an arm's score cost.

All artifact files are optional, and a study of another model may leave none.
"""

from __future__ import annotations

import pandas as pd

from ablation.run_dir import RunLocation
from analysis import load
from analysis.effects import arm_names
from analysis.load import PlannedStudy

EMBEDDING_COLUMNS = ("x", "y", "label", "kind")
ATTENTION_COLUMNS = ("label", "row", "column", "weight")
FACE_COLUMNS = ("image", "label", "predicted", "confidence", "png", "attention", "rows", "columns")
PLACE = ["trial_id", "arm", "replicate"]


def confusion_shares(study: PlannedStudy, trials: pd.DataFrame, counts: pd.DataFrame) -> pd.DataFrame:
    """Average each arm's confusion matrix, in shares of the true class: seeds within a replicate first.

    Columns: arm, label, predicted, count (of all trials), share (0..1), replicates.
    """
    whole = counts.merge(_done(trials), on="trial_id")
    if whole.empty:
        return pd.DataFrame(columns=["arm", "label", "predicted", "count", "share", "replicates"])
    whole["share"] = whole["count"] / whole.groupby(["trial_id", "label"])["count"].transform("sum")
    trials_of = whole.groupby(["arm", "replicate"])["trial_id"].transform("nunique")
    whole["share"] /= trials_of * whole.groupby("arm")["replicate"].transform("nunique")
    whole["replicates"] = whole.groupby("arm")["replicate"].transform("nunique")
    groups = whole.groupby(["arm", "label", "predicted"], as_index=False)
    table = groups.agg(count=("count", "sum"), share=("share", "sum"), replicates=("replicates", "first"))
    return _in_order(study, trials, table)


def embeddings(run: RunLocation, study: PlannedStudy, trials: pd.DataFrame) -> pd.DataFrame:
    """Read each arm's first completed confirm trial's embedding: trial_id, arm, replicate, x, y, label, kind."""
    first = _done(trials).drop_duplicates("arm")
    table = _left(run, first, "embeddings.parquet", EMBEDDING_COLUMNS)
    return _in_order(study, trials, table[[*PLACE, *EMBEDDING_COLUMNS]])


def attention(run: RunLocation, study: PlannedStudy, trials: pd.DataFrame) -> pd.DataFrame:
    """Average each arm's spatial attention over its confirm trials: arm, label, row, column, weight, relative.

    ``relative`` is the weight in units of even attention: 1 everywhere if every place counted alike.
    """
    maps = _left(run, _done(trials), "attention.parquet", ATTENTION_COLUMNS)
    if maps.empty:
        return pd.DataFrame(columns=["arm", *ATTENTION_COLUMNS, "relative"])
    table = maps.groupby(["arm", "label", "row", "column"])["weight"].mean().reset_index()
    positions = table.groupby(["arm", "label"])["weight"]
    table["relative"] = table["weight"] / positions.transform("sum") * positions.transform("size")
    return _in_order(study, trials, table)


def faces(run: RunLocation, study: PlannedStudy, trials: pd.DataFrame) -> pd.DataFrame:
    """Read the photographs that each arm's first completed confirm trial left: trial_id, arm, replicate, FACE_COLUMNS.

    ``attention`` holds a photograph's own weights, row by row; it, ``rows`` and ``columns`` are null without attention.
    """
    first = _done(trials).drop_duplicates("arm")
    return _in_order(study, trials, _left(run, first, "faces.parquet", FACE_COLUMNS))


def cost(arms: pd.DataFrame, effort: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Set each arm's test score beside what it cost: arm, mean, low, high, epochs, wall_s.

    ``arms`` and ``effort`` are what ``effects.arms_table`` and ``effort.effort_table`` return.
    """
    ends = {metric: "mean", f"{metric}_low": "low", f"{metric}_high": "high"}
    scores = arms[["arm", *ends]].rename(columns=ends)
    return scores.merge(effort[["arm", "epochs", "wall_s"]], on="arm").dropna(subset="mean").reset_index(drop=True)


def undominated(costs: pd.DataFrame, column: str, higher_is_better: bool) -> set[str]:
    """Name the arms that no other arm beats in mean score at no more cost."""
    ranked = costs.sort_values([column, "mean"], ascending=[True, not higher_is_better], kind="stable")
    score = ranked["mean"] if higher_is_better else -ranked["mean"]
    return set(ranked.loc[score > score.cummax().shift(fill_value=float("-inf")), "arm"])


def class_name(study: PlannedStudy, label: int) -> str:
    """Name a class, or number it where the study gives no name; names that two classes have are numbered, too."""
    if not 0 <= label < len(study.class_names):
        return f"class {label}"
    name = study.class_names[label]
    return f"{name} ({label})" if study.class_names.count(name) > 1 else name


def _done(trials: pd.DataFrame) -> pd.DataFrame:
    rows = trials[(trials["phase"] == "confirm") & (trials["status"] == "completed")]
    return rows.sort_values(["replicate", "index"], kind="stable")[PLACE]


def _in_order(study: PlannedStudy, trials: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    order = {name: index for index, name in enumerate(arm_names(study, trials))}
    return table.sort_values("arm", key=lambda column: column.map(order), kind="stable", ignore_index=True)


def _left(run: RunLocation, trials: pd.DataFrame, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read what these trials left, with each one's arm and replicate."""
    return load.artifacts(run, name, columns, among=set(trials["trial_id"])).merge(trials, on="trial_id")
