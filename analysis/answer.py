"""The answer of a study in few sentences: what its declared comparisons showed, and what they could not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis import plain_search, verdicts
from analysis.effect_evidence import EffectEvidence
from analysis.effects import REFERENCE
from analysis.evidence import Evidence
from analysis.numbers import THIN, Unit, count, p_value
from analysis.question import Question
from analysis.untested import nothing_tested

DESCRIPTION = "Everything on this page is description."
MOST_NAMED = 6  # a sentence that names more comparisons is a table


def answer(found: Evidence) -> tuple[str, ...]:
    """Say in two sentences what a run's declared comparisons showed and could not show; in three if some are equal.

    Claims only what stays significant after Holm, and practically equal only within a declared smallest effect. Without
    comparisons, or without two replicates in any, says so. If trials are pending or interrupted, the first sentence
    begins with "So far".
    """
    study = found.study
    if study.is_plain:
        first, *more = plain_search.answer(study, found.best, found.trials, found.units[study.metric])
    elif not study.comparisons:
        return (f"This study declared no comparisons ({study.plan.design} design), so it makes no claim.", DESCRIPTION)
    elif found.comparisons["p"].isna().all():
        return nothing_tested(found.comparisons, confirm_counts(found.trials), study.score), DESCRIPTION
    else:
        first, *more = claims(found)
    open_trials = found.counts["pending"] + found.counts["interrupted"]
    return _so_far(first) if open_trials else first, *more


def claims(found: EffectEvidence) -> tuple[str, ...]:
    """Say in up to three sentences what comparisons showed and what they could not; one of them at least was tested."""
    study, comparisons, unit = found.study, found.comparisons, found.units[found.study.metric]
    tested = comparisons[comparisons["p"].notna()]
    equal = tested[tested["equivalent"] & ~tested["significant"]]
    undecided = tested[~tested["significant"] & ~tested["equivalent"]]
    total, untested = len(comparisons), len(comparisons) - len(tested)
    significant = comparisons[comparisons["significant"]]
    sentences = [
        _found(significant, study, unit, total)
        if len(significant)
        else _none_found(tested, len(equal), untested, study)
    ]
    if len(equal) and study.smallest_effect is not None:
        sentences.append(_equal(equal, study.smallest_effect, unit))
    if len(equal) < total:
        sentences.append(_second(significant, undecided, untested, len(equal), unit, study))
    return tuple(sentences)


def listed(study: Question) -> str:
    """Name what is tested: whether it was declared is part of what a p value means."""
    return "declared comparison" if study.is_declared else "comparison"


def _so_far(sentence: str) -> str:
    return f"So far, {sentence[0].lower()}{sentence[1:]}"


def confirm_counts(trials: pd.DataFrame) -> dict[str, int]:
    """Count confirm trials by status; statuses that none has are left out."""
    statuses = trials.loc[trials["phase"] == "confirm", "status"].value_counts()
    return {str(status): int(number) for status, number in statuses.items()}


def _found(found: pd.DataFrame, study: Question, unit: Unit, total: int) -> str:
    strongest = found.reindex(found["difference"].abs().sort_values(ascending=False, kind="stable").index)
    named = [_claim(row, study, unit) for row in strongest.head(MOST_NAMED).to_dict("records")]
    more = f"; and {len(found) - MOST_NAMED} more in the table below" if len(found) > MOST_NAMED else ""
    verb = "is" if len(found) == 1 else "are"
    return (
        f"Of {count(total, listed(study))} of {study.score}, {len(found)} {verb} significant after Holm’s "
        f"correction: {'; '.join(named)}{more}."
    )


def _claim(row: Mapping[Any, Any], study: Question, unit: Unit) -> str:
    better = (row["difference"] > 0) == study.higher_is_better
    ends = (row["low"], row["high"]) if row["difference"] > 0 else (-row["high"], -row["low"])
    against = "the reference" if row["against"] == REFERENCE else row["against"]
    fine = unit.at(*ends)
    return (
        f"{row['arm']} is {'better' if better else 'worse'} than {against} by {fine.size(row['difference'])} "
        f"(95{THIN}% interval {fine.interval(*ends)})"
    )


def _equal(equal: pd.DataFrame, margin: float, unit: Unit) -> str:
    pairs = zip(equal["arm"], equal["against"], strict=True)
    named = [f"{arm} and {'the reference' if against == REFERENCE else against}" for arm, against in pairs]
    more = f"; and {len(named) - MOST_NAMED} more in the table below" if len(named) > MOST_NAMED else ""
    return f"Practically equal, within ±{verdicts.formatted(margin, unit)}: {'; '.join(named[:MOST_NAMED])}{more}."


def _none_found(tested: pd.DataFrame, equal: int, untested: int, study: Question) -> str:
    smallest, total = p_value(float(tested["p_holm"].min())), len(tested) + untested
    p_text = smallest if smallest.startswith("<") else f"= {smallest}"
    if total == 1:
        which = "are practically equal" if equal else "cannot be told apart"
        return f"The one {listed(study)} of {study.score} is not significant (p {p_text}): its arms {which}."
    counts = (
        (equal, "practically equal"),
        (len(tested) - equal, "cannot be told apart"),
        (untested, "could not be tested"),
    )
    rest = ", ".join(f"{number} {what}" for number, what in counts if number)
    shown = rest if untested or equal else "these arms cannot be told apart"
    return (
        f"None of the {count(total, listed(study))} of {study.score} is significant after Holm’s "
        f"correction (smallest adjusted p {p_text}): {shown}."
    )


def _second(
    found: pd.DataFrame, undecided: pd.DataFrame, untested: int, equal: int, unit: Unit, study: Question
) -> str:
    if found.empty and undecided.empty:
        return f"{_others(untested)} could not be tested."
    seen = undecided if len(undecided) else found
    reach = float(seen["detectable"].median())
    is_impossible = unit.is_impossible(reach)
    about = verdicts.formatted(reach, unit)
    least = "no possible difference" if is_impossible else f"only a true difference of about {about} or more"
    n = _range(seen["n"].tolist())
    replicates = "paired replicates" if study.is_paired else "replicates of an arm"
    could = (
        f"with {n} {replicates} and the spread seen here, {least} would have been found with 80{THIN}% power after the "
        "correction"
    )
    if undecided.empty:
        are = "are" if equal > 1 else "is"
        every = f"{_others(equal)} {are} practically equal" if equal else f"Every {listed(study)} is significant"
        which = f"{_others(untested)} could not be tested" if untested else every
        is_lucky = bool((found["difference"].abs() < found["detectable"]).any())
        luck = f", so {'each' if is_impossible else 'a smaller one'} was found with luck" if is_lucky else ""
        return f"{which}; {could}{luck}."
    if found.empty and not equal:
        return f"That is no evidence of equality: {could}."
    rest, apart = len(undecided) + untested, "cannot be told apart, which is no evidence of equality"
    which = (
        f"Of the other {rest}, {untested} could not be tested and {len(undecided)} {apart}"
        if untested
        else f"{_others(rest)} {apart}"
    )
    return f"{which}: {could}."


def _others(number: int) -> str:
    return f"The other {number if number > 1 else 'one'}"


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"
