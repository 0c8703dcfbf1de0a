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
from search_spaces.space import Choice, Domain, Float, Int, Level, Space


def warmed(space: Space, run: Path) -> Space:
    """Return the space with defaults from a run's completed confirm trials.

    A default is the median over all arms and replicates (of the logarithm where the range is logarithmic; of choices
    the most frequent), put into the range. It is the same in every arm, so the start favours none. Hyperparameters
    that the run did not have keep their default. Raises FaultsError where the run has nothing confirmed.
    """
    rows = _confirmed(run)
    changed: dict[str, Domain] = {}
    for name, domain in space.nuisance.items():
        values = [row[f"config.{name}"] for row in rows if row.get(f"config.{name}") is not None]
        if values:
            source = f"{domain.source}; default: warm start from {run.name}".removeprefix("; ")
            changed[name] = domain.model_copy(update={"default": _typical(values, domain), "source": source})
    if not changed:
        raise FaultsError(
            [f"--warm-start {run}: it searched none of {', '.join(space.nuisance)}; give a run of a related space"]
        )
    return space.model_copy(update={"nuisance": {**space.nuisance, **changed}})


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


def _typical(values: Sequence[Any], domain: Domain) -> Level:
    match domain:
        case Choice():
            counts = Counter(value for value in values if value in domain.values)
            # Ties go to the value that the range lists first.
            return max(domain.values, key=lambda value: counts[value])
        case Float() | Int():
            middle = math.exp(median(map(math.log, values))) if domain.log else float(median(values))
            inside = min(max(middle, domain.low), domain.high)
            return round(inside) if isinstance(domain, Int) else inside
