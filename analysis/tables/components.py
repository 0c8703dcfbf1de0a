"""What a component is worth: added alone to the baseline, taken alone from the reference, and on the way between.

A component is a factor whose level differs between baseline and reference. The arms that stand for a subset of
components are found by their levels, with the space's conditions applied as the plan did. Description only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import combinations

import pandas as pd

from analysis.effects import declared_ends, difference, matrix, values
from analysis.question import Question
from search_spaces.conditions import meaning

MOST_COMPONENTS = 12  # 4,096 subsets
DIFFERENCE = ("difference", "low", "high", "n")


def components(study: Question) -> tuple[str, ...]:
    """List the factors in which baseline and reference differ; empty if the study lacks either arm."""
    planned = {arm.name for arm in study.arms}
    home, start = study.reference_levels, study.baseline_levels
    if not {study.reference_arm, study.baseline_arm} <= planned:
        return ()
    return tuple(name for name in study.factors if home.get(name) != start.get(name))


def components_table(study: Question, table: pd.DataFrame) -> pd.DataFrame:
    """Set each component's gain over the baseline beside its loss from the reference.

    Columns: component, level (the reference's), instead (the baseline's), added (the arm that is the baseline with it),
    ``added_difference``, ``added_low``, ``added_high``, ``added_n`` to the baseline; removed (the arm that is the
    reference without it), then ``removed_difference`` and so on to the reference. Differences are the named arm minus
    what it is compared with, with t interval, or as tested where that comparison is declared. An arm is empty if none
    was planned, or where a condition makes it the same arm.
    """
    whole = frozenset(components(study))
    arm_of, ends = _lookup(study, whole), declared_ends(study, table)
    rows = []
    start, home = study.baseline_arm, study.reference_arm
    for name in components(study):
        row: dict[str, object] = {"component": name, "level": str(study.reference_levels[name])}
        row["instead"] = str(study.baseline_levels[name])
        for side, subset, against in (("added", {name}, start), ("removed", whole - {name}, home)):
            arm = arm_of(subset)
            row[side] = "" if arm is None or arm == against else arm
            found = _difference(study, table, row[side], against)
            if (pair := (str(row[side]), against)) in ends:
                found["low"], found["high"] = ends[pair]
            row |= {f"{side}_{key}": value for key, value in found.items()}
        rows.append(row)
    sides = [f"{side}{key}" for side in ("added", "removed") for key in ("", *(f"_{key}" for key in DIFFERENCE))]
    return pd.DataFrame(rows, columns=["component", "level", "instead", *sides])


def ablation_path(study: Question, table: pd.DataFrame) -> pd.DataFrame:
    """Walk from the baseline to the reference, one component a step, through trained arms, the largest gain first.

    Columns: step (from 0), component (added in this step, empty at 0), arm, mean, difference, low, high, n (paired, to
    the step before). Empty if no chain of trained arms leads there. The order is chosen by looking at the results,
    so a step's interval describes and claims nothing.
    Source: Fawcett & Hoos, "Analysing differences between algorithm configurations through ablation" (2016).
    """
    columns = ["step", "component", "arm", "mean", *DIFFERENCE]
    names = components(study)
    whole = frozenset(names)
    arm_of = _lookup(study, whole)
    ways = _reachable(names, arm_of)
    if not names or frozenset[str]() not in ways:
        return pd.DataFrame(columns=columns)
    at, arm = frozenset[str](), study.baseline_arm
    rows = [_step(study, table, 0, "", arm, None)]
    sign = study.primary.sign
    while at != whole:
        following = [name for name in names if name not in at and at | {name} in ways and arm_of(at | {name}) != arm]
        means = {name: sign * float(values(table, str(arm_of(at | {name})), study.metric).mean()) for name in following}
        # An arm without results comes last; ties go to the factor named first.
        best = max(following, key=lambda name: means[name] if means[name] == means[name] else float("-inf"))
        at |= {best}
        before, arm = arm, str(arm_of(at))
        rows.append(_step(study, table, len(rows), best, arm, before))
    return pd.DataFrame(rows, columns=columns)


def _reachable(names: tuple[str, ...], arm_of: Callable[[Iterable[str]], str | None]) -> set[frozenset[str]]:
    """Collect the trained subsets from which adding one component at a time, a new arm each, leads to all of them."""
    whole = frozenset(names)
    if len(names) > MOST_COMPONENTS or arm_of(whole) is None:
        return set()
    ways = {whole}
    for size in range(len(names) - 1, -1, -1):
        for subset in map(frozenset, combinations(names, size)):
            arm = arm_of(subset)
            further = (subset | {name} for name in names if name not in subset)
            if arm is not None and any(bigger in ways and arm_of(bigger) != arm for bigger in further):
                ways.add(subset)
    return ways


def _lookup(study: Question, whole: frozenset[str]) -> Callable[[Iterable[str]], str | None]:
    """Return a function from a subset of components to the arm that is the baseline with these, if it was planned."""
    known = {frozenset(arm.levels.items()): arm.name for arm in study.arms}
    home, start = study.reference_levels, study.baseline_levels

    def arm_of(subset: Iterable[str]) -> str | None:
        levels = {**start, **{name: home[name] for name in subset}}
        return known.get(frozenset(meaning(levels, study.conditions).levels.items()))

    return arm_of


def _step(
    study: Question, table: pd.DataFrame, step: int, component: str, arm: str, before: str | None
) -> dict[str, object]:
    mean = float(values(table, arm, study.metric).mean())
    return {"step": step, "component": component, "arm": arm, "mean": mean} | _difference(
        study, table, arm if before else "", before or ""
    )


def _difference(study: Question, table: pd.DataFrame, arm: object, against: str) -> dict[str, object]:
    if not arm:
        return dict(zip(DIFFERENCE, (float("nan"),) * 3 + (0,), strict=True))
    arm_CR, _ = matrix(table, [str(arm), against], study.metric)
    found = difference(study, arm_CR[0], arm_CR[1])
    numbers = (float(found.difference), float(found.low), float(found.high), int(found.n))
    return dict(zip(DIFFERENCE, numbers, strict=True))
