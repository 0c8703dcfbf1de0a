"""What each declared comparison showed, in words that its numbers bear out, and what a larger study could have seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from ablation.moderation import Prior
from ablation.power import ALPHA, MOST_REPLICATES
from analysis.effects import REFERENCE
from analysis.numbers import MOST_DIGITS, THIN, Unit, p_value, whole
from analysis.question import Question
from analysis.statistics.moderated import prior_of, replicates_for, replicates_within
from analysis.statistics.welch import repetitions_needed, repetitions_to_equate

Kind = Literal["better", "worse", "equal", "undecided", "untested"]


@dataclass(frozen=True)
class Verdict:
    """What one comparison showed.

    ``asked`` is half of the smallest difference that this study could have found, or of the largest that there can be
    if that is less, and ``replicates_for_asked`` the number of replicates that would find it with 80 % power;
    ``replicates_to_equate`` as many as would show equal arms to be practically equal. None if the noise is unknown, no
    smallest effect was declared, or none within reach does.
    """

    kind: Kind
    text: str
    asked: float | None = None
    replicates_for_asked: int | None = None
    replicates_to_equate: int | None = None


def verdict(row: Mapping[Any, Any], study: Question, unit: Unit, prior: Prior) -> Verdict:
    """Judge a row of ``effects.comparisons_table``; ``unit`` writes its differences, ``prior`` is its variances'.

    Better or worse is said only of what stays significant after Holm, practically equal of what is not and lies within
    the smallest effect. To the rest it is said how many replicates would find half of what this study could: that
    question depends on the noise alone, whereas the power to find the observed difference says no more than its p value
    does (Hoenig & Heisey, "The Abuse of Power", 2001).
    """
    n, against = int(row["n"]), "the reference" if row["against"] == REFERENCE else str(row["against"])
    if math.isnan(row["p"]):
        steady = "the same difference in every replicate" if study.is_paired else "no spread in either arm"
        reason = f"{n} of the 2 replicates that a test needs" if n < 2 else steady
        return Verdict("untested", f"not tested against {against}: {reason}")
    sd, margin, declared = float(row["sd_moderated"]), study.smallest_effect, len(study.comparisons)
    asked = float(f"{min(float(row['detectable']), unit.largest) / 2:.2g}")
    if study.is_paired:
        needed = replicates_for(asked, sd, prior, declared)
        to_equate = None if margin is None else replicates_within(margin, sd, prior, declared)
    else:
        sds, level = (float(row["sd_arm"]), float(row["sd_against"])), ALPHA / declared
        needed = repetitions_needed(asked, sds, level)
        to_equate = None if margin is None else repetitions_to_equate(margin, sds, level)
    if row["significant"]:
        kind: Kind = "better" if (row["difference"] > 0) == study.higher_is_better else "worse"
        text = _different(row, kind, against, margin, unit)
    elif margin is not None and row["equivalent"]:
        kind = "equal"
        text = (
            f"practically equal to {against}: the true difference lies within ±{formatted(margin, unit)} "
            f"({_interval(row, unit)}; adjusted {_p(row['p_equivalent'])}; {n} replicates)"
        )
    else:
        kind = "undecided"
        text = (
            f"cannot be told apart from {against} with {n} replicates: {_reach(row['detectable'], unit)} would have "
            f"been found with 80{THIN}% power; {needed} replicates would detect {formatted(asked, unit)}"
        )
        if margin is not None:
            enough = f"no {whole(MOST_REPLICATES)}" if to_equate is None else to_equate
            text += f", and {enough} show equal arms to be so within ±{formatted(margin, unit)}"
    return Verdict(kind, text, asked, needed, to_equate)


def _different(row: Mapping[Any, Any], kind: str, against: str, margin: float | None, unit: Unit) -> str:
    ends = (row["low"], row["high"]) if row["difference"] > 0 else (-row["high"], -row["low"])
    fine = unit.at(*ends)
    text = (
        f"{kind} than {against} by {fine.size(row['difference'])} (95{THIN}% interval {fine.interval(*ends)}; "
        f"adjusted {_p(row['p_holm'])}; {int(row['n'])} replicates)"
    )
    if margin is not None and row["equivalent"]:
        text += f", which is practically equal: within ±{formatted(margin, unit)}"
    if abs(row["difference"]) < row["detectable"]:
        text += "; so small a difference is found with luck here, and the true one is probably smaller"
    return text


def _reach(detectable: float, unit: Unit) -> str:
    return (
        "no possible difference"
        if unit.is_impossible(detectable)
        else f"a true difference of {formatted(detectable, unit)}"
    )


def _interval(row: Mapping[Any, Any], unit: Unit) -> str:
    fine = unit.at(row["low"], row["high"])
    return f"95{THIN}% interval {fine.reach(row['low'], row['high'])}"


def _p(value: float) -> str:
    written = p_value(value)
    return f"p {written}" if written.startswith("<") else f"p = {written}"


def word(verdict: Verdict, n: int) -> str:
    """Say what a comparison over ``n`` pairs showed in a word or four."""
    untested = "too little data" if n < 2 else "no spread, not tested"
    words = {"undecided": "cannot be told apart", "equal": "practically equal", "untested": untested}
    return words.get(verdict.kind, verdict.kind)


def verdicts(study: Question, comparisons: pd.DataFrame, unit: Unit) -> list[Verdict]:
    """Judge every declared comparison, in order."""
    prior = prior_of(comparisons["sd"], comparisons["n"])
    return [verdict(row, study, unit, prior) for row in comparisons.to_dict("records")]


def formatted(difference: float, unit: Unit) -> str:
    """Format the size of a difference with its unit, to two significant digits at least."""
    size = abs(difference) * unit.scale
    digits = 1 - math.floor(math.log10(size)) if size else 0
    return replace(unit, digits=max(unit.digits, min(digits, MOST_DIGITS))).size(difference)
