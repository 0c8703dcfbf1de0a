"""Where trials may be placed: anywhere but on nodes that failed the preflight."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ray.tune import PlacementGroupFactory
from ray.util import placement_group

NODE_ID = "ray.io/node-id"  # a label that Ray gives every node

# Of this process: Tune makes copies of what it is given, and asks each of them again for every worker.
_avoided: set[str] = set()


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
    """One trial's resources, on a node that is fit when the place is asked for.

    Equal to others of the same resources, so that warm workers serve trials that were planned before a node was found
    to be unfit.
    """

    def __init__(self, per_trial: dict[str, float]) -> None:
        super().__init__([per_trial])

    def to_placement_group(self) -> Any:
        """Ask Ray for a place."""
        if not _avoided:
            return placement_group(self.bundles, self.strategy)
        elsewhere = {NODE_ID: f"!in({','.join(sorted(_avoided))})"}
        return placement_group(self.bundles, self.strategy, bundle_label_selector=[elsewhere])
