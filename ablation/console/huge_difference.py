"""A warning for studies that can tell arms apart only where a difference is huge, with the command of one that can."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from ablation.plan import Plan
from ablation.power import detectable_difference, replicates_needed
from ablation.typed_command import typed_command

# Standard deviations of the differences. Sawilowsky, "New effect size rules of thumb" (2009), calls 2 of a group huge.
HUGE_SD = 2.0
FOR_PLANS = ("--plan", "--json", "--resume")
WITH_VALUE = ("--replicates", "--name", "--hours", "--spread", "--spread-from")


@dataclass(frozen=True)
class OnlyHuge:
    """What a study detects, in standard deviations of differences, and the replicates that detect ``HUGE_SD``."""

    detectable_sd: float
    replicates_needed: int
    command: str


def only_huge(plan: Plan) -> OnlyHuge | None:
    """Return what a study detects if that is more than ``HUGE_SD``; None if it detects less, or compares nothing."""
    comparisons = len(plan.comparisons)
    if not comparisons:
        return None
    found_sd = detectable_difference(1.0, plan.budget.replicates, comparisons)
    if found_sd <= HUGE_SD:
        return None
    needed = replicates_needed(HUGE_SD, 1.0, comparisons)
    return OnlyHuge(found_sd, needed, command_with(needed, typed_command()))


def huge_in_words(plan: Plan) -> list[str]:
    """Say it in a line; nothing of a study that detects less, or compares nothing."""
    found = only_huge(plan)
    if found is None:
        return []
    huge = f"{found.detectable_sd:.1f} standard deviations of such differences"
    enough = f"{found.replicates_needed} replicates detect {HUGE_SD:g}: {found.command}"
    return [f"warning: this study tells arms apart only if a difference is huge, {huge}; {enough}"]


def command_with(replicates: int, typed: Sequence[str]) -> str:
    """Return the command that was typed with other replicates, as a new run; of a call from Python, the call.

    >>> command_with(6, ["ablation", "plan", "--space", "sorting", "--replicates", "3", "--plan"])
    'ablation run --space sorting --replicates 6'
    """
    match list(typed):
        case ["ablation", "run" | "plan", *arguments]:
            program = "ablation run"
        case ["python", "-m", "ablation.run", *arguments]:
            program = "python -m ablation.run"
        case _:
            return f"run(…, replicates={replicates})"
    kept: list[str] = []
    left_out = False
    for argument in arguments:
        if not left_out and argument not in (*FOR_PLANS, *WITH_VALUE) and argument.partition("=")[0] not in WITH_VALUE:
            kept.append(argument)
        left_out = argument in WITH_VALUE
    return f"{program} {shlex.join([*kept, '--replicates', str(replicates)])}"
