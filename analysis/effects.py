"""From trials to effects: what each arm reached, and how it differs from another arm over paired replicates.

The unit is the replicate (search and training repeated); confirm seeds within one are averaged first. Only the
primary metric is tested, over the comparisons declared before the study; everything else is description.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import inference
from analysis.load import Study

REFERENCE, BASELINE = "reference", "baseline"


def arm_names(study: Study, trials: pd.DataFrame) -> list[str]:
    """List the planned arms in order, then arms that only the trials know."""
    return list(dict.fromkeys([*(arm.name for arm in study.arms), *trials["arm"]]))


def replicates(study: Study, trials: pd.DataFrame) -> pd.DataFrame:
    """Average each replicate's confirm trials into one row: arm, replicate, seeds, ended, then every test metric.

    ``seeds`` are planned confirm trials and ``ended`` those that completed. A metric is NaN unless every planned
    seed completed with a finite value: a mean over the surviving seeds would favour arms whose bad seeds fail.
    """
    confirm = trials[trials["phase"] == "confirm"]
    completed = confirm["status"] == "completed"
    frame = confirm[["arm", "replicate"]].assign(seeds=1, ended=completed.astype(int))
    for metric in study.metrics:
        column = f"metric.test_{metric}"
        values = confirm[column].astype(float) if column in confirm else pd.Series(np.nan, index=confirm.index)
        frame[metric] = values.where(completed & np.isfinite(values))
    groups = frame.groupby(["arm", "replicate"], sort=True)
    totals = groups[["seeds", "ended"]].sum()
    means = groups[list(study.metrics)].mean()
    usable = groups[list(study.metrics)].count().eq(totals["seeds"], axis=0)
    table = totals.join(means.where(usable)).reset_index()
    order = {name: place for place, name in enumerate(arm_names(study, trials))}
    return table.sort_values(
        ["arm", "replicate"],
        key=lambda column: column.map(order) if column.name == "arm" else column,
        ignore_index=True,
    )


def values(table: pd.DataFrame, arm: str, metric: str) -> pd.Series[float]:
    """Return an arm's values of a metric by replicate; NaN where a replicate has none."""
    rows = table[table["arm"] == arm]
    return pd.Series(rows[metric].to_numpy(dtype=float), index=rows["replicate"].to_numpy(), name=arm)


def pairs(table: pd.DataFrame, arm: str, against: str, metric: str) -> tuple[pd.DataFrame, tuple[int, ...]]:
    """Pair two arms by replicate; return columns arm and against by replicate, and the replicates without a pair."""
    both = pd.DataFrame({"arm": values(table, arm, metric), "against": values(table, against, metric)}).sort_index()
    whole = both.dropna()
    return whole, tuple(int(replicate) for replicate in both.index.difference(whole.index))


def arms_table(study: Study, trials: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Describe each arm: every test metric's mean with t interval, and the paired difference to the reference.

    Columns: arm, role, planned and n (replicates), missing (replicates without a value, as text), ``<metric>``,
    ``<metric>_low``, ``<metric>_high``, difference, difference_low, difference_high, pairs. ``table`` is what
    ``replicates`` returned.
    """
    names = arm_names(study, trials)
    rows = []
    for name in names:
        found = values(table, name, study.metric)
        row: dict[str, object] = {"arm": name, "role": name if name in (REFERENCE, BASELINE) else ""}
        row |= {"planned": len(found), "n": int(found.count())}
        row["missing"] = _spell(int(replicate) for replicate in found.index[found.isna()])
        for metric in study.metrics:
            mean = inference.mean_interval(values(table, name, metric).dropna().to_numpy())
            row |= {metric: float(mean.mean), f"{metric}_low": float(mean.low), f"{metric}_high": float(mean.high)}
        whole, _ = pairs(table, name, REFERENCE, study.metric)
        paired = inference.paired_difference(whole["arm"].to_numpy(), whole["against"].to_numpy())
        comparable = name != REFERENCE
        row["difference"] = float(paired.difference) if comparable else np.nan
        row |= (
            {"difference_low": float(paired.low), "difference_high": float(paired.high)}
            if comparable
            else {"difference_low": np.nan, "difference_high": np.nan}
        )
        row["pairs"] = len(whole) if comparable else 0
        rows.append(row)
    return pd.DataFrame(rows)


def comparisons_table(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Test the declared comparisons of the primary metric: paired t, Holm over the whole list, exact sign flips.

    Columns: arm, against, n (pairs), dropped (replicates without a pair, as text), difference, low, high, sd, p,
    p_holm, significant, p_flip, p_flip_floor, detectable (80 % power at the first step of Holm).
    """
    rows = []
    for arm, against in study.comparisons:
        whole, dropped = pairs(table, arm, against, study.metric)
        n = len(whole)
        paired = inference.paired_difference(whole["arm"].to_numpy(), whole["against"].to_numpy())
        flips = (whole["arm"] - whole["against"]).to_numpy()
        row: dict[str, object] = {"arm": arm, "against": against, "n": n, "dropped": _spell(dropped)}
        row |= {"difference": float(paired.difference), "low": float(paired.low), "high": float(paired.high)}
        row |= {"sd": float(paired.sd), "p": float(paired.p)}
        row["p_flip"] = float(inference.sign_flip_p(flips)) if n <= inference.MOST_SIGN_FLIPS else np.nan
        row["p_flip_floor"] = inference.sign_flip_floor(n)
        alpha = inference.ALPHA / len(study.comparisons)
        known = paired.sd > 0  # NaN for a single pair; differences without spread say nothing of the noise
        row["detectable"] = float(inference.detectable_difference(float(paired.sd), n, alpha)) if known else np.nan
        rows.append(row)
    columns = ["arm", "against", "n", "dropped", "difference", "low", "high", "sd", "p", "p_holm", "significant"]
    frame = pd.DataFrame(rows, columns=[*columns, "p_flip", "p_flip_floor", "detectable"])
    frame["p_holm"], frame["significant"] = inference.holm(frame["p"].to_numpy(dtype=float))
    return frame


def responses(study: Study, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Follow the primary metric along each numeric factor through the reference's levels of all the others.

    Only factors with three or more numeric levels among such arms are here. Columns: level, arm, n, mean, low, high;
    sorted by level, the reference's own included.
    """
    arms = {arm.name: arm for arm in study.arms}
    if REFERENCE not in arms:
        return {}
    home = dict(arms[REFERENCE].levels)
    found = {}
    for factor in study.space["factors"]:
        rows = []
        for arm in arms.values():
            level = arm.levels.get(factor)
            rest = {**arm.levels, factor: home.get(factor)}
            if isinstance(level, bool) or not isinstance(level, int | float) or rest != home:
                continue
            known = values(table, arm.name, study.metric).dropna().to_numpy()
            mean = inference.mean_interval(known)
            row = {"level": float(level), "arm": arm.name, "n": known.size}
            rows.append(row | {"mean": float(mean.mean), "low": float(mean.low), "high": float(mean.high)})
        if len(rows) >= 3:
            found[factor] = pd.DataFrame(rows).sort_values("level", ignore_index=True)
    return found


def _spell(numbers: object) -> str:
    return ", ".join(str(number) for number in numbers)  # type: ignore[attr-defined]
