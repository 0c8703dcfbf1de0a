"""Which arms a study has: those of its design, of its budget, or those that were asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ablation.console.plan_text import print_header
from ablation.faults import FaultsError
from ablation.planning.request import Request, check_request
from ablation.terminal import console
from search_spaces.space import Space
from tests.toy_study import SPACE

ALL = [arm.name for arm in SPACE.arms()]


def with_arms(*arms: str) -> Space:
    budgets = {name: budget.model_copy(update={"arms": arms}) for name, budget in SPACE.budgets.items()}
    return SPACE.model_copy(update={"budgets": budgets})


def arms_of(request: Request) -> list[str]:
    return [arm.name for arm in check_request(request, gpus=0).plan.arms]


def test_a_budget_may_have_some_arms_and_the_reference() -> None:
    assert len(ALL) > 2
    request = Request(with_arms("baseline"), budget="quick")
    assert arms_of(request) == ["reference", "baseline"]
    plan = check_request(request, gpus=0).plan
    assert plan.comparisons == (("baseline", "reference"),)


def test_arms_that_are_asked_for_replace_the_budgets() -> None:
    request = Request(with_arms("baseline"), budget="quick")
    assert arms_of(replace(request, arms=("*",))) == ALL
    assert arms_of(replace(request, arms=(ALL[1],))) == ["reference", ALL[1]]


def test_a_budgets_arms_are_those_of_one_at_a_time_and_no_other_design() -> None:
    whole = arms_of(Request(SPACE, budget="quick", design="factorial"))
    assert arms_of(Request(with_arms("baseline"), budget="quick", design="factorial")) == whole


def test_a_budget_that_names_no_arm_is_refused_by_the_spaces_name() -> None:
    with pytest.raises(FaultsError, match=r"the space toy: in one of its budgets, arms 'basline' matches no arm"):
        check_request(Request(with_arms("basline"), budget="quick"), gpus=0)


@pytest.mark.parametrize(("arms", "is_said"), [(("baseline",), True), ((), False)])
def test_what_is_left_out_is_said_with_the_way_to_it(
    arms: tuple[str, ...], is_said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    print_header(console(), check_request(Request(with_arms(*arms), budget="quick"), gpus=0))
    said = " ".join(capsys.readouterr().out.split())
    assert (f"2 of {len(ALL)} arms: reference, baseline; --arms '*' for all" in said) == is_said
