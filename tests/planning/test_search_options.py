"""--sampler, --early-stopping, --eta, --grace and first points: what a request makes of them, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ablation import study_file
from ablation.faults import FaultsError
from ablation.planning import budget as planning_budget
from ablation.planning.planned_run import plan_run
from ablation.planning.request import Request, check_request
from ablation.planning.resumed_run import plan_resume
from ablation.resources import Resources
from search_spaces.space import Budget, Choice, Float, Int, Space, When
from tests.support.plain_loop import run_study
from tests.toy_study import SPACE

LISTED = SPACE.model_copy(
    update={
        "nuisance": {"toy.offset": Choice(values=(-1.0, 0.0, 1.0)), "toy.misbehave": Choice(values=("no", "never"))},
        "fixed": {},
    }
)


def asked(space: Space = SPACE, **options: Any) -> Budget:
    return check_request(Request(space, budget="quick", **options), gpus=0).plan.budget


def refused(space: Space = SPACE, **options: Any) -> str:
    with pytest.raises(FaultsError) as error:
        asked(space, **options)
    return str(error.value)


def test_options_change_the_budget_and_are_in_the_plan() -> None:
    budget = asked(sampler="random", early_stopping="asha", eta=4, grace=2)
    assert (budget.sampler, budget.reduction_factor, budget.grace_epochs, budget.rungs) == ("random", 4, 2, (2, 8))
    assert asked().model_dump() == SPACE.budgets["quick"].model_dump()
    assert asked(early_stopping="none").rungs == ()


def test_a_grid_counts_its_trials() -> None:
    assert asked(LISTED, sampler="grid").trials == asked(LISTED, sampler="grid", trials=6).trials == 6
    assert "--trials is 7, but a grid tries all of its 6 combinations; leave --trials out" in refused(
        LISTED, sampler="grid", trials=7
    )
    assert asked(LISTED, sampler="grid", settings=("toy.misbehave=no",)).trials == 3


def test_a_grid_of_what_cannot_be_listed_is_refused_with_a_remedy() -> None:
    assert (
        "--sampler grid: toy.offset is a range of real numbers, which has no list of values; declare it as Choice"
        in (refused(sampler="grid"))
    )
    huge = SPACE.model_copy(update={"nuisance": {"toy.offset": Int(low=-3, high=10**9, default=0)}})
    assert "--sampler grid: reference has 1000000004 combinations, but at most 10000 are tried" in refused(
        huge, sampler="grid"
    )


def test_a_sampler_whose_package_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = run_study(check_request(Request(SPACE, sampler="gp", trials=2, replicates=2), gpus=0).plan, tmp_path / "run")
    monkeypatch.setattr(planning_budget, "find_spec", lambda name: None)
    assert "--sampler cmaes needs cmaes, which is not installed; pip install cmaes" in refused(sampler="cmaes")
    assert "--sampler gp needs torch, which is not installed" in refused(sampler="gp")
    with pytest.raises(FaultsError, match="--sampler gp needs torch"):
        plan_resume(run.root, trust=True)
    assert asked(sampler="random").sampler == "random"


def test_cmaes_needs_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning_budget, "find_spec", lambda name: True)
    assert "--sampler cmaes: reference searches no numbers, which it needs" in refused(LISTED, sampler="cmaes")


def test_options_about_searches_are_refused_where_nothing_is_searched() -> None:
    assert "--sampler and --eta: about searches, but none is asked for" in refused(trials=0, sampler="tpe", eta=4)


def test_all_that_is_wrong_with_first_points_is_said_at_once() -> None:
    with pytest.raises(ValueError) as error:
        Space(**{**SPACE.model_dump(), "first_points": ({"toy.offset": 2.5}, {"toy.ofset": 1.0}, {"toy.offset": True})})
    for part in (
        "first_points[0] sets toy.offset to 2.5, but it must be a number from -2.0 to 2.0",
        "first_points[1] names 'toy.ofset', which is no hyperparameter that is searched",
        "first_points[2] sets toy.offset to True, but it must be a number",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        (Float(low=1e-3, high=0.1, default=0.01, log=True), (1e-3, 0.1, 0.05), (0.0, 0.11, "0.05", True)),
        (Int(low=1, high=4, default=2), (1, 4), (0, 5, 2.0, True)),
        (Choice(values=(True, False)), (True, False), (1, 0, "True")),
        (Choice(values=(1, 2, "auto")), (1, "auto"), (True, 3, "1")),
    ],
)
def test_a_point_lies_in_its_domain(domain: Any, inside: tuple[Any, ...], outside: tuple[Any, ...]) -> None:
    assert all(domain.holds(value) for value in inside)
    assert not any(domain.holds(value) for value in outside)


def with_points(*points: dict[str, Any], **changes: Any) -> Space:
    return SPACE.model_copy(update={"first_points": points, **changes})


def test_a_first_point_that_the_models_schema_refuses_is_refused_when_planned() -> None:
    wide = {"toy.offset": Float(low=-2.0, high=2.0, default=1.0), "toy.misbehave": Int(low=0, high=1, default=0)}
    assert "toy.misbehave is 1" in refused(with_points({"toy.misbehave": 1}, nuisance=wide, fixed={}))


def test_first_points_are_about_hyperparameters_unless_the_design_is_joint() -> None:
    space = with_points({"toy.speed": 5.0, "toy.bonus": 0.05})
    output = refused(space)
    assert "first_points[0] sets toy.bonus, a factor" in output and "first_points[0] sets toy.speed, a factor" in output
    assert asked(space, design="joint").trials == 4


def test_there_are_trials_for_all_first_points() -> None:
    space = with_points({"toy.offset": 0.0}, {"toy.offset": 0.5})
    assert asked(space, trials=2).trials == 2
    assert "--trials is 1, but the space toy has 2 first points" in refused(space, trials=1)


def test_what_is_set_for_all_is_left_out_of_first_points() -> None:
    drops = When(factor="toy.speed", among=(5.0,), drops=("toy.misbehave",), reason="none there")
    points = ({"toy.offset": 0.0, "toy.misbehave": "never"}, {"toy.offset": 1.0})
    space = LISTED.model_copy(update={"first_points": points, "conditions": (drops,)})
    plan = check_request(Request(space, budget="quick", settings=("toy.offset=0.5",)), gpus=0).plan
    assert plan.space.first_points == ({"toy.misbehave": "never"},)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("sampler", "random", "--resume: sampler is random, but the run has tpe"),
        ("early_stopping", "none", "--resume: early_stopping is none, but the run has asha"),
        ("eta", 2, "--resume: eta is 2, but the run has 3"),
        ("grace", 2, "--resume: grace is 2, but the run has 1"),
    ],
)
def test_a_run_goes_on_with_the_search_that_it_began_with(tmp_path: Path, option: str, value: Any, said: str) -> None:
    small = {"space": SPACE, "arms": ("baseline",), "replicates": 2, "trials": 2}
    plan = check_request(Request(**small), gpus=0).plan  # type: ignore[arg-type]
    root = tmp_path / "run"
    root.mkdir()
    study_file.write(study_file.describe("run", plan, "quick", None, ["tests"]), run_study(plan, root, most_epochs=0))
    again = Request(**small, **{option: value})  # type: ignore[arg-type]
    with pytest.raises(FaultsError, match=said):
        plan_run(again, "run", tmp_path, Resources(), resume=True)


def test_an_arm_whose_grid_is_larger_cannot_be_added_to_a_run(tmp_path: Path) -> None:
    drops = When(factor="toy.speed", among=(5.0,), drops=("toy.misbehave",), reason="none there")
    space = LISTED.model_copy(update={"conditions": (drops,), "reference": {"toy.bonus": 0.0, "toy.speed": 5.0}})
    request = Request(space, arms=("baseline",), replicates=2, sampler="grid")
    run = run_study(check_request(request, gpus=0).plan, tmp_path / "run", most_epochs=0)
    assert "an added one has a grid of 6, but the run's arms have 3 trials each" in _growth(run.root, "speed=3.0")
    assert _growth(run.root, "bonus=0.05") == ""


def _growth(run: Path, arm: str) -> str:
    try:
        plan_resume(run, arms=(arm,), trust=True)
    except FaultsError as error:
        return str(error)
    return ""
