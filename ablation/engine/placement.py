"""Where workers may be placed, anywhere but on nodes that failed the preflight, and which places other studies have."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable
from itertools import count
from typing import Any

from ray.tune import PlacementGroupFactory
from ray.util import placement_group, placement_group_table

from ablation.engine.sharing import Claim

NODE_ID = "ray.io/node-id"  # a label that Ray gives every node
OURS = "ablation"  # places are named ablation-STUDY-NUMBER
HAS, WAITS = ("CREATED",), ("PENDING", "RESCHEDULING")

# Of this process: Tune makes copies of what it is given, and asks each of them again for every worker.
_avoided: set[str] = set()
_study, _numbers = secrets.token_hex(4), count()


def avoid(node_ids: Iterable[str]) -> None:
    """Place no more trials on these nodes."""
    _avoided.update(node_ids)


def avoided() -> frozenset[str]:
    """Return the nodes on which no trials are placed."""
    return frozenset(_avoided)


def forget_avoided() -> None:
    """Avoid none: for the next sweep of this process."""
    _avoided.clear()


class FitNodes(PlacementGroupFactory):
    """One trial's resources, on a node that is fit when the place is asked for."""

    def __init__(self, per_trial: dict[str, float]) -> None:
        super().__init__([per_trial])

    def to_placement_group(self) -> Any:
        """Ask Ray for a place."""
        name = f"{OURS}-{_study}-{next(_numbers)}"
        if not _avoided:
            return placement_group(self.bundles, self.strategy, name)
        elsewhere = {NODE_ID: f"!in({','.join(sorted(_avoided))})"}
        return placement_group(self.bundles, self.strategy, name, bundle_label_selector=[elsewhere])


def other_studies() -> list[Claim]:
    """Return what each other study on this cluster has and waits for."""
    states: Counter[tuple[str, str]] = Counter()
    for place in placement_group_table().values():
        whose, _, study = place["name"].rpartition("-")[0].partition("-")
        if whose == OURS and study != _study:
            states[study, place["state"]] += 1
    studies = sorted({study for study, state in states if state in HAS + WAITS})
    return [Claim(*(sum(states[study, state] for state in kind) for kind in (HAS, WAITS))) for study in studies]
