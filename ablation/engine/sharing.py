"""Studies that share a cluster: what each of them has and waits for, and how much of it is one study's share.

Ray knows all places that are taken or waited for, and forgets a driver's when it is gone: nothing else is exchanged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """How many places another study has, and for how many it waits."""

    has: int
    waits: int

    @property
    def wants(self) -> int:
        """Both together."""
        return self.has + self.waits


def fair_share(places: int, others: Iterable[Claim]) -> int:
    """Return how many places are one study's if all have as many, and what one does not want is the others'.

    >>> fair_share(4, [Claim(4, 4)]), fair_share(4, [Claim(1, 0)]), fair_share(16, [Claim(2, 0), Claim(9, 9)])
    (2, 3, 7)
    """
    wanted = sorted(claim.wants for claim in others)
    left, among = places, 1 + len(wanted)
    for wants in wanted:
        if wants * among >= left:
            break
        left, among = left - wants, among - 1
    return math.ceil(left / among)


def share_if_short(places: int, others: Sequence[Claim]) -> int | None:
    """Return this study's share if another waits for places and has less than its own; None if nobody runs short.

    >>> share_if_short(4, [Claim(0, 4)]), share_if_short(4, [Claim(2, 2)])
    (2, None)
    """
    share = fair_share(places, others)
    return share if any(claim.waits and claim.has < min(share, claim.wants) for claim in others) else None


def in_words(others: Sequence[Claim]) -> str:
    """Say what other studies have and wait for; nothing if there are none.

    >>> in_words([Claim(2, 1)])
    'another study has 2 and waits for 1'
    """
    has, waits = sum(claim.has for claim in others), sum(claim.waits for claim in others)
    who = "another study has" if len(others) == 1 else f"{len(others)} other studies have"
    wait = "" if not waits else f" and waits for {waits}" if len(others) == 1 else f" and wait for {waits}"
    return f"{who} {has}{wait}" if others else ""
