"""A metric: its name, which way is better, its unit; and what records and tables call it.

A trial reports ``val_<name>`` with the epochs that are validated and ``test_<name>`` at the end of a confirm trial;
tables have a column ``metric.<reported name>`` for each. These prefixes are known here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import inf, isfinite
from typing import Any, Literal

from pydantic import Field

from search_spaces.domains import Frozen

Direction = Literal["maximize", "minimize"]
MetricUnit = Literal["share", "percent", "number"]

LARGEST: Mapping[MetricUnit, float] = {"share": 1.0, "percent": 100.0, "number": inf}  # value that there can be

TRAINING, VALIDATION, TEST = "train_", "val_", "test_"
COLUMN = "metric."
LARGEST_EFFECT = 0.25  # of a share: a larger difference always matters, and 0.5 is meant as half a percentage point


class Metric(Frozen):
    """One of a study's metrics.

    ``unit`` says how reports print it: a ``share`` is 0..1 and printed in percent, a ``percent`` is 0..100 already, a
    ``number`` is printed as it is. A metric without a declared unit is printed as a share if it is maximised and stays
    within 0..1.

    >>> loss = Metric(name="loss", direction="minimize")
    >>> loss.validation, loss.test_column, loss.upwards(0.5)
    ('val_loss', 'metric.test_loss', -0.5)
    """

    name: str
    direction: Direction = "maximize"
    unit: MetricUnit | None = None
    of: str = Field(default="", description="what it is a share of or a mean over, such as images or classes")

    @property
    def validation(self) -> str:
        """Return the name under which records hold its validation value."""
        return f"{VALIDATION}{self.name}"

    @property
    def test(self) -> str:
        """Return the name under which the last record of a confirm trial holds its test value."""
        return f"{TEST}{self.name}"

    @property
    def validation_column(self) -> str:
        """Return the tables' column of its validation value."""
        return column_of(self.validation)

    @property
    def test_column(self) -> str:
        """Return the tables' column of its test value."""
        return column_of(self.test)

    @property
    def higher_is_better(self) -> bool:
        """Return whether a larger value is the better one."""
        return self.direction == "maximize"

    @property
    def sign(self) -> int:
        """Return what a value or a difference is multiplied by so that larger is better."""
        return 1 if self.higher_is_better else -1

    def upwards(self, value: float) -> float:
        """Turn a value so that larger is better."""
        return self.sign * value

    def largest(self, values: Iterable[float]) -> float:
        """Return the largest value that its unit allows, infinite if it sets no bound; ``values`` are all there are."""
        return LARGEST[unit_taken(values, self.higher_is_better, self.unit)]


def unit_taken(values: Iterable[float], higher_is_better: bool, declared: MetricUnit | None = None) -> MetricUnit:
    """Return a metric's unit: as declared; else one that is maximised and stays within 0..1 is taken for a share.

    Infinite values, such as a loss that overflowed, have no say.
    """
    if declared is not None:
        return declared
    known = [value for value in values if isfinite(value)]
    return "share" if known and higher_is_better and all(0 <= value <= 1 for value in known) else "number"


def effect_faults(name: str, smallest: float, metric: Metric) -> Iterator[str]:
    """Say what is wrong with a smallest difference that matters, which ``name`` gives in the metric's unit."""
    if not (smallest > 0 and isfinite(smallest)):
        yield f"{name} is {smallest:g}, but must be a number > 0, in the unit of {metric.name}"
    elif metric.unit == "share" and smallest > LARGEST_EFFECT:
        unit = "which is a share, 0 to 1: 0.005 is half a percentage point"
        yield f"{name} is {smallest:g}, but must be at most {LARGEST_EFFECT:g} for {metric.name}, {unit}"


def whole_metrics(given: Iterable[Any], direction: Any) -> tuple[Any, ...]:
    """Replace metrics that are given by name alone by what stands for them: no unit, and the space's direction."""
    return tuple({"name": one, "direction": direction} if isinstance(one, str) else one for one in given)


def column_of(reported: str) -> str:
    """Return the tables' column of a name that trials report."""
    return f"{COLUMN}{reported}"


def as_columns(reported: Mapping[str, float]) -> dict[str, float]:
    """Return what a trial reported under the tables' names."""
    return {column_of(name): value for name, value in reported.items()}


def is_column(name: str) -> bool:
    """Return whether a column of a table holds a metric."""
    return name.startswith(COLUMN)


def reported_name(column_name: str) -> str:
    """Return the name that trials report for a metric's column."""
    return column_name.removeprefix(COLUMN)


def bare_name(reported: str) -> str:
    """Return a metric's name without what says validation from test."""
    return reported.removeprefix(VALIDATION).removeprefix(TEST)


def is_prefixed(reported: str) -> bool:
    """Return whether a name says validation or test."""
    return reported.startswith((VALIDATION, TEST))


def is_test(reported: str) -> bool:
    """Return whether a reported value comes from test data."""
    return reported.startswith(TEST)


def is_judged(reported: str) -> bool:
    """Return whether a trial has diverged if this value is not finite."""
    return reported.startswith((TRAINING, VALIDATION, TEST))


def names_with_test(columns: Iterable[str]) -> list[str]:
    """List the metrics, by bare name, that have a column of test values."""
    names = map(reported_name, filter(is_column, columns))
    return [bare_name(name) for name in names if is_test(name)]
