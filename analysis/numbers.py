"""Numbers as people read them: units, true minus signs, p values, durations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from search_spaces.metrics import LARGEST, MetricUnit, unit_taken

MINUS = "\N{MINUS SIGN}"
THIN = "\N{NARROW NO-BREAK SPACE}"
FIGURE_SPACE = "\N{FIGURE SPACE}"
NOTHING = "–"
STEPS = 3
MOST_DIGITS = 12


@dataclass(frozen=True)
class Unit:
    """How a metric is printed: shares in percent, differences of shares in percentage points, the rest as it is.

    ``largest`` is by how much two values can differ, before scaling.
    """

    scale: float
    suffix: str
    points: str
    digits: int
    largest: float = math.inf

    def at(self, low: float, high: float) -> Unit:
        """Take as many digits as the interval ``low`` to ``high`` needs to be seen: at least STEPS of its last one.

        An interval without width needs two of its value's digits; without an interval, or if it is not finite, there
        are as many as before.
        """
        if missing(low) or missing(high) or not math.isfinite(high - low):
            return self
        width, value = abs(high - low) * self.scale, abs(low) * self.scale
        if width > STEPS * 1e-15 * value and width:
            digits = math.ceil(-math.log10(width / STEPS))
        else:
            digits = 1 - math.floor(math.log10(value)) if value else 0
        return replace(self, digits=max(self.digits, min(digits, MOST_DIGITS)))

    def is_impossible(self, difference: float) -> bool:
        """Say whether no two values can differ by so much."""
        return abs(difference) > self.largest

    def value(self, number: float) -> str:
        """Format a value with its unit."""
        return NOTHING if missing(number) else f"{decimal(number * self.scale, self.digits)}{self.suffix}"

    def bare(self, number: float) -> str:
        """Format a value without its unit."""
        return NOTHING if missing(number) else decimal(number * self.scale, self.digits)

    def difference(self, number: float) -> str:
        """Format a difference with its sign, without unit."""
        if missing(number):
            return NOTHING
        text = decimal(number * self.scale, self.digits)
        return text if text.startswith(MINUS) or not text.strip("0.") else f"+{text}"

    def interval(self, low: float, high: float) -> str:
        """Format the ends of an interval of values, without unit."""
        if missing(low) or missing(high):
            return NOTHING
        return f"{decimal(low * self.scale, self.digits)} to {decimal(high * self.scale, self.digits)}"

    def reach(self, low: float, high: float) -> str:
        """Format the ends of an interval of differences, with signs, without unit."""
        return NOTHING if missing(low) or missing(high) else f"{self.difference(low)} to {self.difference(high)}"

    def size(self, number: float) -> str:
        """Format the size of a difference with its unit."""
        return f"{decimal(abs(number) * self.scale, self.digits)}{self.points}"


SHARE = Unit(100.0, f"{THIN}%", " percentage points", 1, LARGEST["share"])
PERCENT = replace(SHARE, scale=1.0, largest=LARGEST["percent"])


def unit_of(values: Iterable[float], higher_is_better: bool, declared: MetricUnit | None = None) -> Unit:
    """Return how to print a metric, by its unit; one that is no share has four digits of its largest value."""
    known = [value for value in values if not missing(value) and math.isfinite(value)]
    unit = unit_taken(known, higher_is_better, declared)
    if unit != "number":
        return SHARE if unit == "share" else PERCENT
    largest = max((abs(value) for value in known), default=1.0)
    digits = 3 if largest == 0 else max(0, 3 - math.floor(math.log10(largest)))
    return Unit(1.0, "", "", min(digits, 8))


def decimal(number: float, digits: int) -> str:
    """Format a number with fixed decimals and a true minus; nothing is ever minus nought."""
    text = f"{number:,.{digits}f}".replace(",", THIN)
    return (MINUS if text.startswith("-") and text.strip("-0.") else "") + text.lstrip("-")


def p_value(p: float, *, aligned: bool = False) -> str:
    """Format a p value to two significant digits, from 0.001 up; ``aligned`` pads it to three decimals for a column."""
    if missing(p):
        return NOTHING
    padding = FIGURE_SPACE if aligned else ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}{padding}"


def duration(seconds: float) -> str:
    """Format seconds as people would."""
    if missing(seconds):
        return NOTHING
    if seconds < 90:
        return f"{seconds:.0f}{THIN}s"
    return f"{seconds / 60:.0f}{THIN}min" if seconds < 5400 else f"{seconds / 3600:.1f}{THIN}h"


def count(number: int, noun: str) -> str:
    """Format a number of things."""
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s".replace(",", THIN)


def whole(number: int) -> str:
    """Format a whole number with thin gaps between thousands."""
    return f"{number:,}".replace(",", THIN)


def missing(number: float | None) -> bool:
    """Say whether there is no number: None or NaN."""
    return number is None or math.isnan(number)
