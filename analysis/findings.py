"""What a study found, for machines: ``findings.json``, described by ``analysis.findings_schema.SCHEMA``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from ablation.run_dir import RunLocation
from analysis import effect_findings
from analysis.answer import answer
from analysis.caveats import caveats
from analysis.evidence import Evidence, gather
from analysis.findings_schema import VERSION
from analysis.plain_json import plain, records


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
        "metric": effect_findings.metric(study),
        "answer": list(answer(found)),
        "best": _best(found),
        "accounting": dict(found.counts),
        "arms": _arms(found),
        "comparisons": _comparisons(found),
        "variances": effect_findings.variances(found),
        "description": {
            **effect_findings.description(found),
            "recall": records(found.recall),
            "reliability": records(found.reliability),
            "variance_sources": records(found.variance_sources),
        },
        "unequal_survival": found.unequal_survival._asdict(),
        "not_completed": records(found.not_completed),
        "code": records(found.code),
        "reruns": dict(found.reruns),
        "growths": [dict(growth) for growth in study.growths],
        "warnings": [caveat._asdict() for caveat in caveats(found)],
        "lacking": _lacking({one.name: one.error for one in found.failures} if lacking is None else lacking),
    }
    found_plain: dict[str, Any] = plain(document)
    return found_plain


def no_findings(lacking: Mapping[str, str]) -> dict[str, Any]:
    """Say in the form of findings that there are none, and why: ``findings`` is among the sections in ``lacking``."""
    return {"schema": "findings", "schema_version": VERSION, "lacking": _lacking(lacking)}


def _lacking(reasons: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"section": name, "reason": reason} for name, reason in reasons.items()]


def _study(found: Evidence) -> dict[str, Any]:
    file, plan = found.study.file, found.study.plan
    data = file.data or {}
    return {
        "name": file.name,
        "title": file.heading,
        "created_utc": file.created_utc,
        "git_commit": file.git_commit,
        "design": plan.design,
        "seed": plan.seed,
        "budget": plan.budget.model_dump(mode="json"),
        "data": {key: data.get(key) for key in ("uri", "fingerprint")},
        **effect_findings.levels(),
        "smallest_effect": found.study.smallest_effect,
        "table": None,
    }


def _best(found: Evidence) -> dict[str, Any] | None:
    best = found.best
    if best is None:
        return None
    values = dict(zip(best.configuration["name"], best.configuration["value"], strict=True))
    return {**asdict(best), "configuration": values, "scores": records(found.scores)}


def _arms(found: Evidence) -> list[dict[str, Any]]:
    open_trials = Counter(found.not_completed["arm"])
    effort, survival, calibration = (_by(table, "arm") for table in (found.effort, found.survival, found.calibration))
    return [
        {
            **row,
            "effort": effort.get((row["arm"],), {}),
            "not_completed": open_trials[row["arm"]],
            "survival": survival.get((row["arm"],), {}),
            "calibration": calibration.get((row["arm"],)),
        }
        for row in effect_findings.arms(found)
    ]


def _comparisons(found: Evidence) -> list[dict[str, Any]]:
    sampling, mcnemar = _by(found.sampling, "arm", "against"), _by(found.mcnemar, "arm", "against")
    rows = [(row, (row["arm"], row["against"])) for row in effect_findings.comparisons(found)]
    return [{**row, "sampling": sampling.get(pair), "mcnemar": mcnemar.get(pair)} for row, pair in rows]


def _by(table: pd.DataFrame, *keys: str) -> dict[tuple[str, ...], dict[str, Any]]:
    """Look rows up by the values of ``keys``, which are left out of them; the first of several counts."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in records(table):
        found.setdefault(tuple(row[key] for key in keys), {key: row[key] for key in row if key not in keys})
    return found
