"""What a plan can detect, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ablation.power import MOST_REPLICATES


def power_in_words(found: Mapping[str, Any]) -> list[str]:
    """Say what the comparisons can find, and what it takes to find half of it; without any, what the score rests on."""
    half, spread, comparisons = found["half"], found["spread"], len(found["comparisons"])
    if half is None:
        return [f"nothing is compared: {_score_in_words(found['arms'], found['budget'])}"]
    here = f"{comparisons} declared comparison{'s' * (comparisons > 1)} over {found['budget']['replicates']} replicates"
    equal = ", if all arms are equally noisy" if found["assumes_equal_variances"] else ""
    beyond = "" if spread is None else _beyond(found, found["detectable"])
    in_units = (
        f"in units of {found['metric']}: not known; give --spread-from RUN or --spread SD"
        if spread is None
        else f"in {found['metric']}: {found['detectable']:.3g}{beyond}, where one standard deviation of such "
        f"differences is {spread['sd']:.3g} ({spread['source']}{_seeds_in_words(found)})"
    )
    lines = [
        f"{here}: detects a paired difference of {found['detectable_sd']:.1f} standard deviations of such differences "
        f"(power 80 %, Holm{equal}); exact sign-flip p cannot fall below {found['sign_flip_floor']:.3g}",
        in_units,
        f"half that difference: {half['replicates_needed']} replicates for the same comparisons",
    ]
    if comparisons > 1:
        lines[-1] += (
            f"; with --arms down to one comparison {half['replicates_needed_for_one_comparison']}, and the replicates "
            f"planned would detect {half['detectable_sd_of_one_comparison']:.1f} standard deviations"
        )
    return lines + _equivalence_in_words(found)


def _seeds_in_words(found: Mapping[str, Any]) -> str:
    """Say for how many confirm runs a spread is reckoned, if their number changes it."""
    seeds = found["budget"]["seeds"]
    return "" if found["spread"]["within_sd"] is None else f"; for {seeds} confirm run{'s' * (seeds > 1)} a replicate"


def _beyond(found: Mapping[str, Any], difference: float) -> str:
    """Say of a difference in the metric's unit if it is larger than there can be."""
    largest = found["largest_difference"]
    return "" if largest is None or difference <= largest else " (no two values differ by so much)"


def _equivalence_in_words(found: Mapping[str, Any]) -> list[str]:
    if (equal := found["equivalence"]) is None:
        return []
    needed, metric = equal["replicates_needed"], found["metric"]
    enough = f"no {MOST_REPLICATES:,} replicates show it" if needed is None else f"it takes {needed} replicates"
    takes = "" if found["spread"] is None else f"; with the spread above {enough}"
    return [
        f"practically equal, within ±{equal['margin']:g} of {metric}: shown of equal arms (power 80 %) if one standard "
        f"deviation of such differences is at most {equal['largest_sd']:.3g}{takes}"
    ]


def _score_in_words(arms: Sequence[object], budget: Mapping[str, Any]) -> str:
    """Say what the score of a study without comparisons will rest on."""
    replicates, seeds = budget["replicates"], budget["seeds"]
    if len(arms) > 1:
        return "the study has no declared comparison among its arms"
    if replicates == seeds == 1:
        return "the best configuration gets one confirm run, and its score no interval; --seeds 3 gives one"
    of = "replicates, each with its own search" if budget["trials"] else "replicates of one configuration"
    return f"the score's interval is over {f'{replicates} {of}' if replicates > 1 else f'{seeds} seeds'}"


def allocations_in_words(found: Mapping[str, Any]) -> list[str]:
    """Say how the hours that were asked for are best spent, and what the other ways would detect."""
    ways, hours, spread = found["allocations"], found["hours"], found["spread"]
    if ways is None:
        return []
    if not ways:
        return [f"in {hours:g} h: no two replicates of these arms fit; give more hours, fewer arms or a smaller budget"]
    unit = f" {'standard deviations of differences' if spread is None else found['metric']}"

    def of(way: Mapping[str, Any]) -> str:
        return f"{way['replicates']} replicates × ({way['trials']} search + {way['seeds']} confirm)"

    def detected(way: Mapping[str, Any], unit: str) -> str:
        return f"{way['detectable']:.3g}{unit}{'' if spread is None else _beyond(found, way['detectable'])}"

    lines = [f"in {hours:g} h: {of(way)} detect least, {detected(way, unit)}" for way in ways if way["is_advised"]]
    planned = found["budget"]["trials"]
    for way in ways:
        if not way["is_advised"]:
            assumed = "" if way["trials"] == planned else f", if arms are tuned as well as with {planned} trials"
            lines.append(f"  {of(way)}: {detected(way, '')}{assumed}")
    if spread is None or spread["within_sd"] is None:
        lines.append(
            "  more confirm runs a replicate: not known; --spread-from a run with two (--seeds 2) splits the spread"
        )
    return lines
