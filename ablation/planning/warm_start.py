"""Begin a new study from what an earlier one found: what that study confirmed is the default of every search."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ablation.faults import FaultsError
from ablation.paths import RunPaths
from ablation.plan import Plan, WarmStart
from ablation.store import AnyPath, opened
from search_spaces.space import Choice, Domain, Int, Level, Levels, Space
from search_spaces.wording import without_wording


def warm_start_from(space: Space, run: AnyPath) -> WarmStart:
    """Return the defaults that a run's completed confirm trials give to a space's hyperparameters.

    A default is the median over all arms and replicates (of the logarithm if the range is logarithmic; of choices
    the most frequent), put into the range. It is the same in every arm, so the start favours none. Hyperparameters
    that the run did not have, or only with values that are none here, are left out. Raises FaultsError if the run
    has nothing confirmed, or nothing to give.
    """
    rows = _confirmed(run)
    defaults: Levels = {}
    for name, domain in space.nuisance.items():
        values = [row[f"config.{name}"] for row in rows if row.get(f"config.{name}") is not None]
        typical = _typical(values, domain)
        if typical is not None:
            defaults[name] = typical
    if not defaults:
        nothing = f"it confirmed no value for any of {', '.join(space.nuisance)}"
        raise FaultsError([f"--warm-start {run}: {nothing}; give a run of a related space"])
    return WarmStart(run=_name(run), defaults=defaults)


def with_defaults(space: Space, defaults: Mapping[str, Level]) -> Space:
    """Return the space with other defaults."""
    changed = {name: space.nuisance[name].model_copy(update={"default": value}) for name, value in defaults.items()}
    return space.model_copy(update={"nuisance": {**space.nuisance, **changed}})


def keep_warm_start(space: Space, existing: Plan) -> Space:
    """Return the space with the warm defaults of the plan of a study under way.

    They are taken if a hyperparameter's domain is otherwise what it was. What the study was started from is not
    read: it may have grown since, or be gone.
    """
    if existing.warm_start is None:
        return space
    before = without_wording(existing.space).nuisance
    now = without_wording(space).nuisance
    return with_defaults(
        space,
        {
            name: default
            for name, default in existing.warm_start.defaults.items()
            if name in now and now[name].model_copy(update={"default": default}) == before[name]
        },
    )


def source_faults(existing: Plan, asked: AnyPath | None) -> list[str]:
    """Say that the run asked for is not the one that an existing study was started from, if so."""
    if asked is None:
        return []
    if existing.warm_start is None:
        return [f"--warm-start is {asked}, but the run to go on with was not started warm; leave --warm-start out"]
    if _name(asked) != existing.warm_start.run:
        started = f"the run to go on with was started from {existing.warm_start.run}"
        return [f"--warm-start is {asked}, but {started}; leave --warm-start out"]
    return []


def _name(run: AnyPath) -> str:
    return run.absolute().name


def _confirmed(run: AnyPath) -> list[dict[str, Any]]:
    path = RunPaths(run).trials
    remedy = "give a run directory with completed confirm trials, such as runs/NAME"
    try:
        with opened(path) as file:
            rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise FaultsError([f"--warm-start {run}: its trials.parquet cannot be read ({error}); {remedy}"]) from error
    found = [row for row in rows if row["phase"] == "confirm" and row["status"] == "completed"]
    if not found:
        raise FaultsError([f"--warm-start {run}: nothing is confirmed there; {remedy}"])
    return found


def _typical(values: Sequence[Any], domain: Domain) -> Level | None:
    """Return the value to begin at; None if none of the values is one that the domain can hold."""
    if isinstance(domain, Choice):
        indices = [index for value in values if (index := _index(value, domain)) is not None]
        counts = Counter(indices)
        # Ties go to the value that the range lists first.
        return domain.values[max(sorted(counts), key=lambda index: counts[index])] if counts else None
    numbers = [value for value in values if _is_number(value) and (value > 0 or not domain.log)]
    if not numbers:
        return None
    middle = math.exp(median(map(math.log, numbers))) if domain.log else float(median(numbers))
    inside = min(max(middle, domain.low), domain.high)
    return round(inside) if isinstance(domain, Int) else inside


def _index(value: Any, choice: Choice) -> int | None:
    """Find a value's index among the choices; tables format a column of several kinds as text."""
    for index, known in enumerate(choice.values):
        is_same = known == value and isinstance(known, bool) == isinstance(value, bool)
        if is_same or str(known) == str(value):
            return index
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
