"""What the comparisons of a study borrow of each other, in sentences."""

from __future__ import annotations

from ablation.moderation import SHARE, Prior
from analysis.numbers import decimal

RULE = (
    "Moderated paired t: each comparison’s variance is averaged with the mean variance of all, which counts for at "
    f"most {SHARE}·(√m − 1) times its own degrees of freedom while m comparisons are undecided (less where the "
    "variances really scatter), and is never taken to be smaller than its own."
)


def variances_sentence(prior: Prior) -> str:
    """Say how much the comparisons' variances scattered, against what chance alone gives; empty for fewer than two."""
    lenders = int(prior.lenders)
    if lenders < 2:
        return ""
    seen, expected = decimal(float(prior.scatter), 2), decimal(float(prior.expected), 2)
    return (
        f"The log variances of these {lenders} comparisons scatter by {seen}, where equal true variances give "
        f"{expected} on average."
    )
