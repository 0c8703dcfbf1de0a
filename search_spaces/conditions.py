"""What has no meaning beside what: conditions between factors, and what a combination of levels means under them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import combinations

from pydantic import Field

from search_spaces.domains import Frozen, Level, Levels


class When(Frozen):
    """Say what has no meaning if ``factor`` takes one of the levels ``among``.

    ``drops`` names factors and hyperparameters without effect there: they are neither varied nor searched.
    ``replaces`` maps another factor's meaningless levels to the nearest meaningful ones. A factor that is dropped takes
    no level, so no condition of its own holds. In which order conditions are listed means nothing.

    >>> when = When(factor="tanh", among=(False,), drops=("hidden",), reason="linear layers merge into one")
    >>> meaning({"tanh": False, "hidden": 16}, [when]).levels
    {'tanh': False}
    """

    factor: str
    among: tuple[Level, ...]
    drops: tuple[str, ...] = ()
    replaces: dict[str, tuple[tuple[Level, Level], ...]] = Field(default={}, description="(old, new) levels by factor")
    reason: str


@dataclass(frozen=True)
class Meaning:
    """What a combination of levels means: the levels that have an effect, what has none, and what was replaced."""

    levels: Levels
    dropped: frozenset[str]
    notes: tuple[str, ...]


def meaning(levels: Mapping[str, Level], conditions: Sequence[When]) -> Meaning:
    """Find the nearest meaningful combination: each factor is decided after those that can drop or replace it."""
    found, notes, dropped = dict(levels), list[str](), set[str]()
    holding: list[When] = []
    for factor in _decided_in_order(conditions):
        if factor in dropped or factor not in found:
            continue
        for old, new, when in _replacements(factor, found[factor], holding):
            found[factor] = new
            notes.append(f"{factor}={old} stands as {new} with {when.factor}={found[when.factor]}: {when.reason}")
        for when in conditions:
            if when.factor == factor and found[factor] in when.among:
                holding.append(when)
                dropped.update(when.drops)
    kept = {factor: level for factor, level in found.items() if factor not in dropped}
    return Meaning(kept, frozenset(dropped), tuple(notes))


def condition_faults(conditions: Sequence[When]) -> Iterator[str]:
    """Say where conditions contradict each other, so that what they mean would depend on their order."""
    for when in conditions:
        if when.factor in (*when.drops, *when.replaces):
            yield f"a When of {when.factor} drops or replaces {when.factor} itself; leave the level out instead"
    try:
        _decided_in_order(conditions)
    except CycleError as error:
        circle = " → ".join(map(str, error.args[1]))
        yield f"conditions go round in a circle ({circle}), so none comes first; take one of them out"
    for one, other in combinations(conditions, 2):
        if one.factor == other.factor and not set(one.among) & set(other.among):
            continue
        for factor in one.replaces.keys() & other.replaces.keys():
            first, second = dict(one.replaces[factor]), dict(other.replaces[factor])
            for level in first.keys() & second.keys():
                if first[level] != second[level]:
                    yield (
                        f"two Whens ({one.factor} and {other.factor}) replace {factor}={level} by {first[level]!r} and "
                        f"by {second[level]!r}; name the same level in both"
                    )


def _decided_in_order(conditions: Iterable[When]) -> tuple[str, ...]:
    """Sort the factors of conditions such that none comes before one that can drop or replace it."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for when in conditions:
        sorter.add(when.factor)
        for changed in (*when.drops, *when.replaces):
            if changed != when.factor:
                sorter.add(changed, when.factor)
    return tuple(sorter.static_order())


def _replacements(factor: str, level: Level, holding: Sequence[When]) -> Iterator[tuple[Level, Level, When]]:
    """Follow a level through the replacements that hold, each (old, new, by which condition), to one that stays."""
    seen = {level}
    while True:
        found = next(
            (
                (dict(when.replaces[factor])[level], when)
                for when in holding
                if level in dict(when.replaces.get(factor, ()))
            ),
            None,
        )
        if found is None or found[0] in seen:
            return
        yield level, *found
        level = found[0]
        seen.add(level)
