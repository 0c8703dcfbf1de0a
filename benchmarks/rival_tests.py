"""The test of declared comparisons beside two that it could have been: error, coverage, power under ten laws of noise.

The rivals are the plain paired t, which borrows nothing, and full pooling (analysis of variance with replicates as
blocks), which takes one variance for all arms. All three are stepped down Holm's list. Effects are in noise sds of one
arm, so a paired difference has an sd of √2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from ablation.seeds import derive_seed
from analysis import inference
from analysis.inference import CONFIDENCE, Array
from analysis.statistics.moderated import moderated_test
from benchmarks.noise_laws import LAWS

REPLICATES = (3, 5, 10)
COMPARISONS = (2, 5, 12, 30)
EFFECTS = (1.0, 2.0, 4.0)
MARGIN = 6.0  # noise sds: wide enough to be shown by three replicates
POWER_STUDIES = 1000  # at most, and each effect: a power within 0.03
AT_A_TIME = 2500

FAMILY_WISE = 0.055
FALSELY_EQUAL = 0.055
COVERAGE = (0.94, 0.98)  # with equal noise
LEAST_POWER = 0.5  # for 4 noise sds at 12 comparisons over 3 replicates


class Outcome(NamedTuple):
    """What a test says of studies: the ends of its intervals, and what it claims."""

    low_SC: Array
    high_SC: Array
    claimed_SC: NDArray[np.bool_]


def paired_t(scores_SAR: Array) -> Outcome:
    """Compare arms with the first by plain paired t and Holm."""
    found = _paired(scores_SAR)
    return Outcome(found.low, found.high, inference.holm(found.p)[1])


def moderated_t(scores_SAR: Array) -> Outcome:
    """Compare arms with the first as reports do."""
    found = moderated_test(_paired(scores_SAR))
    return Outcome(found.low, found.high, found.significant)


def pooled_t(scores_SAR: Array) -> Outcome:
    """Compare arms with the first by the residual variance of arms × replicates, and Holm."""
    _, arms, replicates = scores_SAR.shape
    means_SA1, means_S1R = scores_SAR.mean(axis=2, keepdims=True), scores_SAR.mean(axis=1, keepdims=True)
    residual_SAR = scores_SAR - means_SA1 - means_S1R + scores_SAR.mean(axis=(1, 2), keepdims=True)
    df = (arms - 1) * (replicates - 1)
    error_S1 = np.sqrt(2 * (residual_SAR**2).sum(axis=(1, 2)) / df / replicates)[:, None]
    difference_SC = (means_SA1[:, 1:] - means_SA1[:, :1])[..., 0]
    p_SC = 2 * special.stdtr(df, -np.abs(difference_SC) / error_S1)
    reach_S1 = special.stdtrit(df, 0.5 + CONFIDENCE / 2) * error_S1
    return Outcome(difference_SC - reach_S1, difference_SC + reach_S1, inference.holm(p_SC)[1])


TESTS = {"paired_t": paired_t, "moderated_t": moderated_t, "pooled_t": pooled_t}


def _paired(scores_SAR: Array) -> inference.Paired:
    arm_SCR = scores_SAR[:, 1:]
    return inference.paired_difference(arm_SCR, np.broadcast_to(scores_SAR[:, :1], arm_SCR.shape))


def cell(law: str, replicates: int, comparisons: int, studies: int, seed: int = 0) -> dict[str, Any]:
    """Measure all three tests on the same studies of one law.

    Returns by test: ``family_wise_error`` (any claim in studies without effects) with its exact one-sided 95 % upper
    bound, ``coverage`` of single intervals on average, ``coverage_worst`` of the comparison that has the least, and
    ``power`` by effect, for one true effect beside comparisons without. And of the verdict “practically equal”: the
    share of studies that claim it anywhere if all true differences are the margin, and how often equal arms get it.
    """
    random = np.random.default_rng(derive_seed(seed, "rival tests", law, replicates, comparisons))
    false = dict.fromkeys(TESTS, 0)
    covered = {name: np.zeros(comparisons) for name in TESTS}
    found = {name: dict.fromkeys(EFFECTS, 0) for name in TESTS}
    with_effects = min(studies, POWER_STUDIES)
    falsely_equal = rightly_equal = 0
    for start in range(0, studies, AT_A_TIME):
        size = min(AT_A_TIME, studies - start)
        scores_SAR = LAWS[law](random, (size, comparisons + 1, replicates))
        apart = _paired(scores_SAR)
        apart = apart._replace(difference=apart.difference + MARGIN)
        falsely_equal += int(moderated_test(apart, MARGIN).equivalent.any(axis=1).sum())
        rightly_equal += int(moderated_test(_paired(scores_SAR), MARGIN).equivalent[:, 0].sum())
        for name, test in TESTS.items():
            outcome = test(scores_SAR)
            false[name] += int(outcome.claimed_SC.any(axis=1).sum())
            covered[name] += ((outcome.low_SC <= 0) & (outcome.high_SC >= 0)).sum(axis=0)
            for effect in EFFECTS if start < with_effects else ():
                raised_SAR = scores_SAR[: with_effects - start].copy()
                raised_SAR[:, 1] += effect
                found[name][effect] += int(test(raised_SAR).claimed_SC[:, 0].sum())
    return {
        "law": law,
        "replicates": replicates,
        "comparisons": comparisons,
        "studies": studies,
        "equivalence": {
            "margin": MARGIN,
            "falsely_claimed": falsely_equal / studies,
            "upper": upper_bound(falsely_equal, studies),
            "rightly_claimed": rightly_equal / studies,
        },
        **{
            name: {
                "family_wise_error": false[name] / studies,
                "upper": upper_bound(false[name], studies),
                "coverage": float(covered[name].mean() / studies),
                "coverage_worst": float(covered[name].min() / studies),
                "power": {f"{effect:g}": found[name][effect] / with_effects for effect in EFFECTS},
            }
            for name in TESTS
        },
    }


def upper_bound(count: int, of: int) -> float:
    """Return the exact (Clopper-Pearson) one-sided 95 % upper bound of a share."""
    return 1.0 if count == of else float(stats.beta.ppf(0.95, count + 1, of - count))


def missed_by_tests(found: dict[str, Any]) -> Iterator[str]:
    """Yield the bounds that a cell misses; only the test that reports use has any."""
    mine, replicates, comparisons = found["moderated_t"], found["replicates"], found["comparisons"]
    name = f"{found['law']}, {comparisons} comparisons, {replicates} replicates"
    if mine["family_wise_error"] > FAMILY_WISE:
        yield f"{name}: family-wise error {mine['family_wise_error']:.4f} is above {FAMILY_WISE}"
    equal = found["equivalence"]["falsely_claimed"]
    if equal > FALSELY_EQUAL:
        yield f"{name}: practically equal is claimed of arms apart by the margin in {equal:.4f}, above {FALSELY_EQUAL}"
    if found["law"] != "normal":
        return
    if not COVERAGE[0] <= mine["coverage"] <= COVERAGE[1]:
        yield f"{name}: coverage {mine['coverage']:.4f} is outside {COVERAGE}"
    if (replicates, comparisons) == (3, 12) and mine["power"]["4"] < LEAST_POWER:
        yield f"{name}: power {mine['power']['4']:.2f} for 4 noise sds is below {LEAST_POWER}"


def lines(cells: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a table for people: a line each law, with the three tests' numbers beside each other."""
    titles = ("family-wise error, % (upper)", "coverage, % (worst)", "power at 1, 2, 4 noise sds")
    yield f"{'':39}{titles[0]:45}{titles[1]:38}{titles[2]:49}equal falsely, % (upper), rightly"
    for found in cells:
        parts = [f"{found['replicates']:2} × {found['comparisons']:2}  {found['law']:30}"]
        tests = [found[name] for name in TESTS]
        parts.append("  ".join(f"{100 * t['family_wise_error']:5.2f} ({100 * t['upper']:5.2f})" for t in tests))
        parts.append("  ".join(f"{100 * t['coverage']:4.1f} ({100 * t['coverage_worst']:4.1f})" for t in tests))
        parts.append("  ".join("/".join(f"{t['power'][f'{e:g}']:.2f}" for e in EFFECTS) for t in tests))
        equal = found["equivalence"]
        parts.append(
            f"{100 * equal['falsely_claimed']:.2f} ({100 * equal['upper']:.2f}), {100 * equal['rightly_claimed']:.0f}"
        )
        yield "   ".join(parts)
