"""No study, however odd, loses its page: each goes through sweep, page, findings and audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from analysis.audit.checks import audit
from analysis.findings_schema import SCHEMA
from analysis.report.build import build
from search_spaces.space import Budget, Choice, Float, Int
from tests.support.odd_study import odd_plan
from tests.support.plain_loop import run_study

KINDS = tuple(f"k{place}" for place in range(99))
WORDS = ("plain", "with blanks", "<b>bold & brash", "Ω & \\LaTeX{} $x_1$ 100 %", "a" * 60, "{{7*7}}", "naïve, 日本")
MANY: dict[str, Any] = {
    "factors": {"odd.kind": Choice(values=KINDS)},
    "reference": {"odd.kind": "k0"},
    "baseline": {"odd.kind": "k1"},
    "budgets": {"quick": Budget(replicates=2, trials=1, epochs=1, grace_epochs=1, reduction_factor=2)},
}
NAMED: dict[str, Any] = {
    "factors": {
        "odd.kind": Choice(values=WORDS),
        "odd.flag": Choice(values=(True, False)),
        "odd.mixed": Choice(values=(False, "ema", 3)),
    },
    "reference": {"odd.kind": "plain", "odd.flag": True, "odd.mixed": False},
    "baseline": {"odd.kind": WORDS[3], "odd.flag": False, "odd.mixed": 3},
}
ONE_FACTOR: dict[str, Any] = {
    "factors": {"odd.kind": Choice(values=("a", "b"))},
    "reference": {"odd.kind": "a"},
    "baseline": {"odd.kind": "b"},
}
RANGES: dict[str, Any] = {
    "odd.rate": Float(low=-5.0, high=-1.0, default=-2.0),
    "odd.count": Int(low=1, high=3, default=2),
    "odd.way": Choice(values=("x", "y"), default="x"),
    "odd.flag": Choice(values=(True, False), default=True),
}
ODD: dict[str, dict[str, Any]] = {
    **{
        scores: {"scores": scores}
        for scores in (
            *("constant", "constant in one arm", "zero", "one", "level", "chance", "thousands", "billions", "tiny"),
            *("huge", "negative", "around nought", "nearly all", "whole", "huge in one arm", "infinite at first"),
            *("never known", "never known in one arm"),
        )
    },
    **{
        ends: {"ends": ends}
        for ends in (
            *("all fail", "all fail late", "searches fail in one arm", "the reference fails", "the baseline fails"),
            *("one search trial survives", "one trial a search survives", "no search trial ends"),
            *("confirm trials fail", "one replicate is left", "a replicate fails in one arm"),
        )
    },
    "minimised": {"direction": "minimize"},
    "minimised and negative": {"scores": "negative", "direction": "minimize"},
    "minimised thousands": {"scores": "thousands", "direction": "minimize"},
    "constant and minimised, with two more metrics": {
        "scores": "constant",
        "direction": "minimize",
        "metrics": ("loss", "b", "c"),
    },
    "a second metric that is never known": {"ends": "second metric is nan", "metrics": ("score", "other")},
    "nothing to search": {"nuisance": {}},
    "constant, nothing to search": {"scores": "constant", "nuisance": {}},
    "ranges of all kinds": {"nuisance": RANGES, "budget": {"trials": 8}},
    "constant, ranges of all kinds": {"scores": "constant", "nuisance": RANGES, "budget": {"trials": 8}},
    "one joint arm": {"design": "joint", "budget": {"trials": 8}},
    "constant, one joint arm": {"scores": "constant", "design": "joint", "budget": {"trials": 8}},
    "a hundred arms": MANY,
    "a hundred arms alike": {"scores": "constant", **MANY},
    "one factor of two levels": ONE_FACTOR,
    "no comparisons": {"comparisons": ()},
    "one epoch, one trial": {"budget": {"epochs": 1, "trials": 1}},
    "several seeds": {"budget": {"seeds": 3, "replicates": 2}},
    "factorial": {"design": "factorial"},
    "constant factorial": {"scores": "constant", "design": "factorial"},
    "odd names": NAMED,
    "nothing has started": {"most_epochs": 0},
    "cut off early": {"most_epochs": 20},
    "cut off late": {"most_epochs": 150},
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_study_has_its_page_its_findings_and_an_audit_that_agrees(name: str, tmp_path: Path) -> None:
    asked = dict(ODD[name])
    most_epochs = asked.pop("most_epochs", None)
    run = run_study(odd_plan(**asked), tmp_path / "run", most_epochs=most_epochs).root
    page = build(run).read_text(encoding="utf-8")
    assert "could not be made" not in page
    assert len(page) < 8e6
    found = json.loads((run / "report" / "findings.json").read_text(encoding="utf-8"))
    jsonschema.validate(found, SCHEMA)
    assert audit(run) == []
