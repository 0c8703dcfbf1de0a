"""The spread of differences between arms that a plan is asked to reckon with: stated, or that of an earlier run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ablation.faults import FaultsError
from ablation.plan import Plan
from ablation.power import Spread, spread_from, stated_spread


@dataclass(frozen=True)
class SpreadAsked:
    """What --spread and --spread-from give; None where they are left out.

    Attributes:
        stated: a standard deviation of differences between arms, in units of the metric.
        run: the directory of a run to take it from.
    """

    stated: float | None
    run: Path | None

    def faults(self, is_for_plan: bool) -> list[str]:
        """Say what is wrong with them, before there is a plan."""
        faults = []
        if not is_for_plan and (self.stated is not None or self.run is not None):
            faults.append("--spread and --spread-from are for --plan; add it, or leave them out")
        if self.stated is not None and self.run is not None:
            faults.append("--spread and --spread-from both give a spread; keep one")
        try:
            if self.stated is not None:
                stated_spread(self.stated)
        except FaultsError as error:
            faults += error.faults
        return faults

    def spread(self, plan: Plan) -> Spread | None:
        """Return the spread, if one is given; raises FaultsError where the run has none for this plan."""
        if self.run is not None:
            return spread_from(self.run, plan)
        return None if self.stated is None else stated_spread(self.stated)
