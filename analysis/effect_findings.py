"""The effects among the findings: what a run's findings.json and that of a table of results have in common."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from ablation.power import POWER
from analysis import inference
from analysis.effect_evidence import EffectEvidence
from analysis.plain_json import records
from analysis.question import Question


def levels() -> dict[str, float]:
    """Return the levels of all tests and intervals."""
    return {"alpha": inference.ALPHA, "confidence": inference.CONFIDENCE, "power": POWER}


def metric(study: Question) -> dict[str, Any]:
    """Say what is tested."""
    return {"primary": study.metric, "all": list(study.metrics), "higher_is_better": study.higher_is_better}


def arms(found: EffectEvidence) -> list[dict[str, Any]]:
    """List what each arm reached."""
    named = {arm.name: dict(arm.levels) for arm in found.study.arms}
    ends = {"mean": "", "low": "_low", "high": "_high"}
    return [
        {
            "arm": row["arm"],
            "role": row["role"],
            "levels": named.get(row["arm"], {}),
            "replicates_planned": row["planned"],
            "n": row["n"],
            "missing": _numbers(row["missing"]),
            "metrics": {
                name: {key: row[f"{name}{suffix}"] for key, suffix in ends.items()} for name in found.study.metrics
            },
        }
        for row in records(found.arms)
    ]


def comparisons(found: EffectEvidence) -> list[dict[str, Any]]:
    """List what each comparison showed, with its verdict."""
    return [
        {**row, "dropped": _numbers(row["dropped"]), "verdict": asdict(verdict)}
        for row, verdict in zip(records(found.comparisons), found.verdicts, strict=True)
    ]


def variances(found: EffectEvidence) -> dict[str, Any] | None:
    """Say what the comparisons' variances have in common; None if none borrows of another."""
    prior = found.variances
    if prior is None:
        return None
    return {
        "comparisons": int(prior.lenders),
        "scatter": float(prior.scatter),
        "expected": float(prior.expected),
        "prior_sd": math.sqrt(prior.variance),
        "prior_df": float(prior.df),
    }


def description(found: EffectEvidence) -> dict[str, Any]:
    """List what is estimated without a test."""
    return {
        "differences": records(found.differences),
        "components": records(found.components),
        "ablation_path": records(found.ablation_path),
        "marginals": records(found.marginals),
        "marginals_left_out": {name: list(left_out) for name, left_out in found.marginals_left_out.items()},
        "interactions": records(found.interactions),
    }


def _numbers(listed: str) -> list[int]:
    return [int(number) for number in listed.split(", ") if number]
