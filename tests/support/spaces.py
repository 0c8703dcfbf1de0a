"""Spaces that differ from a test's own in one respect."""

from __future__ import annotations

from search_spaces.metrics import Direction
from search_spaces.space import Space


def with_direction(space: Space, direction: Direction) -> Space:
    """Return the space with that direction for all its metrics."""
    metrics = tuple(metric.model_copy(update={"direction": direction}) for metric in space.metrics)
    return space.model_copy(update={"metrics": metrics, "direction": direction})
