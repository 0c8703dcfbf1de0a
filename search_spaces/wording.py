"""What a space says for readers alone: its description, sources, reasons, and how metrics are printed."""

from __future__ import annotations

from search_spaces.metrics import Metric
from search_spaces.space import Space


def without_wording(space: Space) -> Space:
    """Return the space without its words and its menu of budgets: two that are equal then ask the same question."""
    unsourced = {"source": ""}
    return space.model_copy(
        update={
            "description": "",
            "budgets": {},  # a plan has the budget that was chosen
            "factors": {name: choice.model_copy(update=unsourced) for name, choice in space.factors.items()},
            "nuisance": {name: domain.model_copy(update=unsourced) for name, domain in space.nuisance.items()},
            "conditions": tuple(when.model_copy(update={"reason": ""}) for when in space.conditions),
            "metrics": tuple(Metric(name=metric.name, direction=metric.direction) for metric in space.metrics),
            "direction": "maximize",  # each metric has its own
        }
    )
