"""ASHA with other rungs, or none at all: what is stopped, and that the audit counts it by itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from ablation.ledger.log import read_events
from ablation.paths import RunPaths
from ablation.plan import Plan
from analysis.audit.checks import audit
from tests.support.plain_loop import run_study
from tests.toy_study import toy_plan


def plan_with(**changes: object) -> Plan:
    plan = toy_plan()
    return plan.model_copy(update={"budget": plan.budget.model_copy(update={"trials": 6, "replicates": 2, **changes})})


def searched(paths: RunPaths[Path]) -> pd.DataFrame:
    trials = pd.read_parquet(paths.trials)
    return trials[trials["phase"] == "search"]


@pytest.fixture(scope="module")
def unstopped(tmp_path_factory: pytest.TempPathFactory) -> RunPaths[Path]:
    return run_study(plan_with(early_stopping="none"), tmp_path_factory.mktemp("runs") / "unstopped")


def test_without_early_stopping_every_search_trial_reaches_its_full_length(unstopped: RunPaths[Path]) -> None:
    table = searched(unstopped)
    assert len(table) == 5 * 2 * 6
    assert set(table["status"]) == {"completed"}
    assert (table["epochs_trained"] == 9).all() and table["stopped_at_rung"].isna().all()
    assert not any(event.kind == "decided" for event in read_events(unstopped.ledger))
    assert json.loads(unstopped.study.read_text())["rungs"] == []
    assert audit(unstopped.root) == []


def test_the_audit_finds_a_trial_that_was_stopped_though_nothing_may_be(tmp_path: Path) -> None:
    stopping = run_study(plan_with(), tmp_path / "run")
    assert audit(stopping.root) == [] and "stopped" in set(searched(stopping)["status"])
    study = json.loads(stopping.study.read_text())
    study["plan"]["budget"]["early_stopping"] = "none"
    stopping.study.write_text(json.dumps(study))
    faults = audit(stopping.root)
    assert any("but nothing is stopped early" in fault for fault in faults)
    assert any("but the rungs say None" in fault for fault in faults)


@pytest.mark.parametrize(("eta", "grace", "rungs"), [(2, 1, {1, 2, 4, 8}), (4, 2, {2, 8}), (3, 4, {4})])
def test_trials_stop_at_the_rungs_that_eta_and_grace_give(
    tmp_path: Path, eta: int, grace: int, rungs: set[int]
) -> None:
    paths = run_study(plan_with(reduction_factor=eta, grace_epochs=grace), tmp_path / "run")
    decided = [event.payload for event in read_events(paths.ledger) if event.kind == "decided"]
    assert {row["rung"] for row in decided} <= rungs and min(rungs) in {row["rung"] for row in decided}
    stopped = searched(paths)["stopped_at_rung"].dropna()
    assert len(stopped) and set(stopped) <= rungs
    assert audit(paths.root) == []


def test_a_study_of_before_there_was_a_choice_is_one_with_asha(tmp_path: Path) -> None:
    paths = run_study(plan_with(), tmp_path / "run")
    copy = RunPaths(shutil.copytree(paths.root, tmp_path / "copy"))
    study = json.loads(copy.study.read_text())
    for name in ("early_stopping", "sampler"):
        del study["plan"]["budget"][name]
    copy.study.write_text(json.dumps(study))
    assert audit(copy.root) == []
    assert Plan.model_validate(study["plan"]) == plan_with()
