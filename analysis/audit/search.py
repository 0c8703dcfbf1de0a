"""What each search tried, from the plan alone: what it searched, where it had to begin, and a grid's points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from analysis.audit.source import AuditedRun

Point = frozenset[tuple[str, Any]]


def search(run: AuditedRun) -> Iterator[str]:
    """Hold proposals against the plan: all that the arm searches, known points first, each point of a grid once."""
    proposed = run.payloads("proposed").drop_duplicates("trial_id").set_index("trial_id")["proposal"].to_dict()
    budget, space = run.plan["budget"], run.plan["space"]
    for arm in run.plan["arms"]:
        first = _known_points(space, arm["searched"])
        grid = _grid(space, arm["searched"]) if budget.get("sampler") == "grid" else set()
        if grid:
            first = list(dict.fromkeys(first))
        if len(grid) > budget["trials"]:
            yield f"plan: {arm['name']} has a grid of {len(grid)}, but {budget['trials']} trials"
        for replicate in range(budget["replicates"]):
            trials = [f"{arm['name']}/{replicate}/search/{index}" for index in range(budget["trials"])]
            points = {trial: frozenset(proposed[trial].items()) for trial in trials if trial in proposed}
            yield from _otherwise(points, arm["searched"], dict(zip(trials, first, strict=False)))
            for start in range(0, len(trials), len(grid)) if grid else ():  # a small one is gone through again
                yield from _off_grid({trial: points.get(trial) for trial in trials[start : start + len(grid)]}, grid)


def _otherwise(points: Mapping[str, Point], searched: list[str], first: Mapping[str, Point]) -> Iterator[str]:
    """Say where other hyperparameters are proposed than the arm searches, or a search begins elsewhere."""
    for trial, point in points.items():
        if {name for name, _ in point} != set(searched):
            yield f"ledger: {trial} proposes {dict(point)}, but its arm searches {searched}"
        if point != first.get(trial, point):
            yield f"ledger: {trial} proposes {dict(point)}, but its search begins with {dict(first[trial])}"


def _off_grid(points: Mapping[str, Point | None], grid: set[Point]) -> Iterator[str]:
    """Say what is no point of the grid, or comes twice, in as many trials as it has points."""
    seen: dict[Point, str] = {}
    for trial, point in points.items():
        if point is None:
            continue
        if point not in grid:
            yield f"ledger: {trial} proposes {dict(point)}, which is no point of the grid"
        elif point in seen:
            yield f"ledger: {trial} proposes what {seen[point]} does, so a point of the grid is left out"
        seen[point] = trial


def _known_points(space: Mapping[str, Any], searched: list[str]) -> list[Point]:
    """List where an arm's searches begin: at the space's points, with defaults for the rest, then at the defaults."""
    defaults = {name: _default(space, name) for name in searched}
    named = space.get("first_points", ())  # earlier versions knew none
    return [frozenset((name, point.get(name, defaults[name])) for name in searched) for point in (*named, {})]


def _default(space: Mapping[str, Any], name: str) -> Any:
    return space["reference"][name] if name in space["factors"] else space["nuisance"][name]["default"]


def _grid(space: Mapping[str, Any], searched: list[str]) -> set[Point]:
    """Combine all values of what an arm searches."""
    domains = {**space["factors"], **space["nuisance"]}
    return {
        frozenset(zip(searched, values, strict=True)) for values in product(*(_listed(domains[n]) for n in searched))
    }


def _listed(domain: Mapping[str, Any]) -> list[Any]:
    if domain["kind"] == "choice":
        return list(domain["values"])
    return list(range(domain["low"], domain["high"] + 1)) if domain["kind"] == "int" else [domain["low"]]
