"""What each sampler proposes: where it begins, what it learns from, and that replay proposes the same again."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import CmaEsSampler, GPSampler

from ablation.console.search_text import search_in_words
from ablation.ledger.events import Proposed, SessionOpened
from ablation.ledger.log import Ledger, read_events
from ablation.ledger.records import ConflictError, TrialState, fold
from ablation.paths import RunPaths
from ablation.plan import Plan
from ablation.seeds import derive_seed
from ablation.study.searcher import propose
from ablation.study.study import Study
from analysis.audit.checks import audit
from search_spaces.space import Choice, Domain, Float, Int, Levels, When
from tests.support.ledgers import append
from tests.support.plain_loop import run_study
from tests.toy_study import SPACE, plain_plan, toy_plan

NEEDS_CMAES = pytest.mark.skipif(find_spec("cmaes") is None, reason="needs the package cmaes")
SAMPLERS = ["random", "gp", pytest.param("cmaes", marks=NEEDS_CMAES), "grid"]
OFFSET = Float(low=-2.0, high=2.0, default=1.0)
LISTED = Choice(values=(-1.0, 0.0, 0.5, 1.0, 2.0), default=1.0)


def plan_with(
    sampler: str,
    nuisance: Mapping[str, Domain] | None = None,
    first_points: tuple[Levels, ...] = (),
    conditions: tuple[When, ...] = (),
    **budget: Any,
) -> Plan:
    plan = toy_plan()
    nuisance = nuisance or {"toy.offset": LISTED if sampler == "grid" else OFFSET}
    changed = {"nuisance": dict(nuisance), "first_points": first_points, "conditions": conditions}
    space = SPACE.model_copy(update=changed)
    arms = tuple(arm for arm in space.arms() if arm.name in ("reference", "baseline"))
    asked = plan.budget.model_copy(update={"replicates": 2, "trials": 5, "sampler": sampler, **budget})
    return plan.model_copy(update={"space": space, "budget": asked, "arms": arms})


def proposals(paths: RunPaths[Path]) -> dict[str, Levels]:
    """Return the proposal of each search trial that has one, by its id."""
    records = fold(read_events(paths.ledger))
    return {key: state.proposal for key, state in records.items() if "/search/" in key and state.is_proposed}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_interrupted_search_goes_on_to_the_same_proposals(tmp_path: Path, sampler: str) -> None:
    plan = plan_with(sampler, replicates=1, early_stopping="none")
    run_study(plan, tmp_path / "cut", at_a_time=1, most_epochs=60)  # nine a trial
    cut = len(proposals(RunPaths(tmp_path / "cut")))
    resumed = run_study(plan, tmp_path / "cut", at_a_time=1)
    assert cut == 7 < len(proposals(resumed)) == 10
    assert proposals(resumed) == proposals(run_study(plan, tmp_path / "whole", at_a_time=1))
    assert audit(resumed.root) == []
    opened = [event.what for event in read_events(resumed.ledger) if isinstance(event.what, SessionOpened)]
    assert len(opened) == 2 and opened[0].searcher == opened[1].searcher


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_proposal_follows_from_the_events_before_it(tmp_path: Path, sampler: str) -> None:
    trials = 14 if sampler == "cmaes" else 5
    plan = plan_with(sampler, trials=trials, replicates=1)
    events = read_events(run_study(plan, tmp_path / "run", at_a_time=4).ledger)
    by_id = {trial.trial_id: trial for trial in plan.trials()}
    for place, event in enumerate(events):
        if isinstance(event.what, Proposed) and "/search/" in str(event.trial_id):
            records, trial = fold(events[:place]), by_id[str(event.trial_id)]
            ids = [f"{trial.arm}/{trial.replicate}/search/{index}" for index in range(trial.index)]
            earlier = [records.get(trial_id) or TrialState(trial_id) for trial_id in ids]
            assert propose(plan, trial, earlier) == event.what.proposal, trial.trial_id


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_ledger_whose_proposal_does_not_follow_is_refused(tmp_path: Path, sampler: str) -> None:
    plan, moved = plan_with(sampler, replicates=1), "baseline/0/search/4"
    finished = run_study(plan, tmp_path / "run")
    with Ledger(tmp_path / "ledger") as ledger:
        for event in read_events(finished.ledger):
            is_moved = event.kind == "proposed" and event.trial_id == moved
            changed = {"proposal": {"toy.offset": 0.123}} if is_moved else {}
            append(ledger, event.kind, event.trial_id, **{**event.payload, **changed})
    with Ledger(tmp_path / "ledger") as ledger, pytest.raises(ConflictError, match=f"proposal for {moved} does not"):
        Study(plan, ledger)


@pytest.mark.parametrize(("sampler", "trials"), [("gp", 6), pytest.param("cmaes", 16, marks=NEEDS_CMAES)])
def test_proposals_are_those_of_one_study_of_optunas_that_is_kept(tmp_path: Path, sampler: str, trials: int) -> None:
    plan = plan_with(sampler, trials=trials, replicates=1, early_stopping="none")
    paths = run_study(plan, tmp_path / "run", at_a_time=1)
    found, trained = proposals(paths), pd.read_parquet(paths.trials)
    scores: dict[str, float] = dict(zip(trained["trial_id"], trained["metric.val_score"], strict=True))
    distribution: dict[str, BaseDistribution] = {"toy.offset": FloatDistribution(-2.0, 2.0)}
    study = optuna.create_study(direction="maximize")
    for index in range(trials):
        trial_id = f"reference/0/search/{index}"
        score = scores[trial_id]
        if index < plan.startup_trials:
            given = found[trial_id]
            study.add_trial(optuna.trial.create_trial(params=given, distributions=distribution, value=score))
            continue
        seed = derive_seed(plan.seed, "reference", 0, index) % 2**32
        study.sampler = GPSampler(seed=seed, n_startup_trials=1) if sampler == "gp" else CmaEsSampler(seed=seed)
        asked = study.ask(distribution)
        assert asked.params == found[trial_id], trial_id
        study.tell(asked, score)


def test_random_points_are_alike_in_every_arm_and_differ_otherwise(tmp_path: Path) -> None:
    found = proposals(run_study(plan_with("random", trials=6), tmp_path / "run"))
    by_arm = {
        arm: [found[f"{arm}/{r}/search/{i}"] for r in (0, 1) for i in range(6)] for arm in ("reference", "baseline")
    }
    assert by_arm["reference"] == by_arm["baseline"]
    values = [point["toy.offset"] for point in by_arm["reference"]]
    assert values[0] == values[6] == 1.0 and len(set(values)) == 11 and all(-2 <= float(value) <= 2 for value in values)


@pytest.mark.parametrize("speed", [0.1, 1e-3])
def test_a_random_point_lies_in_its_range_to_the_last_digit(tmp_path: Path, speed: float) -> None:
    plan = plain_plan(trials=5)
    only = Float(low=speed, high=speed, default=speed, log=True)
    space = plan.space.model_copy(update={"nuisance": {"toy.offset": OFFSET, "toy.speed": only}})
    found = proposals(run_study(plan.model_copy(update={"space": space}), tmp_path / "run"))  # TPE is told of them
    assert {point["toy.speed"] for point in found.values()} == {speed}


def test_a_grid_tries_every_combination_once_in_every_arm_and_replicate(tmp_path: Path) -> None:
    nuisance = {"toy.offset": LISTED, "toy.misbehave": Choice(values=("no", "never"), default="never")}
    plan = plan_with("grid", nuisance, trials=10)
    plan = plan.model_copy(update={"space": plan.space.model_copy(update={"fixed": {}})})
    found = proposals(run_study(plan, tmp_path / "run"))
    expected = Counter(itertools.product((-1.0, 0.0, 0.5, 1.0, 2.0), ("no", "never")))
    for arm, replicate in itertools.product(("reference", "baseline"), (0, 1)):
        mine = [found[f"{arm}/{replicate}/search/{index}"] for index in range(10)]
        assert Counter((point["toy.offset"], point["toy.misbehave"]) for point in mine) == expected
        assert mine[0] == {"toy.offset": 1.0, "toy.misbehave": "never"}  # the defaults


def test_an_arm_with_fewer_combinations_goes_through_them_again() -> None:
    drops = When(factor="toy.speed", among=(5.0,), drops=("toy.depth",), reason="none there")
    plan = plan_with(
        "grid", {"toy.offset": LISTED, "toy.depth": Int(low=1, high=2, default=1)}, (), (drops,), trials=10
    )
    first = {arm.name: [trial for trial in plan.trials() if trial.arm == arm.name][:10] for arm in plan.arms}
    baseline = Counter(propose(plan, trial, [])["toy.offset"] for trial in first["baseline"])
    assert baseline == dict.fromkeys((-1.0, 0.0, 0.5, 1.0, 2.0), 2)
    reference = Counter(tuple(propose(plan, trial, []).values()) for trial in first["reference"])
    assert reference == dict.fromkeys(itertools.product((-1.0, 0.0, 0.5, 1.0, 2.0), (1, 2)), 1)
    assert search_in_words(plan)[1].startswith("baseline has 5 combinations, and goes through them again")


@pytest.mark.parametrize("sampler", ["tpe", *SAMPLERS])
def test_known_points_come_first_and_then_the_defaults_alike_in_every_arm(tmp_path: Path, sampler: str) -> None:
    points: tuple[Levels, ...] = ({"toy.offset": 0.5}, {"toy.offset": -1.0})
    found = proposals(run_study(plan_with(sampler, None, points), tmp_path / "run"))
    for arm, replicate in itertools.product(("reference", "baseline"), (0, 1)):
        mine = [found[f"{arm}/{replicate}/search/{index}"] for index in range(5)]
        assert mine[:3] == [*points, {"toy.offset": 1.0}]


def test_a_point_has_the_defaults_for_what_it_leaves_out_and_nothing_that_an_arm_does_not_search() -> None:
    drops = When(factor="toy.speed", among=(5.0,), drops=("toy.depth",), reason="none there")
    nuisance: dict[str, Domain] = {"toy.offset": OFFSET, "toy.depth": Int(low=1, high=9, default=3)}
    plan = plan_with("tpe", nuisance, ({"toy.depth": 7}, {"toy.offset": 0.1}), (drops,))
    first = {arm.name: [trial for trial in plan.trials() if trial.arm == arm.name][:2] for arm in plan.arms}
    assert [propose(plan, trial, []) for trial in first["reference"]] == [
        {"toy.offset": 1.0, "toy.depth": 7},
        {"toy.offset": 0.1, "toy.depth": 3},
    ]
    assert [propose(plan, trial, []) for trial in first["baseline"]] == [{"toy.offset": 1.0}, {"toy.offset": 0.1}]


@pytest.mark.parametrize(
    ("sampler", "trials", "expected"),
    [
        ("tpe", 3, "3 trials a replicate, the defaults and 2 random points first, alike in every arm; tpe needs more"),
        ("tpe", 8, "the defaults and 2 random points first, alike in every arm; TPE proposes the other 5"),
        ("random", 8, "the defaults and 7 random points first, alike in every arm"),
        ("gp", 8, "a Gaussian process of completed ones proposes the other 5, in a second or so each; trials stopped"),
        ("cmaes", 30, "the defaults first, alike in every arm; CMA-ES proposes the other 29, in generations of 4"),
        ("grid", 5, "all 5 combinations in each replicate"),
    ],
)
def test_a_plan_says_what_proposes_and_what_stops(sampler: str, trials: int, expected: str) -> None:
    search, stopping = search_in_words(plan_with(sampler, trials=trials))
    assert search.startswith(f"search by {sampler}: ") and expected in search
    assert stopping == "early stopping: ASHA at epochs 1, 3, where one in 3 trials goes on"
    *_, stopping = search_in_words(plan_with(sampler, trials=trials, early_stopping="none"))
    assert stopping == "early stopping: none; every search trial is trained in full"
    assert search_in_words(plan_with(sampler, trials=0)) == []
