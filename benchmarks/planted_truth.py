"""Does the analysis find what was planted, and only that?

Part one sets the test of declared comparisons beside two others under ten laws of noise (``benchmarks.rival_tests``).
Part two draws studies with effects of all sizes and lost values as arrays and gives them to the functions that the
report's tests come from: coverage of the interval, family-wise error, claims with the wrong sign. Part three writes
whole studies as run directories, through ledger and tables, and compares their findings with the arrays. What was
planted is written to ``truth/`` beside the runs, which the analysis never opens.

Prints JSON with each bound, and part one as a table to stderr; exit code 1 if a bound is missed.
Run: ``python -m benchmarks.planted_truth [--studies 10000] [--whole 200] [--out DIR]``.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from ablation.seeds import derive_seed
from analysis import inference
from analysis.findings import findings
from analysis.inference import Array
from analysis.statistics.moderated import moderated_test
from benchmarks import rival_tests
from benchmarks.noise_laws import LAWS
from benchmarks.planted_runs import ARMS, SHAKY_ARM, Truth, plant

Noise = Literal["normal", "skewed", "unequal"]
Effects = Literal["none", "mixed"]

NOISES: tuple[Noise, ...] = ("normal", "skewed", "unequal")
REPLICATES = (5, 10, 20)
COMPARISONS = 12
AT_A_TIME = 2000
LOST = 0.03  # of values, at random
WEAKEST, STRONGEST = 0.1, 2.0  # planted effects, in standard deviations of paired differences

COVERAGE = (0.94, 0.98)
FAMILY_WISE = 0.055
WRONG_SIGN = 0.025
SAME = 1e-8
SURVIVAL_FOUND, SURVIVAL_FALSE = 0.95, 0.10

# Test scores of whole studies: noise of one run, and what a replicate has in common in every arm.
RUN_SD, REPLICATE_SD = 0.01, 0.02


def draw_noise(noise: Noise, random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw noise of mean 0 for arms on the axis before the last: sd 1 in each, or 0.5 to 2 if it is unequal."""
    if noise == "normal":
        return random.standard_normal(shape)
    skewed = random.standard_exponential(shape) - 1.0
    return skewed if noise == "skewed" else skewed * np.geomspace(0.5, 2.0, shape[-2])[:, None]


def draw_effects(effects: Effects, random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw true effects in standard deviations of paired differences: none at all, or half of them not zero."""
    size = np.exp(random.uniform(np.log(WEAKEST), np.log(STRONGEST), shape)) * random.choice((-1.0, 1.0), shape)
    return size * (random.random(shape) < 0.5) if effects == "mixed" else np.zeros(shape)


def vectorised(noise: Noise, effects: Effects, replicates: int, studies: int, seed: int = 0) -> dict[str, Any]:
    """Draw studies of 12 arms against one reference, and count how often their tables say what is not so."""
    random = np.random.default_rng(derive_seed(seed, "planted truth", noise, effects, replicates))
    totals = dict.fromkeys(("covered", "intervals", "family", "wrong", "found", "true"), 0)
    for start in range(0, studies, AT_A_TIME):
        size = min(AT_A_TIME, studies - start)
        truth_SC = draw_effects(effects, random, (size, COMPARISONS)) * 2**0.5
        shared_S1R = 2.0 * random.standard_normal((size, 1, replicates))
        scores_SAR = shared_S1R + draw_noise(noise, random, (size, COMPARISONS + 1, replicates))
        arm_SCR, reference_S1R = scores_SAR[:, 1:] + truth_SC[..., None], scores_SAR[:, :1]
        if effects == "mixed":
            arm_SCR = np.where(random.random(arm_SCR.shape) < LOST, np.nan, arm_SCR)
        plain = inference.paired_difference(arm_SCR, np.broadcast_to(reference_S1R, arm_SCR.shape))
        found = moderated_test(plain)
        claimed_SC = found.significant
        is_null_SC = truth_SC == 0
        tested_SC = ~np.isnan(found.p)
        totals["covered"] += int(((found.low <= truth_SC) & (truth_SC <= found.high)).sum())
        totals["intervals"] += int(tested_SC.sum())
        totals["family"] += int((claimed_SC & is_null_SC).any(axis=1).sum())
        wrong_SC = claimed_SC & ~is_null_SC & (np.sign(plain.difference) != np.sign(truth_SC))
        totals["wrong"] += int(wrong_SC.any(axis=1).sum())
        totals["found"] += int((claimed_SC & ~is_null_SC).sum())
        totals["true"] += int((~is_null_SC).sum())
    return {
        "noise": noise,
        "effects": effects,
        "replicates": replicates,
        "studies": studies,
        "coverage": totals["covered"] / totals["intervals"],
        "family_wise_error": totals["family"] / studies,
        "wrong_signed_claim": totals["wrong"] / studies,
        "power": totals["found"] / totals["true"] if totals["true"] else None,
    }


def missed_by_arrays(cell: dict[str, Any]) -> Iterator[str]:
    """Yield the bounds that a cell of part two misses; noise of unequal scale and skew has none."""
    if cell["noise"] == "unequal":
        return
    name = f"{cell['noise']}, {cell['effects']}, {cell['replicates']} replicates"
    if not COVERAGE[0] <= cell["coverage"] <= COVERAGE[1]:
        yield f"{name}: coverage {cell['coverage']:.4f} is outside {COVERAGE}"
    if cell["family_wise_error"] > FAMILY_WISE:
        yield f"{name}: family-wise error {cell['family_wise_error']:.4f} is above {FAMILY_WISE}"
    if cell["wrong_signed_claim"] > WRONG_SIGN:
        yield f"{name}: wrong-signed claims in {cell['wrong_signed_claim']:.4f} is above {WRONG_SIGN}"


def whole_studies(count: int, out: Path, seed: int = 0) -> dict[str, Any]:
    """Write studies as run directories and compare what ``findings`` says with what was planted."""
    disagreements: list[str] = []
    flagged = {True: [0, 0], False: [0, 0]}
    covered = intervals = family = wrong = 0
    (out / "truth").mkdir(parents=True, exist_ok=True)
    for index in range(count):
        random = np.random.default_rng(derive_seed(seed, "whole study", index))
        replicates, noise = REPLICATES[index % 3], NOISES[index // 3 % 2]
        effects_C = draw_effects("mixed", random, (len(ARMS) - 1,)) * 2**0.5 * RUN_SD
        effects_A = np.concatenate([[0.0], effects_C])
        scores_AR = REPLICATE_SD * random.standard_normal((1, replicates)) + RUN_SD * draw_noise(
            noise, random, (len(ARMS), replicates)
        )
        run = out / "runs" / f"planted-{index:03d}"
        truth = plant(run, 0.7 + effects_A[:, None] + scores_AR, random, is_shaky=index % 2 == 1)
        (out / "truth" / f"{run.name}.json").write_text(json.dumps({"effects": list(effects_A)} | truth.as_json()))
        found = findings(run)
        disagreements += [f"{run.name}: {text}" for text in disagreements_with(found, truth)]
        flagged[truth.is_shaky][0] += is_flagged(found, truth)
        flagged[truth.is_shaky][1] += 1
        for row, effect in zip(found["comparisons"], effects_C, strict=True):
            if row["low"] is not None:
                intervals += 1
                covered += row["low"] <= effect <= row["high"]
        claims = [(row, e) for row, e in zip(found["comparisons"], effects_C, strict=True) if row["significant"]]
        family += any(effect == 0 for _, effect in claims)
        wrong += any(effect != 0 and (row["difference"] > 0) != (effect > 0) for row, effect in claims)
    return {
        "studies": count,
        "disagreements": len(disagreements),
        "first_disagreements": disagreements[:5],
        "unequal_survival_planted_and_flagged": flagged[True],
        "unequal_survival_not_planted_but_flagged": flagged[False],
        "coverage": covered / intervals if intervals else None,
        "family_wise_error": family / count,
        "wrong_signed_claim": wrong / count,
    }


def disagreements_with(found: dict[str, Any], truth: Truth) -> Iterator[str]:
    """Compare a whole study's findings with the same statistics of the planted arrays, and with the planted losses."""
    arm_CR = truth.scores_AR[1:]
    expected = inference.paired_difference(arm_CR, np.broadcast_to(truth.scores_AR[:1], arm_CR.shape))
    tested = moderated_test(expected)
    numbers: dict[str, NDArray[Any]] = {
        name: getattr(tested, name) for name in ("low", "high", "df", "p", "p_holm", "significant")
    }
    numbers |= {"difference": expected.difference, "sd": expected.sd, "p_t": expected.p, "n": expected.n}
    for index, row in enumerate(found["comparisons"]):
        for name, values in numbers.items():
            said = np.nan if row[name] is None else float(row[name])
            if not np.isclose(said, float(values[index]), rtol=SAME, atol=SAME, equal_nan=True):
                yield f"{row['arm']}: {name} is {said}, but {float(values[index])} was planted"
    listed = {row["trial_id"]: row["status"] for row in found["not_completed"]}
    if listed != truth.not_completed:
        yield f"not completed: {sorted(set(listed.items()) ^ set(truth.not_completed.items()))[:3]}"
    planned = found["accounting"]["planned"]
    if planned != truth.planned or planned != sum(n for name, n in found["accounting"].items() if name != "planned"):
        yield f"accounting: {found['accounting']}, but {truth.planned} trials were planned"


def is_flagged(found: dict[str, Any], truth: Truth) -> bool:
    """Say whether findings call survival unequal; if it was planted, the shaky arm must be among those named."""
    arms = [arm["arm"] for arm in found["arms"] if arm["survival"]["flagged"]]
    return bool(found["unequal_survival"]["is_unequal"]) and (SHAKY_ARM in arms or not truth.is_shaky)


def missed_by_runs(result: dict[str, Any]) -> Iterator[str]:
    """Yield the bounds that part three misses."""
    if result["disagreements"]:
        yield f"whole studies: {result['disagreements']} disagreements, such as {result['first_disagreements'][0]}"
    found, planted = result["unequal_survival_planted_and_flagged"]
    if planted and found / planted < SURVIVAL_FOUND:
        yield f"whole studies: unequal survival flagged in {found} of {planted} if it was planted"
    false, clean = result["unequal_survival_not_planted_but_flagged"]
    if clean and false / clean > SURVIVAL_FALSE:
        yield f"whole studies: unequal survival flagged in {false} of {clean} if none was planted"


def main(
    studies: Annotated[int, typer.Option(min=1, help="Studies drawn as arrays, per cell.")] = 10_000,
    whole: Annotated[int, typer.Option(min=0, help="Studies written as run directories.")] = 200,
    out: Annotated[Path | None, typer.Option(help="Where these are kept; default: a temporary folder.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed draws other studies.")] = 0,
) -> None:
    """Plant, analyse, compare; exit 1 if a bound is missed."""
    rivals = [
        rival_tests.cell(law, replicates, comparisons, studies, seed)
        for replicates in rival_tests.REPLICATES
        for comparisons in rival_tests.COMPARISONS
        for law in LAWS
    ]
    for line in rival_tests.lines(rivals):
        typer.echo(line, err=True)
    cells = [vectorised(noise, "mixed", replicates, studies, seed) for noise in NOISES for replicates in REPLICATES]
    with tempfile.TemporaryDirectory() as scratch:
        result = whole_studies(whole, out or Path(scratch), seed)
    missed = [text for found in rivals for text in rival_tests.missed_by_tests(found)]
    missed += [text for cell in cells for text in missed_by_arrays(cell)] + list(missed_by_runs(result))
    report = {
        "bounds": {
            "coverage": COVERAGE,
            "family_wise_error_at_most": FAMILY_WISE,
            "power_for_4_sds_of_12_comparisons_at_least": rival_tests.LEAST_POWER,
            "falsely_equal_at_most": rival_tests.FALSELY_EQUAL,
            "wrong_signed_claim_at_most": WRONG_SIGN,
            "whole_studies_disagreements": 0,
            "unequal_survival_flagged_at_least": SURVIVAL_FOUND,
            "unequal_survival_false_at_most": SURVIVAL_FALSE,
        },
        "tests": rivals,
        "arrays": cells,
        "whole_studies": result,
        "missed": missed,
        "hardware": {"cpus": os.cpu_count(), "machine": platform.machine()},
        "versions": {name: version(name) for name in ("numpy", "scipy", "pandas", "pyarrow")},
    }
    typer.echo(json.dumps(report, indent=1))
    raise typer.Exit(1 if missed else 0)


if __name__ == "__main__":
    typer.run(main)
