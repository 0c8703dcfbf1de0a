"""What a command says of a table of results; without pandas, so that its help is there at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import PurePath
from typing import get_args

from ablation.faults import nearest
from search_spaces.metrics import MetricUnit

SUFFIXES = (".csv", ".tsv", ".parquet")
OPTIONS = {
    "arm": "--arm-column",
    "replicate": "--replicate-column",
    "seed": "--seed-column",
    "score": "--score-column",
    "factors": "--factor-columns",
    "reference": "--reference",
    "baseline": "--baseline",
    "metric": "--metric",
    "unit": "--unit",
    "is_minimised": "--minimise",
    "is_paired": "--paired",
    "equivalence": "--equivalence",
}


@dataclass(frozen=True)
class Asked:
    """What the user says of a table of results; None or empty if it is to be guessed.

    ``unit`` is one of search_spaces.metrics.MetricUnit, else that is among its ``faults``.
    """

    arm: str | None = None
    replicate: str | None = None
    seed: str | None = None
    score: str | None = None
    factors: tuple[str, ...] = ()
    reference: str | None = None
    baseline: str | None = None
    metric: str | None = None
    unit: str | None = None
    is_minimised: bool | None = None
    is_paired: bool | None = None
    equivalence: float | None = None

    def options(self) -> list[str]:
        """Name the options that were given."""
        return [OPTIONS[field.name] for field in fields(self) if getattr(self, field.name) not in (None, ())]

    def faults(self) -> Iterator[str]:
        """Say what is wrong with it whatever the table."""
        if self.unit is not None and self.unit not in get_args(MetricUnit):
            yield f"--unit is {self.unit!r}; {nearest(self.unit, get_args(MetricUnit))}"
        if self.metric is not None and not (self.metric.strip() and self.metric.isprintable()):
            yield f"--metric is {self.metric!r}, but must be a name that can be printed"


def is_results_file(text: str) -> bool:
    """Say whether a command's argument names a table of results, by its ending, and no run directory."""
    return PurePath(text.partition("?")[0]).suffix.lower() in SUFFIXES
