"""What would settle a comparison that cannot be told apart: the command that goes on, and what it takes."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from analysis.report.inputs import Inputs
from analysis.verdicts import Verdict, formatted


@dataclass(frozen=True)
class Settling:
    """A whole or a larger study.

    Attributes:
        detects: a true difference that it finds with 80 % power, with its unit.
        replicates: how many it has.
        command: lets this run go on to its planned end, or grow.
        trial_s: trial time of what is still to run, of all arms, if each trial takes as long as those that ran.
    """

    detects: str
    replicates: int
    command: str
    trial_s: float


def settled_by(inputs: Inputs, verdict: Verdict) -> Settling | None:
    """Say what would find half of what this study could; None where a comparison is decided, or nothing is known.

    Where so many replicates are planned already, it is the run's planned end; None if it has come to that.
    """
    plan, needed = inputs.study.plan, verdict.replicates_for_asked
    if verdict.kind != "undecided" or needed is None or verdict.asked is None:
        return None
    planned = plan.budget.replicates
    if needed <= planned and not inputs.open_trials:
        return None
    # The page says the same wherever the run lies, so it names the run and not its place.
    command = ["ablation", "resume", f"runs/{inputs.study.file.name}"]
    command += ["--replicates", str(needed)] if needed > planned else []
    added = plan.trial_count // planned * max(0, needed - planned)
    ended = inputs.trials.loc[~inputs.trials["status"].isin(["pending", "interrupted"]), "wall_s"].fillna(0.0)
    trial_s = float(ended[ended > 0].mean()) * (inputs.open_trials + added)
    return Settling(formatted(verdict.asked, inputs.unit), max(needed, planned), shlex.join(command), trial_s)
