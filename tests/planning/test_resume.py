"""A run goes on, and grows, by its folder alone."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from ablation import execution, resume, study_file
from ablation.console.messages import TextMessages
from ablation.execution import run_prepared
from ablation.faults import FaultsError
from ablation.ledger.events import Grown, SessionOpened
from ablation.ledger.log import Ledger, read_events
from ablation.paths import RunPaths
from ablation.planning.growth import space_changes
from ablation.planning.planned_run import plan_run
from ablation.planning.request import Request, check_request
from ablation.planning.resumed_run import plan_resume
from ablation.resources import Resources
from ablation.retry_option import WithRetry
from ablation.study.growth import open_study
from analysis.audit.checks import audit
from search_spaces.space import Choice, Float, Space
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


def test_of_a_run_with_nothing_left_no_ray_is_said_to_start(
    stopped: RunPaths[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = [str(stopped.root), "--no-report"]
    assert CliRunner().invoke(APP, typed).exit_code == 0
    said: list[str] = []
    monkeypatch.setattr(TextMessages, "step", lambda self, what: said.append(what))
    done = CliRunner().invoke(APP, [*typed, "--executor", "ray"])
    assert done.exit_code == 0 and "nothing to do" in done.output
    assert said == [f"reading {stopped.root}"]


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


@pytest.mark.parametrize("growth", ["replicates", "level"])
@pytest.mark.parametrize("moment", ["before its sweep", "in its sweep"])
def test_a_growth_that_was_interrupted_is_carried_out_by_the_command_that_was_printed(
    stopped: RunPaths[Path], monkeypatch: pytest.MonkeyPatch, moment: str, growth: str
) -> None:
    value = "3" if growth == "replicates" else written(stopped.root.parent, with_speeds(5.0, 8.0, 3.0))
    option, column = {"replicates": ("--replicates", "replicate"), "level": ("--space", "arm")}[growth]
    before = set(pd.read_parquet(stopped.trials)[column])

    def interrupted(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setenv("COLUMNS", "400")
    typed = [str(stopped.root), "--no-report", option, value]
    typed += ["--max-hours", "1e-9"] if moment == "in its sweep" else []
    monkeypatch.setattr(sys, "argv", ["ablation resume", *typed])
    with monkeypatch.context() as patched:
        if moment == "before its sweep":
            patched.setattr(execution, "_sweep", interrupted)
        cut = CliRunner().invoke(APP, typed)
    assert cut.exit_code == 130
    printed = cut.output.rpartition("go on with: ")[2].split()
    assert (option in printed) == (moment == "before its sweep")  # else the ledger has it
    done = CliRunner().invoke(APP, [*printed[2:], "--no-report"])
    assert done.exit_code == 0, done.output
    assert set(pd.read_parquet(stopped.trials)[column]) - before == {2 if growth == "replicates" else "speed=8.0"}


def written(folder: Path, space: Space) -> str:
    """Write a space as a file, as a user would have it, and return what ``--space`` takes."""
    (folder / "space.yaml").write_text(json.dumps(space.model_dump(mode="json")))
    return str(folder / "space.yaml")


def with_speeds(*speeds: float) -> Space:
    return SPACE.model_copy(update={"factors": {**SPACE.factors, "toy.speed": Choice(values=speeds)}})


def test_a_run_grows_by_the_levels_that_its_space_has_gained_and_by_arms_of_its_own(
    stopped: RunPaths[Path], tmp_path: Path
) -> None:
    space = written(tmp_path, with_speeds(5.0, 8.0, 3.0))
    before = study_file.read(stopped).plan
    wider = plan_resume(stopped.root, space=space, trust=True).checked.plan
    assert [arm.name for arm in wider.arms] == ["reference", "speed=8.0", "baseline"]
    assert {trial for trial in wider.trials() if trial.arm != "speed=8.0"} == set(before.trials())
    assert ("speed=8.0", "reference") in wider.comparisons
    whole = plan_resume(stopped.root, arms=["*"], trust=True).checked.plan
    assert whole.arms == SPACE.arms() and whole.space == before.space
    done = CliRunner().invoke(APP, [str(stopped.root), "--trust", "--plan", "--space", space])
    assert "  speed=8.0: 4 search, 2 confirm; a new arm" in done.output


def test_what_was_set_when_the_run_began_stays_set_when_its_space_is_read_again(tmp_path: Path) -> None:
    set_then = replace(SMALL, settings=("toy.offset=0.5", "toy.misbehave=no"))
    started = plan_run(set_then, "toy", tmp_path, HERE.model_copy(update={"max_hours": 1e-9}), resume=False)
    assert run_prepared(started, report=False) == 130
    wider = plan_resume(started.paths.root, space=written(tmp_path, with_speeds(3.0, 5.0, 8.0))).checked.plan
    assert wider.space.fixed == {"toy.misbehave": "no", "toy.offset": 0.5} and not wider.arms[1].searched


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        (with_speeds(3.0, 8.0), "factor toy.speed lacks 5.0, which the run has"),
        (SPACE.model_copy(update={"nuisance": {"toy.offset": Float(low=-1, high=1, default=0)}}), "nuisance differs"),
        (SPACE.model_copy(update={"fixed": {"toy.misbehave": "raise"}}), "fixed differs"),
        (SPACE.model_copy(update={"baseline": {"toy.bonus": 0.05, "toy.speed": 5.0}}), "baseline differs"),
        (SPACE.model_copy(update={"trial": "tests.support.odd_study:run_trial"}), "trial differs"),
    ],
)
def test_any_other_change_of_the_space_is_refused_by_name(
    stopped: RunPaths[Path], tmp_path: Path, changed: Space, fault: str
) -> None:
    if "lacks" in fault:  # what refers to a level goes with it
        changed = changed.model_copy(update={"baseline": {"toy.bonus": -0.05, "toy.speed": 8.0}})
    with pytest.raises(FaultsError) as caught:
        plan_resume(stopped.root, space=written(tmp_path, changed), trust=True)
    assert any(f"--space: the space's {fault}; only levels may be new" in said for said in caught.value.faults)


def test_arms_that_there_are_none_of_and_too_few_replicates_for_new_ones_are_faults(tmp_path: Path) -> None:
    alone = Request(SPACE, arms=("reference",), replicates=1, trials=2)
    started = plan_run(alone, "toy", tmp_path, HERE.model_copy(update={"max_hours": 1e-9}), resume=False)
    assert run_prepared(started, report=False) == 130
    with pytest.raises(FaultsError, match=r"--arms 'nothing\*' matches no arm"):
        plan_resume(started.paths.root, arms=["nothing*"])
    with pytest.raises(FaultsError, match="--replicates is 1, but differences between arms have a spread from 2 on"):
        plan_resume(started.paths.root, arms=["baseline"])


def test_a_level_is_no_further_arm_where_levels_are_searched() -> None:
    wider = with_speeds(3.0, 5.0, 8.0)
    (change,) = space_changes(SPACE, wider, is_joint=True)
    assert "factor toy.speed has 8.0, too, which a joint study searches" in change
    assert list(space_changes(SPACE, wider, is_joint=False)) == []
    factors = {**SPACE.factors, "toy.other": Choice(values=(1, 2))}
    assert list(space_changes(SPACE, SPACE.model_copy(update={"factors": factors}), is_joint=False)) == [
        "the space's factor toy.other is new"
    ]


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


@pytest.mark.parametrize("given", [{"address": "local"}, {"executor": "in-process"}])
def test_a_run_of_a_cluster_that_is_gone_goes_on_here(stopped: RunPaths[Path], given: dict[str, str]) -> None:
    last = {**HERE.model_dump(), "executor": "ray", "address": "192.0.2.1:6379", "max_nodes": 2, "gpus_per_trial": 0}
    with Ledger(stopped.ledger) as ledger:
        open_study(study_file.read(stopped), ledger).open_session(process=1, resources=last)
    resources = plan_resume(stopped.root, given=given, trust=True).resources
    assert (resources.address, resources.max_nodes, resources.cpus_per_trial) == (None, None, 0.5)


def test_what_a_trial_takes_may_be_another_share_on_another_machine(stopped: RunPaths[Path]) -> None:
    typed = [str(stopped.root), "--trust", "--no-report", "--cpus-per-trial", "0.25", "--gpus-per-trial", "0"]
    done = CliRunner().invoke(APP, typed)
    assert done.exit_code == 0, done.output
    *_, session = (event.what for event in read_events(stopped.ledger) if isinstance(event.what, SessionOpened))
    assert (session.resources["cpus_per_trial"], session.resources["gpus_per_trial"]) == (0.25, 0)


STUDY_WITH_DATA = """
from pathlib import Path
from pydantic import BaseModel
from search_spaces.space import Space
from tests.toy_study import SPACE as TOY, run_trial

class Pictures(BaseModel):
    uri: str
    fingerprint: str

def opened(uri, config):
    return Pictures(uri=uri, fingerprint=Path(uri).read_text())

SPACE = TOY.model_copy(update={"dataset": __name__ + ":opened"})
"""


def test_data_that_has_moved_is_looked_for_where_the_command_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    for folder in (study, elsewhere):
        folder.mkdir()
        (folder / "pictures").write_text("the same")
    (study / "with_pictures.py").write_text(STUDY_WITH_DATA)
    monkeypatch.chdir(study)
    monkeypatch.syspath_prepend(study)
    request = replace(SMALL, space="with_pictures.py", data="pictures")
    planned = plan_run(request, "toy", study / "runs", HERE.model_copy(update={"max_hours": 1e-9}), resume=False)
    assert run_prepared(planned, report=False) == 130
    (study / "pictures").write_text("others by now")
    monkeypatch.chdir(elsewhere)
    again = plan_resume(planned.paths.root, data="pictures", trust=True)
    assert again.checked.data == {"uri": "pictures", "fingerprint": "the same"}


def test_the_command_that_started_a_search_goes_on_with_it_after_it_has_grown(tmp_path: Path) -> None:
    alone = SPACE.model_copy(update={"factors": {}, "reference": {}, "baseline": {}})
    request = Request(alone, replicates=1, seeds=1)
    started = plan_run(request, "toy", tmp_path, HERE.model_copy(update={"max_hours": 1e-9}), resume=False)
    assert run_prepared(started, report=False) == 130
    more = started.checked.plan.budget.trials + 2
    grown = plan_resume(started.paths.root, trials=more, given={"max_hours": 1e-9}, trust=True)
    assert run_prepared(grown, report=False) == 130
    again = plan_run(request, "toy", tmp_path, HERE, resume=True)
    assert again.checked.plan.budget.trials == more
    with pytest.raises(FaultsError, match=r"ablation resume .* goes on with it as it is"):
        plan_run(replace(request, trials=more - 1), "toy", tmp_path, HERE, resume=True)
