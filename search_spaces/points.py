"""Points of a search that are known before it begins: those that the space names, the defaults, and a grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, product
from math import prod
from typing import TYPE_CHECKING

from search_spaces.domains import Choice, Domain, Int, Levels

if TYPE_CHECKING:
    from search_spaces.space import Arm, Space

MOST_GRID_POINTS = 10_000


def known_points(space: Space, arm: Arm) -> tuple[Levels, ...]:
    """Return where an arm's searches begin: the space's first points, then the defaults.

    A point that leaves out what the arm searches has the default there; what the arm does not search is left out.
    """
    defaults = {name: space.default(name) for name in arm.searched}
    named = [{name: value for name, value in point.items() if name in defaults} for point in space.first_points]
    return (*({**defaults, **point} for point in named), defaults)


def grid(space: Space, arm: Arm) -> tuple[Levels, ...]:
    """Return each combination of the arm's values once: the known points first, the others as the space lists them."""
    values = [space.domain(name).every() or () for name in arm.searched]
    combinations = (dict(zip(arm.searched, combination, strict=True)) for combination in product(*values))
    by_values = {tuple(point.values()): point for point in chain(known_points(space, arm), combinations)}
    return tuple(by_values.values())


def grid_size(space: Space, arm: Arm) -> int:
    """Count an arm's combinations, without making them."""
    return prod(len(space.domain(name).every() or ()) for name in arm.searched)


def grid_faults(space: Space, arms: Sequence[Arm]) -> Iterator[str]:
    """Say which hyperparameters have no list of values, and which arms have too many combinations to try."""
    searched = dict.fromkeys(name for arm in arms for name in arm.searched)
    ranges = [name for name in searched if space.domain(name).every() is None]
    for name in ranges:
        remedy = f"declare it as Choice(values=(…)), fix it with --set {name}=…, or give another --sampler"
        yield f"--sampler grid: {name} is a range of real numbers, which has no list of values; {remedy}"
    for arm in () if ranges else arms:
        if (size := grid_size(space, arm)) > MOST_GRID_POINTS:
            rule = f"has {size} combinations, but at most {MOST_GRID_POINTS} are tried"
            yield f"--sampler grid: {arm.name} {rule}; list fewer values, or give another --sampler"


def first_point_faults(points: Iterable[Levels], domains: Mapping[str, Domain]) -> Iterator[str]:
    """Say which first points name what cannot be searched, or have a value outside its domain."""
    for place, point in enumerate(points):
        for name, value in point.items():
            where, domain = f"first_points[{place}]", domains.get(name)
            if domain is None:
                yield f"{where} names {name!r}, which is no hyperparameter that is searched; known: {sorted(domains)}"
            elif not domain.holds(value):
                yield f"{where} sets {name} to {value!r}, but it must be {_rule(domain)}; move it, or widen the range"


def _rule(domain: Domain) -> str:
    if isinstance(domain, Choice):
        return f"one of {list(domain.values)}"
    kind = "a whole number" if isinstance(domain, Int) else "a number"
    return f"{kind} from {domain.low} to {domain.high}"
