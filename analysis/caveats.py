"""What weakens a study's claims: one list, for the page and for findings.json."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from analysis import plain_search
from analysis.effect_evidence import EffectEvidence
from analysis.evidence import Evidence
from analysis.inference import ALPHA, sign_flip_floor
from analysis.load import PlannedStudy
from analysis.numbers import THIN, count, p_value
from analysis.statistics.survival import Unequal
from analysis.tables.code_versions import mixture


class Caveat(NamedTuple):
    """One reason to believe the claims less: its stable name, and the sentence."""

    code: str
    text: str


def caveats(found: Evidence) -> list[Caveat]:
    """List what weakens the claims: growth, mixed code, trials and pairs without result, unequal chances, floors."""
    is_chosen = found.study.plan.budget.sampler == "random"
    why = "As asked for" if is_chosen else "With so few trials a replicate"
    search = f"{why} the search was random: no proposal learned from another."
    said = {
        "grew": growth(found.study),
        "mixed_code": mixture(found.code),
        **dict(_without_result(found)),
        **dict(untested(found)),
        "unequal_effort": unequal_search(found.effort["search"]),
        "unequal_survival": unequal_survival(found.survival, found.unequal_survival),
        "random_search": search if found.study.search_is_random else None,
        "sign_flip_floor": floor(found.comparisons),
    }
    if found.study.is_plain:
        said["at_edge"] = " ".join(plain_search.at_edges(found.study, found.best)) or None
    listed = [Caveat(code, text) for code, text in said.items() if text is not None]
    return listed + [
        Caveat("not_computed", f"{failure.name} could not be computed: {failure.error}") for failure in found.failures
    ]


def growth(study: PlannedStudy) -> str | None:
    """Say that the study grew after it was started, and how much could be seen by then; None if it did not grow.

    Whoever adds replicates because of what they saw tests more than once: looking after 5, 10 and 20 replicates calls
    identical arms different in about twice as many studies as the p values say.
    """
    if not study.growths:
        return None
    first = study.growths[0]
    budget = study.plan.budget
    now = {"arms": len(study.arms), "replicates": budget.replicates, "trials": budget.trials}
    times = "once" if len(study.growths) == 1 else f"{len(study.growths)} times"
    grew = f"This study grew {times} after it was started, from {_size(study, first)} to {_size(study, now)}"
    later = [name for growth in study.growths for name in growth.get("arms_added", ())]
    grew += f" ({', '.join(later)} came later)" if later else ""
    seen = [growth.get("confirmed_before") for growth in study.growths]
    if all(confirmed == 0 for confirmed in seen):
        return f"{grew}, before any confirm trial had a result."
    known = [int(confirmed) for confirmed in seen if confirmed is not None]
    when = f", with {count(max(known), 'confirm result')} there to be looked at" if known else ""
    if study.is_plain:
        return f"{grew}{when}. If it grew until the score was good, the score is too good."
    return f"{grew}{when}. If results had been looked at, false alarms are likelier than the p values say."


def _size(study: PlannedStudy, at: Mapping[str, Any]) -> str:
    """Say how large a study is or was, by what it may grow."""
    if not study.is_plain:
        return f"{at['arms']} arms and {at['replicates']} replicates"
    return f"{count(at['replicates'], 'replicate')} of {count(at['trials'], 'search trial')}"


def unequal_search(planned: Iterable[int]) -> str | None:
    """Say that arms were given different numbers of search trials; None if all were given the same."""
    numbers = sorted(set(planned))
    if len(numbers) < 2:
        return None
    return f"Arms were given unequal searches ({numbers[0]} to {numbers[-1]} trials): do not compare them."


def unequal_survival(table: pd.DataFrame, test: Unequal) -> str | None:
    """Say that arms lost different shares of their search trials, beyond chance; None if they did not.

    ``table`` and ``test`` are what ``survival.survival_table`` returns.
    """
    if not test.is_unequal:
        return None
    ranked = table.dropna(subset="share").sort_values("share", kind="stable")
    lost, kept = ranked.iloc[0], ranked.iloc[-1]
    return (
        f"Survival is unequal beyond chance (exact chi-square, p = {p_value(test.p)}): "
        f"{kept['share'] * 100:.0f}{THIN}% of the search trials of {kept['arm']} reached full length, "
        f"{lost['share'] * 100:.0f}{THIN}% of {lost['arm']}. "
        "Arms that lose more trials choose from fewer full-length scores."
    )


def _without_result(found: Evidence) -> Iterator[tuple[str, str]]:
    lost = found.counts["failed"] + found.counts["diverged"]
    waiting = found.counts["pending"] + found.counts["interrupted"]
    short = int((found.comparisons["dropped"] != "").sum())
    if lost:
        yield "failed", f"{count(lost, 'trial')} failed or diverged; they count as effort and are listed."
    if waiting:
        verb = "has" if waiting == 1 else "have"
        rest = (
            "another configuration may yet be better."
            if found.study.is_plain
            else "looking more than once makes false alarms likelier than the p values say."
        )
        yield "open", f"{count(waiting, 'trial')} {verb} not ended: this is a look at an unfinished study, and {rest}"
    if short:
        rest = "lost replicates that one arm did not finish; pairs are what both arms have."
        yield "lost_pairs", f"{count(short, 'comparison')} {rest}"


def untested(found: EffectEvidence) -> Iterator[tuple[str, str]]:
    """Say how many comparisons could not be tested, and why, each by its stable name."""
    rows = found.comparisons[found.comparisons["p"].isna()]
    few, is_paired = int((rows["n"] < 2).sum()), found.study.is_paired
    steady = "the difference is the same in every replicate" if is_paired else "neither arm has any spread"
    needed = "two replicates that both arms have" if is_paired else "two replicates of each arm"
    reasons = {
        "too_few_pairs": (few, f"{needed} are needed."),
        "no_spread": (len(rows) - few, f"{steady}, which says nothing of the noise."),
    }
    for code, (number, why) in reasons.items():
        if number:
            yield code, f"{count(number, 'comparison')} could not be tested: {why}"


def floor(comparisons: pd.DataFrame) -> str | None:
    """Say that claims rest on normal differences, if the sign-flip test could not have borne them out; else None."""
    floors = comparisons[comparisons["significant"] & (comparisons["p_flip_floor"] > ALPHA)]
    if floors.empty:
        return None
    n = int(floors["n"].min())
    return (
        f"Significance here leans on the t test's assumption of normal differences: with {n} pairs the "
        f"assumption-free sign-flip test cannot go below p = {p_value(sign_flip_floor(n))}."
    )
