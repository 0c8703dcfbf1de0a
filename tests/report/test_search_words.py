"""The page says how hyperparameters were proposed and what stopped trials, or that nothing did."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ablation.plan import Plan
from analysis.report.build import Report, render
from analysis.report.search.figures import steps
from analysis.study import study
from search_spaces.space import Levels
from tests.support.plain_loop import run_study
from tests.toy_study import toy_plan

FIRST: tuple[Levels, ...] = ({"toy.offset": 0.25},)


def plan_with(**budget: Any) -> Plan:
    plan = toy_plan()
    space = plan.space.model_copy(update={"first_points": FIRST})
    arms = tuple(arm for arm in plan.arms if arm.name in ("reference", "baseline"))
    asked = plan.budget.model_copy(update={"trials": 5, "replicates": 2, **budget})
    return plan.model_copy(update={"space": space, "arms": arms, "comparisons": space.declared(arms), "budget": asked})


@pytest.fixture(scope="module")
def unstopped(tmp_path_factory: pytest.TempPathFactory) -> Report:
    plan = plan_with(sampler="random", early_stopping="none")
    return render(run_study(plan, tmp_path_factory.mktemp("runs") / "run").root)


def text_of(report: Report) -> str:
    return " ".join(re.sub(r"<[^>]+>", "", report.page).split())


def test_a_page_without_early_stopping_says_so_and_names_no_rungs(unstopped: Report) -> None:
    text = text_of(unstopped)
    said = "Hyperparameters were drawn at random. Nothing was stopped early: every search trial was trained in full."
    assert text.count(said) == 2  # where the searches are, and among where all comes from
    assert "Nothing was stopped early, so a trial leaves only if it fails or diverges." in text
    assert "As asked for the search was random" in text
    for word in ("rungs", "ASHA", "Early stopping", "censored, not bad", "was stopped early by its search"):
        assert word not in text, word
    survival = unstopped.tables["survival_curve"]
    assert (survival["share"] == 1).all() and survival["epoch"].max() == 9


def test_what_tuning_gained_is_counted_from_the_defaults_though_they_come_second(unstopped: Report) -> None:
    gains = unstopped.tables["tuning_gain"]
    assert gains.groupby("arm").size().to_dict() == {"reference": 2, "baseline": 2}
    assert (gains["gain"] >= 0).all() and (gains["default_won"] == (gains["gain"] == 0)).all()


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({}, "proposed by TPE. ASHA stopped trials early: after epochs 1, 3 one in 3 went on."),
        ({"trials": 3}, "proposed by TPE, but with so few trials all were known or random points. ASHA"),
        (
            {"sampler": "gp", "reduction_factor": 2},
            "by a Gaussian process. ASHA stopped trials early: after epochs 1, 2, 4, 8",
        ),
        ({"sampler": "random", "grace_epochs": 9}, "drawn at random. Nothing was stopped early"),
    ],
)
def test_a_study_says_how_it_searched(tmp_path: Path, budget: dict[str, Any], said: str) -> None:
    run = run_study(plan_with(**budget), tmp_path / "run", most_epochs=0).root
    assert study(run).how_searched.startswith("Hyperparameters were ") and said in study(run).how_searched


def test_a_study_without_search_says_nothing_of_one(tmp_path: Path) -> None:
    assert study(run_study(plan_with(trials=0), tmp_path / "run", most_epochs=0).root).how_searched == ""


def test_an_arm_with_one_point_is_drawn_as_a_dot() -> None:
    curves = pd.DataFrame({"arm": ["long", "long", "short"], "epochs": [4, 8, 4], "score": [0.5, 0.6, 0.4]})
    looks = dict.fromkeys(("long", "short"), ("#000000", "solid"))
    drawn = steps(curves, "epochs", "score", looks, (), ("epochs", "score"))["data"]
    assert [trace["mode"] for trace in drawn] == ["lines", "markers"]
