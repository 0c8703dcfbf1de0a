"""Plans as earlier versions recorded them, made into today's: study.json and ``grown`` events hold plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Version 1 noted in the source of a default that it came from a run, before that run's name.
MARK = "default: warm start from "


def of_version_1(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan of version 1 as one of version 2, where the warm start is a field.

    Metrics were names and had the space's direction; a space still takes them so.
    """
    space, defaults, runs = dict(plan["space"]), {}, []
    nuisance = {name: dict(domain) for name, domain in space["nuisance"].items()}
    for name, domain in nuisance.items():
        source, mark, run = domain.get("source", "").rpartition(MARK)
        if mark:
            domain["source"] = source.removesuffix("; ")
            defaults[name] = domain["default"]
            runs.append(run)
    warm_start = {"run": runs[0], "defaults": defaults} if runs else None
    return {**plan, "space": {**space, "nuisance": nuisance}, "warm_start": warm_start}
