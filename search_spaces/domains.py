"""What a factor or hyperparameter may be: ranges over numbers, sets of values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

Level = bool | int | float | str
Levels = dict[str, Level]


class Frozen(BaseModel):
    """Refuse unknown keys and later changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Float(Frozen):
    """Range over real numbers, both ends included; ``log`` makes it uniform in the logarithm.

    >>> Float(low=1e-4, high=0.1, default=0.01, log=True).ends()
    (0.0001, 0.1)
    >>> Float(low=1e-4, high=0.1, default=0.01, log=True).in_words()
    '0.0001 to 0.1, logarithmic'
    """

    kind: Literal["float"] = "float"
    low: FiniteFloat
    high: FiniteFloat
    default: FiniteFloat
    log: bool = False
    source: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_range(self)
        return self

    def ends(self) -> tuple[Level, ...]:
        """Return the extreme values."""
        return self.low, self.high

    def every(self) -> Sequence[Level] | None:
        """Return all values; None, since real numbers cannot be listed, but for a range of one."""
        return (self.low,) if self.low == self.high else None

    def holds(self, value: Level) -> bool:
        """Return whether a value is in the range."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def in_words(self) -> str:
        """Say among which values a search chooses."""
        return _range_in_words(self)


class Int(Frozen):
    """Range over whole numbers, both ends included.

    >>> Int(low=4, high=32, default=16).ends()
    (4, 32)
    """

    kind: Literal["int"] = "int"
    low: int
    high: int
    default: int
    log: bool = False
    source: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_range(self)
        return self

    def ends(self) -> tuple[Level, ...]:
        """Return the extreme values."""
        return self.low, self.high

    def every(self) -> Sequence[Level] | None:
        """Return all whole numbers of the range."""
        return range(self.low, self.high + 1)

    def holds(self, value: Level) -> bool:
        """Return whether a value is in the range."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def in_words(self) -> str:
        """Say among which values a search chooses."""
        return _range_in_words(self)


class Choice(Frozen):
    """Unordered set of values; the default is the first unless named.

    >>> Choice(values=("relu", "tanh")).default
    'relu'
    """

    kind: Literal["choice"] = "choice"
    values: tuple[Level, ...] = Field(min_length=1)
    default: Level = ""
    source: str = ""

    @model_validator(mode="before")
    @classmethod
    def _first_is_default(cls, data: Any) -> Any:
        values = data.get("values") if isinstance(data, dict) else None
        if isinstance(values, tuple | list) and values and "default" not in data:
            return {**data, "default": values[0]}
        return data

    @model_validator(mode="after")
    def _default_is_a_value(self) -> Self:
        if self.default not in self.values:
            raise ValueError(f"default {self.default!r} is not among {list(self.values)}; choose one of them")
        return self

    def ends(self) -> tuple[Level, ...]:
        """Return every value: an unordered set has no other extremes."""
        return self.values

    def every(self) -> Sequence[Level] | None:
        """Return all values."""
        return self.values

    def holds(self, value: Level) -> bool:
        """Return whether a value is one of them; True is not 1."""
        return any(value == known and isinstance(value, bool) == isinstance(known, bool) for known in self.values)

    def in_words(self) -> str:
        """Say among which values a search chooses."""
        return ", ".join(map(str, self.values))


Domain = Annotated[Float | Int | Choice, Field(discriminator="kind")]


def _check_range(domain: Float | Int) -> None:
    if not domain.low <= domain.default <= domain.high:
        raise ValueError(
            f"default {domain.default} lies outside {domain.low}..{domain.high}; widen the range or move it"
        )
    if domain.log and domain.low <= 0:
        raise ValueError(f"low is {domain.low}, but a log range must start above 0")


def _range_in_words(domain: Float | Int) -> str:
    return f"{domain.low:g} to {domain.high:g}{', logarithmic' if domain.log else ''}"
