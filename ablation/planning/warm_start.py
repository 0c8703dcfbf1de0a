"""Begin a new study from what an earlier one found: every search's first point is what that study confirmed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ablation.faults import FaultsError
from ablation.paths import RunPaths
from search_spaces.space import Choice, Domain, Int, Level, Space

# Stands in the source of a default that came from a run, before that run's name.
MARK = "default: warm start from "


def warm_start_from(space: Space, run: Path) -> Space:
    """Return the space with defaults from a run's completed confirm trials.

    A default is the median over all arms and replicates (of the logarithm if the range is logarithmic; of choices
    the most frequent), put into the range. It is the same in every arm, so the start favours none. Hyperparameters
    that the run did not have, or only with values that are none here, keep their default. Raises FaultsError if the
    run has nothing confirmed, or nothing to give.
    """
    rows = _confirmed(run)
    changed: dict[str, Domain] = {}
    for name, domain in space.nuisance.items():
        values = [row[f"config.{name}"] for row in rows if row.get(f"config.{name}") is not None]
        typical = _typical(values, domain)
        if typical is not None:
            changed[name] = _begun_at(domain, typical, _name(run))
    if not changed:
        nothing = f"it confirmed no value for any of {', '.join(space.nuisance)}"
        raise FaultsError([f"--warm-start {run}: {nothing}; give a run of a related space"])
    return space.model_copy(update={"nuisance": {**space.nuisance, **changed}})


def keep_warm_start(space: Space, existing: Space) -> Space:
    """Return the space with the warm defaults of a study under way, whose space is ``existing``.

    They are taken if nothing else of a hyperparameter differs. What the study was started from is not read: it may
    have grown since, or be gone.
    """
    changed: dict[str, Domain] = {}
    for name, domain in space.nuisance.items():
        before = existing.nuisance.get(name)
        source = None if before is None else _source(before)
        if before is not None and source is not None and before == _begun_at(domain, before.default, source):
            changed[name] = before
    return space.model_copy(update={"nuisance": {**space.nuisance, **changed}})


def source_faults(existing: Space, asked: Path | None) -> list[str]:
    """Say where the run asked for is not the one that an existing study was started from."""
    if asked is None:
        return []
    sources = {source for domain in existing.nuisance.values() if (source := _source(domain)) is not None}
    if not sources:
        return [f"--warm-start is {asked}, but the run to go on with was not started warm; leave --warm-start out"]
    if _name(asked) not in sources:
        known = " and ".join(sorted(sources))
        return [f"--warm-start is {asked}, but the run to go on with was started from {known}; leave --warm-start out"]
    return []


def _begun_at(domain: Domain, default: Level, source: str) -> Domain:
    text = f"{domain.source}; {MARK}{source}".removeprefix("; ")
    return domain.model_copy(update={"default": default, "source": text})


def _source(domain: Domain) -> str | None:
    """Return the name of the run that a default came from, if it came from one."""
    _, mark, name = domain.source.rpartition(MARK)
    return name if mark else None


def _name(run: Path) -> str:
    return run.absolute().name


def _confirmed(run: Path) -> list[dict[str, Any]]:
    path = RunPaths(run).trials
    remedy = "give a run directory with completed confirm trials, such as runs/NAME"
    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise FaultsError([f"--warm-start {run}: its trials.parquet cannot be read ({error}); {remedy}"]) from error
    found = [row for row in rows if row["phase"] == "confirm" and row["status"] == "completed"]
    if not found:
        raise FaultsError([f"--warm-start {run}: nothing is confirmed there; {remedy}"])
    return found


def _typical(values: Sequence[Any], domain: Domain) -> Level | None:
    """Return the value to begin at; None if none of the values is one that the domain can hold."""
    if isinstance(domain, Choice):
        places = [place for value in values if (place := _place(value, domain)) is not None]
        counts = Counter(places)
        # Ties go to the value that the range lists first.
        return domain.values[max(sorted(counts), key=lambda place: counts[place])] if counts else None
    numbers = [value for value in values if _is_number(value) and (value > 0 or not domain.log)]
    if not numbers:
        return None
    middle = math.exp(median(map(math.log, numbers))) if domain.log else float(median(numbers))
    inside = min(max(middle, domain.low), domain.high)
    return round(inside) if isinstance(domain, Int) else inside


def _place(value: Any, choice: Choice) -> int | None:
    """Find a value's place among the choices; tables format a column of several kinds as text."""
    for place, known in enumerate(choice.values):
        is_same = known == value and isinstance(known, bool) == isinstance(value, bool)
        if is_same or str(known) == str(value):
            return place
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
