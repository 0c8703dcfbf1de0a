"""The arms of a table of results: which is the reference, which the baseline, and the levels of their factors."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ablation.faults import nearest
from analysis.elsewhere.asked import Asked
from analysis.elsewhere.columns import Columns
from search_spaces.space import Arm

REFERENCE_NAMES = ("reference", "full", "full model", "full method", "control", "baseline")  # in order of preference


def reference_of(asked: Asked, names: list[str]) -> tuple[str | None, list[str]]:
    """Return the name of the reference, None if it is not clear, and what was guessed."""
    if asked.reference is not None:
        return asked.reference, []
    lower = {name.lower().replace("_", " "): name for name in reversed(names)}
    found = next((lower[name] for name in REFERENCE_NAMES if name in lower), None)
    return found, [f"reference: arm {found!r}, by its name (--reference names another)"] if found else []


def role_faults(asked: Asked, names: list[str], reference: str | None) -> Iterator[str]:
    """Say what is wrong with the arms and the roles that were asked for them."""
    if reference is None:
        known = f"arms are {', '.join(names)}"
        yield f"which arm the others are compared with is not clear; name it with --reference; {known}"
    for role, name in (("reference", asked.reference), ("baseline", asked.baseline)):
        if name is not None and name not in names:
            yield f"--{role} is {name!r}, but the table has no such arm; {nearest(name, names)}"
    if asked.baseline is not None and asked.baseline == reference:
        yield f"--reference and --baseline are both {reference!r}; leave --baseline out"
    if len(names) < 2:
        yield f"the table has one arm, {', '.join(names)}, but a comparison needs two; add the rows of another"


def level_faults(runs: pd.DataFrame, columns: Columns) -> Iterator[str]:
    """Say which arms are no single combination of levels, or not the only one."""
    if not columns.factors:
        return
    for factor in columns.factors:
        for arm, seen in runs.groupby("arm", sort=False)[factor]:
            if seen.nunique() > 1:
                found = ", ".join(map(str, dict.fromkeys(seen)))
                rule = "a factor must be the same in all rows of an arm"
                yield f"arm {arm!r} has several levels of {factor}: {found}; {rule}"
    first = runs.drop_duplicates("arm")
    for _, alike in first.groupby(list(columns.factors), sort=False)["arm"]:
        if len(alike) > 1:
            same = "have the same level of every factor; name the factor that tells them apart with --factor-columns"
            yield f"arms {', '.join(alike)} {same}"


def arms_of(runs: pd.DataFrame, columns: Columns, names: list[str]) -> tuple[Arm, ...]:
    """Build the arms in the order of ``names``, with their levels."""
    first = runs.drop_duplicates("arm").set_index("arm")
    levels = first[list(columns.factors)].astype(object).to_dict("index")
    return tuple(Arm(name=name, levels=levels.get(name, {}), searched=()) for name in names)
