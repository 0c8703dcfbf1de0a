"""What would settle a comparison that cannot be told apart: the command that goes on, and what it takes."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from analysis.report.inputs import Inputs
from analysis.verdicts import Verdict, formatted


@dataclass(frozen=True)
class Settling:
    """A larger study.

    Attributes:
        detects: a true difference that it finds with 80 % power, with its unit.
        replicates: how many it has.
        command: lets this run grow to it.
        trial_s: trial time of the replicates that are added, of all arms, as long as this run's took on average.
    """

    detects: str
    replicates: int
    command: str
    trial_s: float


def settled_by(inputs: Inputs, verdict: Verdict) -> Settling | None:
    """Say what would find half of what this study could; None where a comparison is decided, or nothing is known."""
    budget, needed = inputs.study.plan.budget, verdict.replicates_for_asked
    if verdict.kind != "undecided" or needed is None or verdict.asked is None:
        return None
    # The page says the same wherever the run lies, so it names the run and not its place.
    command = ["ablation", "resume", f"runs/{inputs.study.file.name}", "--replicates", str(needed)]
    spent_s = float(inputs.trials["wall_s"].fillna(0.0).sum())
    trial_s = spent_s / budget.replicates * max(0, needed - budget.replicates)
    return Settling(formatted(verdict.asked, inputs.unit), needed, shlex.join(command), trial_s)
