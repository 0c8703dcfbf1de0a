"""What the page says if no declared comparison could be tested: why there is nothing to say."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from analysis.load import STATUSES
from analysis.numbers import count

OPEN = ("interrupted", "pending")


def nothing_tested(comparisons: pd.DataFrame, confirm: Mapping[str, int], noun: str) -> str:
    """Say why: nothing has differed, one replicate is done, or confirm trials diverged, failed or have not ended.

    Args:
        comparisons: what ``effects.comparisons_table`` returns; one row at least, none of them tested.
        confirm: confirm trials by status.
        noun: the primary metric.
    """
    declared, most = count(len(comparisons), "declared comparison"), int(comparisons["n"].max())
    if most >= 2:
        known = comparisons.loc[comparisons["n"] >= 2, "difference"]
        steady = "differs by the same amount in every replicate of"
        alike = "is the same in both arms of" if (known == 0).all() else steady
        which = (
            "it" if len(comparisons) == 1 else "each" if len(known) == len(comparisons) else "each with two replicates"
        )
        return f"Nothing can be tested of the {declared}: {noun} {alike} {which}, which says nothing of the noise."
    is_open = any(confirm.get(status, 0) for status in OPEN)
    shared = "one replicate that both arms have" if most else "no replicate that both arms have"
    ends = [f"{confirm[status]} {status}" for status in STATUSES if confirm.get(status, 0)]
    total = count(sum(confirm.values()), "confirm trial")
    return (
        f"Nothing can be said{' yet' if is_open else ''}: the {declared} of {noun} "
        f"{'has' if len(comparisons) == 1 else 'have'} {shared}, and a test needs two. "
        f"Of {total}: {', '.join(ends)}."
    )
