"""A run goes on, and grows, by its folder alone."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from ablation import resume, study_file
from ablation.execution import run_prepared
from ablation.faults import FaultsError
from ablation.ledger.events import Grown, SessionOpened
from ablation.ledger.log import Ledger, read_events
from ablation.paths import RunPaths
from ablation.planning.planned_run import plan_run
from ablation.planning.request import Request, check_request
from ablation.planning.resumed_run import plan_resume
from ablation.resources import Resources
from ablation.retry_option import WithRetry
from analysis.audit.checks import audit
from tests.toy_study import SPACE

SMALL = Request(SPACE, arms=("baseline",), replicates=2, trials=2)
HERE = Resources(executor="in-process", cpus_per_trial=0.5)
APP = typer.Typer()
APP.command(cls=WithRetry)(resume.main)


@pytest.fixture
def stopped(tmp_path: Path) -> RunPaths[Path]:
    """Make a run that stopped before its first trial, in a session with resources of its own."""
    study = plan_run(SMALL, "toy", tmp_path, HERE.model_copy(update={"max_hours": 1e-9}), resume=False)
    assert run_prepared(study, report=False) == 130
    return RunPaths(tmp_path / study.paths.root.name)


def test_a_run_goes_on_with_its_own_options_and_ends(stopped: RunPaths[Path]) -> None:
    done = CliRunner().invoke(APP, [str(stopped.root), "--trust", "--no-report"])
    assert done.exit_code == 0, done.output
    assert json.loads(stopped.summary.read_text())["completed"] > 0
    sessions = [event.what for event in read_events(stopped.ledger) if isinstance(event.what, SessionOpened)]
    assert [session.resources["max_hours"] for session in sessions] == [1e-9, None]
    assert {session.resources["cpus_per_trial"] for session in sessions} == {0.5}
    assert audit(stopped.root) == []


def test_what_is_left_is_said_and_nothing_runs(stopped: RunPaths[Path]) -> None:
    before = read_events(stopped.ledger)
    done = CliRunner().invoke(APP, [str(stopped.root), "--trust", "--plan", "--replicates", "3"])
    assert done.exit_code == 0 and "18 of 18 trials left" in done.output
    assert read_events(stopped.ledger) == before


def test_a_run_grows_to_more_replicates_and_never_shrinks(stopped: RunPaths[Path]) -> None:
    done = CliRunner().invoke(APP, [str(stopped.root), "--trust", "--no-report", "--replicates", "3"])
    assert done.exit_code == 0, done.output
    assert sorted(pd.read_parquet(stopped.trials)["replicate"].unique()) == [0, 1, 2]
    with pytest.raises(FaultsError, match="--replicates is 2, but the run has 3; a study grows, and never shrinks"):
        plan_resume(stopped.root, replicates=2, trust=True)


def test_every_fault_is_said_at_once(stopped: RunPaths[Path]) -> None:
    with pytest.raises(FaultsError) as caught:
        plan_resume(stopped.root, replicates=1, given={"max_concurrent": 0}, trust=True)
    assert len(caught.value.faults) == 2
    assert "--max-concurrent is 0" in caught.value.faults[1]


def test_a_run_that_was_started_here_goes_on_without_further_words(stopped: RunPaths[Path]) -> None:
    done = CliRunner().invoke(APP, [str(stopped.root), "--no-report"])
    assert done.exit_code == 0, done.output


def test_code_of_a_strangers_run_is_imported_only_if_trusted(
    stopped: RunPaths[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another's"))
    with pytest.raises(FaultsError, match=r"names code of its own, .*add --trust"):
        plan_resume(stopped.root)
    with pytest.raises(FaultsError, match="is no run directory"):
        plan_resume(tmp_path / "none")


@pytest.mark.parametrize("where", ["study.json", "a grown event"])
@pytest.mark.parametrize("part", ["trial", "predictor", "dataset"])
def test_nothing_that_a_strangers_plan_names_is_imported_wherever_it_stands(
    tmp_path: Path, where: str, part: str
) -> None:
    """A run that names a shipped study's trial may still name a program to call as its data set."""
    honest = check_request(Request("sorting", replicates=2, trials=1), gpus=0).plan
    named = honest.model_copy(update={"space": honest.space.model_copy(update={part: "subprocess:call"})})
    paths = RunPaths(tmp_path / "run")
    described = study_file.describe("run", honest, "quick", None, [])
    study_file.write(described.model_copy(update={"plan": honest if where == "a grown event" else named}), paths)
    with Ledger(paths.ledger) as ledger:
        if where == "a grown event":
            ledger.append(Grown(named.model_dump(mode="json"), confirmed_before=0))
    with pytest.raises(FaultsError, match=r"names code of its own, .*subprocess:call"):
        plan_resume(paths.root)


def test_a_cluster_is_not_for_one_process(stopped: RunPaths[Path]) -> None:
    with pytest.raises(FaultsError, match="--executor in-process runs here, but --address names a cluster"):
        plan_resume(stopped.root, given={"address": "192.0.2.1:6379"}, trust=True)
