"""From trials to effects: what each arm reached, and how it differs from another arm over paired replicates.

The unit is the replicate (search and training repeated); confirm seeds within one are averaged first. Only the
primary metric is tested, over the comparisons declared before the study; everything else is description.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ablation.mean_interval import mean_interval
from analysis import inference
from analysis.inference import Array, Paired
from analysis.load import PlannedStudy
from analysis.question import Question
from analysis.statistics import effect_sizes, welch
from analysis.statistics.moderated import detectable, moderated_test
from analysis.statistics.welch import Unpaired
from analysis.study import BASELINE as BASELINE
from analysis.study import REFERENCE as REFERENCE

LARGEST = 1e150  # of a test metric: squares of larger values overflow, so they count as infinite


def arm_names(study: Question, table: pd.DataFrame) -> list[str]:
    """List the arms in the question's order, then arms that only the table knows; it may be trials or replicates."""
    return list(dict.fromkeys([*(arm.name for arm in study.arms), *table["arm"].unique()]))


def replicates(study: PlannedStudy, trials: pd.DataFrame) -> pd.DataFrame:
    """Average each replicate's confirm trials into one row: arm, replicate, seeds, ended, then every test metric.

    ``seeds`` are planned confirm trials and ``ended`` those that completed. A metric is NaN unless every planned
    seed completed with a value within ±LARGEST: a mean over the surviving seeds would favour arms whose bad seeds fail.
    """
    confirm = trials[trials["phase"] == "confirm"]
    completed = confirm["status"] == "completed"
    frame = confirm[["arm", "replicate"]].assign(seeds=1, ended=completed.astype(int))
    for metric in study.metrics:
        column = study.declared[metric].test_column
        values = confirm[column].astype(float) if column in confirm else pd.Series(np.nan, index=confirm.index)
        frame[metric] = values.where(completed & (values.abs() < LARGEST))
    groups = frame.groupby(["arm", "replicate"], sort=True)
    totals = groups[["seeds", "ended"]].sum()
    means = groups[list(study.metrics)].mean()
    usable = groups[list(study.metrics)].count().eq(totals["seeds"], axis=0)
    table = totals.join(means.where(usable)).reset_index()
    order = {name: index for index, name in enumerate(arm_names(study, trials))}
    return table.sort_values(
        ["arm", "replicate"],
        key=lambda column: column.map(order) if column.name == "arm" else column,
        ignore_index=True,
    )


def values(table: pd.DataFrame, arm: str, metric: str) -> pd.Series[float]:
    """Return an arm's values of a metric by replicate; NaN if a replicate has none."""
    rows = table[table["arm"] == arm]
    return pd.Series(rows[metric].to_numpy(dtype=float), index=rows["replicate"].to_numpy(), name=arm)


def matrix(table: pd.DataFrame, arms: Sequence[str], metric: str) -> tuple[Array, tuple[int, ...]]:
    """Lay out a metric as ``values_AR``, NaN if an arm has no value in a replicate; return it and the replicates."""
    names, replicates = pd.Index(table["arm"].unique()), np.sort(table["replicate"].unique())
    # One row more than there are arms: arms without any value find it under -1. Pivoting takes 20 times as long.
    wide_AR = np.full((len(names) + 1, len(replicates)), np.nan)
    wide_AR[names.get_indexer(table["arm"]), np.searchsorted(replicates, table["replicate"])] = table[metric]
    return wide_AR[names.get_indexer(pd.Index(list(arms)))], tuple(int(replicate) for replicate in replicates)


def pairs(table: pd.DataFrame, arm: str, against: str, metric: str) -> tuple[pd.DataFrame, tuple[int, ...]]:
    """Pair two arms by replicate; return columns arm and against by replicate, and the replicates without a pair.

    >>> table = pd.DataFrame({"arm": ["reference"] * 2 + ["a"], "replicate": [0, 1, 0], "accuracy": [0.5, 0.6, 0.7]})
    >>> whole, without_a_pair = pairs(table, "a", "reference", "accuracy")
    >>> whole.to_dict("list"), without_a_pair
    ({'arm': [0.7], 'against': [0.5]}, (1,))
    """
    both = pd.DataFrame({"arm": values(table, arm, metric), "against": values(table, against, metric)}).sort_index()
    whole = both.dropna()
    return whole, tuple(int(replicate) for replicate in both.index.difference(whole.index))


def difference(study: Question, arm_R: ArrayLike, against_R: ArrayLike) -> Paired | Unpaired:
    """Estimate ``arm - against`` over replicates, which are pairs or not, as the study has it."""
    estimate = inference.paired_difference if study.is_paired else welch.unpaired_difference
    return estimate(arm_R, against_R)


def arms_table(study: Question, table: pd.DataFrame) -> pd.DataFrame:
    """Describe each arm: every test metric's mean with interval, and the paired difference to the reference.

    Columns: arm, role, planned and n (replicates), missing (replicates without a value, as text), ``<metric>``,
    ``<metric>_low``, ``<metric>_high``, difference, difference_low, difference_high (as tested where the comparison is
    declared, else the t interval), pairs. ``table`` is what ``replicates`` returned.
    """
    names, home = arm_names(study, table), study.reference_arm
    roles = {study.baseline_arm: BASELINE, home: REFERENCE}
    values_AR, replicates = matrix(table, names, study.metric)
    planned_AR = matrix(table.assign(planned=1.0), names, "planned")[0] == 1
    known_AR = ~np.isnan(values_AR)
    frame = pd.DataFrame({"arm": names, "role": [roles.get(name, "") for name in names]})
    frame["planned"], frame["n"] = planned_AR.sum(axis=1), known_AR.sum(axis=1)
    frame["missing"] = [
        _format(replicate for replicate, is_lost in zip(replicates, lost_R, strict=True) if is_lost)
        for lost_R in planned_AR & ~known_AR
    ]
    for metric in study.metrics:
        mean = mean_interval(matrix(table, names, metric)[0], study.declared[metric].largest(table[metric]))
        frame[metric], frame[f"{metric}_low"], frame[f"{metric}_high"] = mean
    home_AR = matrix(table, [home if name != home else "" for name in names], study.metric)[0]
    found = difference(study, values_AR, home_AR)
    low, high = _ends([(name, home) for name in names], found, declared_ends(study, table))
    return frame.assign(difference=found.difference, difference_low=low, difference_high=high, pairs=found.n)


def comparisons_table(study: Question, table: pd.DataFrame) -> pd.DataFrame:
    """Test the declared comparisons of the primary metric: moderated t stepped down the list, and exact sign flips.

    Columns: arm, against, n (pairs), dropped (replicates without a pair, as text), difference, low, high, sd (of single
    differences), sd_moderated (with what is borrowed), df (own and borrowed), p (of the moderated t), p_holm,
    significant, p_t (of the plain paired t), p_flip, p_flip_floor, detectable (80 % power at the first step of Holm),
    d_z, g_z, g_low, g_high (standardised difference), improvement, improvement_low, improvement_high (chance that a
    replicate of ``arm`` is better than one of ``against``), wins (pairs in which it is), p_equivalent and equivalent
    (two one-sided tests within the study's smallest effect; NaN and False without one).
    """
    columns = ["arm", "against", "n", "dropped", "difference", "low", "high", "sd", "sd_moderated", "df", "p", "p_holm"]
    columns += ["significant", "p_t", "p_flip", "p_flip_floor", "detectable", "d_z", "g_z", "g_low", "g_high"]
    columns += ["improvement", "improvement_low", "improvement_high", "wins", "p_equivalent", "equivalent"]
    if not study.comparisons:
        return pd.DataFrame(columns=columns).astype({"significant": bool, "equivalent": bool, "dropped": str})
    arms, against = zip(*study.comparisons, strict=True)
    arm_CR, replicates = matrix(table, arms, study.metric)
    against_CR, _ = matrix(table, against, study.metric)
    plain = inference.paired_difference(arm_CR, against_CR)
    found = moderated_test(plain, study.smallest_effect)
    sizes = effect_sizes.standardised_difference(arm_CR, against_CR)
    sign = study.primary.sign
    better = effect_sizes.probability_of_improvement(sign * arm_CR, sign * against_CR)
    frame = pd.DataFrame({"arm": arms, "against": against, "n": plain.n})
    frame["dropped"] = [_unpaired(*pair, replicates) for pair in zip(arm_CR, against_CR, strict=True)]
    frame["difference"], frame["sd"], frame["p_t"] = plain.difference, plain.sd, plain.p
    for name in ("low", "high", "df", "p", "p_holm", "significant", "p_equivalent", "equivalent"):
        frame[name] = getattr(found, name)
    frame["sd_moderated"] = found.sd
    frame["p_flip"] = [_flip(row) for row in arm_CR - against_CR]
    frame["p_flip_floor"] = [inference.sign_flip_floor(int(n)) for n in plain.n]
    spreads = zip(found.sd.tolist(), plain.n.tolist(), strict=True)
    frame["detectable"] = [detectable(sd, n, found.prior, len(arms)) for sd, n in spreads]
    frame["d_z"], frame["g_z"], frame["g_low"], frame["g_high"] = sizes
    frame["improvement"], frame["improvement_low"], frame["improvement_high"] = better
    frame["wins"] = (sign * (arm_CR - against_CR) > 0).sum(axis=-1)
    return frame[columns]


def declared_ends(study: Question, table: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float]]:
    """Return the interval of each declared comparison, as it is tested, by (arm, against) and the other way round.

    Tables that describe the same difference beside others take it from here: one difference has one interval.
    """
    if not study.comparisons or not study.is_paired:
        return {}
    arms, against = zip(*study.comparisons, strict=True)
    of_arms_CR, of_others_CR = (matrix(table, names, study.metric)[0] for names in (arms, against))
    found = moderated_test(inference.paired_difference(of_arms_CR, of_others_CR))
    ends = list(zip(study.comparisons, found.low.tolist(), found.high.tolist(), strict=True))
    turned = {(against, arm): (-high, -low) for (arm, against), low, high in ends}
    return turned | {pair: (low, high) for pair, low, high in ends}


def _ends(
    listed: Sequence[tuple[str, str]], found: Paired | Unpaired, declared: Mapping[tuple[str, str], tuple[float, float]]
) -> tuple[list[float], list[float]]:
    plain = zip(listed, found.low.tolist(), found.high.tolist(), strict=True)
    ends = [declared.get(pair, (low, high)) for pair, low, high in plain]
    return [low for low, _ in ends], [high for _, high in ends]


def differences_table(study: Question, table: pd.DataFrame) -> pd.DataFrame:
    """Describe every metric's paired difference of every arm to the reference and to the baseline, with t interval.

    Columns: arm, against, metric, n (pairs), difference, low, high, declared (whether the plan compares the two; only
    the primary metric of those is tested, in ``comparisons_table``, and has its interval from there). Description: no
    p, no correction.
    """
    names = arm_names(study, table)
    homes = [name for name in (study.reference_arm, study.baseline_arm) if name in names]
    listed = [(arm, home) for home in homes for arm in names if arm != home]
    if not listed:
        return pd.DataFrame(columns=["arm", "against", "metric", "n", "difference", "low", "high", "declared"])
    arms, against = zip(*listed, strict=True)
    declared, tested = {frozenset(pair) for pair in study.comparisons}, declared_ends(study, table)
    parts = []
    for metric in study.metrics:
        found = difference(study, matrix(table, arms, metric)[0], matrix(table, against, metric)[0])
        part = pd.DataFrame({"arm": arms, "against": against, "metric": metric, "n": found.n})
        low, high = _ends(listed, found, tested if metric == study.metric else {})
        part = part.assign(difference=found.difference, low=low, high=high)
        parts.append(part.assign(declared=[frozenset(pair) in declared for pair in listed]))
    return pd.concat(parts, ignore_index=True)


def responses(study: Question, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Follow the primary metric along each numeric factor through the reference's levels of all the others.

    Only factors with three or more numeric levels among such arms are here. Columns: level, arm, n, mean, low, high;
    sorted by level, the reference's own included.
    """
    arms = {arm.name: arm for arm in study.arms}
    if study.reference_arm not in arms:
        return {}
    home, largest = dict(arms[study.reference_arm].levels), study.primary.largest(table[study.metric])
    found = {}
    for factor in study.factors:
        rows = []
        for arm in arms.values():
            level = arm.levels.get(factor)
            rest = {**arm.levels, factor: home.get(factor)}
            if isinstance(level, bool) or not isinstance(level, int | float) or rest != home:
                continue
            known = values(table, arm.name, study.metric).dropna().to_numpy()
            mean = mean_interval(known, largest)
            row = {"level": float(level), "arm": arm.name, "n": known.size}
            rows.append(row | {"mean": float(mean.mean), "low": float(mean.low), "high": float(mean.high)})
        if len(rows) >= 3:
            found[factor] = pd.DataFrame(rows).sort_values("level", ignore_index=True)
    return found


def _unpaired(arm_R: Array, against_R: Array, replicates: tuple[int, ...]) -> str:
    lost_R = np.isnan(arm_R - against_R)
    return _format(replicate for replicate, lost in zip(replicates, lost_R, strict=True) if lost)


def _flip(differences_R: Array) -> float:
    n = int((~np.isnan(differences_R)).sum())
    return float(inference.sign_flip_p(differences_R)) if n <= inference.MOST_SIGN_FLIPS else np.nan


def _format(numbers: object) -> str:
    return ", ".join(str(number) for number in numbers)  # type: ignore[attr-defined]
