"""Studies without search: the same hyperparameters, ten seeds an arm, and claims from them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ablation.faults import FaultsError
from ablation.ledger.events import Proposed
from ablation.ledger.log import read_events
from ablation.paths import RunPaths
from ablation.planning.planned_run import plan_run
from ablation.planning.request import Request, check_request
from ablation.resources import Resources
from analysis.audit.checks import audit
from analysis.report.build import render
from search_spaces.space import Budget
from tests.support.plain_loop import run_study
from tests.toy_study import SPACE

ASKED = Request(SPACE, arms=("baseline",), replicates=10, trials=0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunPaths[Path]:
    return run_study(check_request(ASKED, gpus=0).plan, tmp_path_factory.mktemp("runs") / "seeds")


def test_every_arm_is_trained_once_a_replicate_at_the_defaults(run: RunPaths[Path]) -> None:
    trials = pd.read_parquet(run.trials)
    assert trials.groupby(["arm", "phase", "status"]).size().to_dict() == {
        ("baseline", "confirm", "completed"): 10,
        ("reference", "confirm", "completed"): 10,
    }
    proposals = {
        tuple(event.what.proposal.items()) for event in read_events(run.ledger) if isinstance(event.what, Proposed)
    }
    assert proposals == {(("toy.offset", 1.0),)}
    assert trials["config.toy.offset"].unique().tolist() == [1.0]
    seeds = trials.groupby("replicate")["seed"].nunique()
    assert len(seeds) == 10 and set(seeds) == {1}  # shared by the arms
    assert audit(run.root) == []


def test_the_page_compares_ten_pairs_and_says_that_nothing_was_searched(run: RunPaths[Path]) -> None:
    report = render(run.root)
    assert not report.failures
    assert "2 arms × 10 replicates × (no search," in " ".join(report.page.split())
    assert "Nothing was searched" in report.page and "random search" not in report.page
    (comparison,) = report.tables["comparisons"].to_dict("records")
    assert comparison["n"] == 10 and comparison["difference"] == pytest.approx(-0.05)


def test_the_audit_finds_a_configuration_that_is_not_the_default(run: RunPaths[Path], tmp_path: Path) -> None:
    import shutil

    copy = RunPaths(shutil.copytree(run.root, tmp_path / "copy"))
    trials = pd.read_parquet(copy.trials)
    trials["config.toy.offset"] = [0.5, *trials["config.toy.offset"][1:]]
    trials.to_parquet(copy.trials)
    assert any("is not the default, and nothing was searched" in fault for fault in audit(copy.root))


def test_nothing_is_searched_if_there_is_nothing_to_search() -> None:
    bare = SPACE.model_copy(update={"nuisance": {}})
    assert check_request(Request(bare, replicates=3), gpus=0).plan.budget.trials == 0
    assert check_request(Request(bare, replicates=3, trials=2), gpus=0).plan.budget.trials == 2
    assert check_request(Request(SPACE, replicates=3), gpus=0).plan.budget.trials > 0
    assert not check_request(Request(bare, replicates=3), gpus=0).plan.search_is_random


def test_one_replicate_is_enough_if_nothing_is_compared() -> None:
    assert check_request(Request(SPACE, arms=("reference",), replicates=1), gpus=0).plan.comparisons == ()
    with pytest.raises(FaultsError, match="--replicates is 1, but differences between arms have a spread from 2 on"):
        check_request(Request(SPACE, replicates=1), gpus=0)


def test_a_joint_design_cannot_go_without_a_search() -> None:
    with pytest.raises(FaultsError, match="--design joint is a search of all factors"):
        check_request(Request(SPACE, design="joint", trials=0), gpus=0)


def test_a_study_without_search_grows_without_one(run: RunPaths[Path]) -> None:
    larger = Request(SPACE, arms=("baseline",), replicates=12)
    planned = plan_run(larger, "seeds", run.root.parent, Resources(), resume=True, accept_changes=True)
    assert planned.checked.plan.budget == Budget(
        **{**check_request(ASKED, gpus=0).plan.budget.model_dump(), "replicates": 12}
    )
