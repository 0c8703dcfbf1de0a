"""What a study found, for machines: ``findings.json``, described by ``analysis.findings_schema.SCHEMA``."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from ablation.power import POWER
from ablation.run_dir import RunLocation
from analysis import inference
from analysis.answer import answer
from analysis.caveats import caveats
from analysis.evidence import Evidence, gather
from analysis.findings_schema import VERSION

DIGITS = 10  # significant: what a sum in another order may change lies beyond


def findings(source: RunLocation | Evidence, lacking: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Collect what a run found as plain JSON values: pure, and the same for the same run.

    Numbers are rounded to 10 significant digits; null stands if there is none.

    Args:
        source: a run directory, its address, or the evidence gathered from it.
        lacking: sections that its report could not make, and why; of what was not computed alone where None.

    Raises:
        FaultsError: as ``evidence.gather`` does.
    """
    found = source if isinstance(source, Evidence) else gather(source)
    study = found.study
    document = {
        "schema": "findings",
        "schema_version": VERSION,
        "study": _study(found),
        "metric": {
            "primary": study.metric,
            "all": list(study.metrics),
            "higher_is_better": study.higher_is_better,
        },
        "answer": list(answer(found)),
        "accounting": dict(found.counts),
        "arms": _arms(found),
        "comparisons": _comparisons(found),
        "variances": _variances(found),
        "description": {
            "differences": _records(found.differences),
            "components": _records(found.components),
            "ablation_path": _records(found.ablation_path),
            "marginals": _records(found.marginals),
            "marginals_left_out": {name: list(arms) for name, arms in found.marginals_left_out.items()},
            "interactions": _records(found.interactions),
            "recall": _records(found.recall),
            "reliability": _records(found.reliability),
        },
        "unequal_survival": found.unequal_survival._asdict(),
        "not_completed": _records(found.not_completed),
        "code": _records(found.code),
        "reruns": dict(found.reruns),
        "growths": [dict(growth) for growth in study.growths],
        "warnings": [caveat._asdict() for caveat in caveats(found)],
        "lacking": _lacking({one.name: one.error for one in found.failures} if lacking is None else lacking),
    }
    plain: dict[str, Any] = _plain(document)
    return plain


def no_findings(lacking: Mapping[str, str]) -> dict[str, Any]:
    """Say in the form of findings that there are none, and why: ``findings`` is among the sections in ``lacking``."""
    return {"schema": "findings", "schema_version": VERSION, "lacking": _lacking(lacking)}


def _lacking(reasons: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"section": name, "reason": reason} for name, reason in reasons.items()]


def as_text(document: Mapping[str, Any]) -> str:
    """Format findings as the text of findings.json."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _study(found: Evidence) -> dict[str, Any]:
    file, plan = found.study.file, found.study.plan
    data = file.data or {}
    return {
        "name": file.name,
        "created_utc": file.created_utc,
        "git_commit": file.git_commit,
        "design": plan.design,
        "seed": plan.seed,
        "budget": plan.budget.model_dump(mode="json"),
        "data": {key: data.get(key) for key in ("uri", "fingerprint")},
        "alpha": inference.ALPHA,
        "confidence": inference.CONFIDENCE,
        "power": POWER,
    }


def _arms(found: Evidence) -> list[dict[str, Any]]:
    levels = {arm.name: dict(arm.levels) for arm in found.study.arms}
    ends = {"mean": "", "low": "_low", "high": "_high"}
    open_trials = Counter(found.not_completed["arm"])
    effort, survival, calibration = (_by(table, "arm") for table in (found.effort, found.survival, found.calibration))
    return [
        {
            "arm": row["arm"],
            "role": row["role"],
            "levels": levels.get(row["arm"], {}),
            "replicates_planned": row["planned"],
            "n": row["n"],
            "missing": [int(replicate) for replicate in row["missing"].split(", ") if replicate],
            "metrics": {
                metric: {key: row[f"{metric}{suffix}"] for key, suffix in ends.items()}
                for metric in found.study.metrics
            },
            "effort": effort.get((row["arm"],), {}),
            "not_completed": open_trials[row["arm"]],
            "survival": survival.get((row["arm"],), {}),
            "calibration": calibration.get((row["arm"],)),
        }
        for row in _records(found.arms)
    ]


def _comparisons(found: Evidence) -> list[dict[str, Any]]:
    sampling, mcnemar = _by(found.sampling, "arm", "against"), _by(found.mcnemar, "arm", "against")
    rows = []
    for row, verdict in zip(_records(found.comparisons), found.verdicts, strict=True):
        pair = (row["arm"], row["against"])
        dropped = [int(replicate) for replicate in row["dropped"].split(", ") if replicate]
        beside = {"sampling": sampling.get(pair), "mcnemar": mcnemar.get(pair)}
        rows.append({**row, "dropped": dropped, "verdict": asdict(verdict), **beside})
    return rows


def _variances(found: Evidence) -> dict[str, Any]:
    prior = found.variances
    return {
        "comparisons": int(prior.lenders),
        "scatter": float(prior.scatter),
        "expected": float(prior.expected),
        "prior_sd": math.sqrt(prior.variance),
        "prior_df": float(prior.df),
    }


def _by(table: pd.DataFrame, *keys: str) -> dict[tuple[str, ...], dict[str, Any]]:
    """Look rows up by the values of ``keys``, which are left out of them; the first of several counts."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in _records(table):
        found.setdefault(tuple(row[key] for key in keys), {key: row[key] for key in row if key not in keys})
    return found


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    """Turn numpy's and pandas' values into JSON's own, NaN and infinities into None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)
