"""--keep: what stays in a run when it ends, what goes by an event, and that no row points to what is gone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd
import pytest

from ablation import tables
from ablation.best_trial import Selection, best_available, lost_checkpoints
from ablation.checkpoint import load
from ablation.engine import checkpoint_removal
from ablation.execution import run_prepared
from ablation.faults import FaultsError
from ablation.ledger import log
from ablation.ledger.log import read_events
from ablation.paths import RunPaths
from ablation.planning.planned_run import plan_run
from ablation.planning.request import Request
from ablation.planning.resumed_run import plan_resume
from ablation.rerun import rerun
from ablation.resources import Keep, Resources
from ablation.run_dir import run_dir
from ablation.status import look
from ablation.store import AnyPath, StorePath, files_below, located, name_in, opened
from ablation.study.study import Study
from analysis.audit.checks import audit
from tests.support.object_store import BUCKET, served, settings
from tests.toy_study import toy_plan

ASKED = Request("tests.chaos.trial:SPACE", arms=("baseline",), replicates=2, trials=2, epochs=2)


class Killed(Exception):  # noqa: N818  # not an error of the program's
    """The driver is gone, just now."""


def swept(out: AnyPath, keep: Keep | None, name: str = "run") -> RunPaths:
    study = plan_run(ASKED, name, out, Resources(executor="in-process", keep=keep), resume=False)
    assert run_prepared(study, report=False) == 0
    return study.paths


def resumed(paths: RunPaths, **given: object) -> None:
    assert run_prepared(plan_resume(paths.root, given=given), report=False) == 0


def trials_of(paths: RunPaths) -> pd.DataFrame:
    with opened(paths.trials) as file:
        table: pd.DataFrame = pd.read_parquet(file).set_index("trial_id")
    return table


def there(paths: RunPaths) -> set[str]:
    """Return the files in checkpoints/, as rows name them."""
    return {name_in(paths.root, path) for path in files_below(paths.checkpoints, deep=True)}


def best_searches(trials: pd.DataFrame) -> set[str]:
    """Work out each arm's best search trial of full length, from the table alone; of equals the first."""
    whole = trials[(trials.phase == "search") & (trials.status == "completed")]
    return {str(of_arm["metric.val_accuracy"].idxmax()) for _, of_arm in whole.groupby("arm")}


def hold(paths: RunPaths, kept_searches: set[str]) -> None:
    """Hold a finished run to what it should have kept of its searches: rows, files, events, audit and status."""
    trials, files = trials_of(paths), there(paths)
    pointing = trials["checkpoint"].dropna()
    assert set(pointing) <= files
    assert {name for name in pointing.index if "/search/" in name} == kept_searches
    assert set(pointing.index) >= {name for name in trials.index if "/confirm/" in name}
    gone = trials["removed_checkpoint"].dropna()
    assert set(gone.index) == {name for name in trials.index if "/search/" in name} - kept_searches
    assert set(gone).isdisjoint(files)
    reported = {
        event.trial_id: event.payload["checkpoint"]
        for event in read_events(paths.ledger)
        if event.kind == "checkpoint_removed"
    }
    assert reported == gone.to_dict()
    assert {Path(name).parent.name for name in files} == {Path(name).parent.name for name in pointing}
    assert lost_checkpoints(paths.root) == [] and audit(paths.root) == []
    assert look(run_dir(paths.root)).facts()["checkpoints"] == {"kept": len(pointing), "removed": len(gone)}


@pytest.fixture(scope="module")
def all_kept(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    return swept(tmp_path_factory.mktemp("runs"), "all")


@pytest.fixture
def everything(all_kept: RunPaths, tmp_path: Path) -> RunPaths:
    """Copy a run that has kept all."""
    assert isinstance(all_kept.root, Path)
    shutil.copytree(all_kept.root, tmp_path / "run")
    return RunPaths(tmp_path / "run")


def searches(paths: RunPaths) -> set[str]:
    return {name for name in trials_of(paths).index if "/search/" in name}


def test_confirm_trials_keep_theirs_and_of_search_trials_what_was_asked_for(all_kept: RunPaths, tmp_path: Path) -> None:
    hold(swept(tmp_path, None, "usual"), set())
    some = swept(tmp_path, "best-per-arm", "some")
    kept = best_searches(trials_of(some))
    assert len(kept) == 2
    hold(some, kept)
    for arm in ("reference", "baseline"):
        assert best_available(some.root, Selection(arm, phase="search"))[0].trial_id in kept
    hold(all_kept, searches(all_kept))


def test_a_run_goes_on_keeping_what_it_kept_until_told_otherwise(everything: RunPaths) -> None:
    resumed(everything)
    hold(everything, searches(everything))
    resumed(everything, keep="best-per-arm")
    hold(everything, best_searches(trials_of(everything)))
    resumed(everything, keep="confirmed")
    hold(everything, set())


def test_what_was_removed_is_made_again_and_stays(everything: RunPaths) -> None:
    first = best_available(everything.root, Selection(phase="search"))[0]
    assert first.checkpoint is not None
    before = load(first.checkpoint, "numpy").tensors
    resumed(everything, keep="confirmed")
    with pytest.raises(FileNotFoundError, match=r"they were not kept \(--keep\); .* makes the best one again"):
        best_available(everything.root, Selection(phase="search"))
    assert rerun(everything.root, first.trial_id, keep=True).is_exact
    resumed(everything)
    again, made = best_available(everything.root, Selection(phase="search"))
    assert again.trial_id == first.trial_id
    assert all(made.tensors[name].numpy().tobytes() == before[name].tobytes() for name in before)


def test_a_file_that_came_after_the_removal_goes_when_the_next_session_begins(everything: RunPaths) -> None:
    resumed(everything, keep="confirmed")
    late = everything.checkpoint_dir(min(searches(everything))) / "epoch-00000-late.safetensors"
    assert isinstance(late, Path)
    late.parent.mkdir(exist_ok=True)
    late.touch()
    resumed(everything, keep="confirmed")
    hold(everything, set())


@pytest.mark.parametrize("moment", ["events", "files"])
def test_a_driver_that_is_killed_between_event_and_removal_loses_nothing_and_the_next_one_finishes(
    everything: RunPaths, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    files = there(everything)

    def killed(*anything: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        # Before the events are on disk, or before the files are gone.
        patch.setattr(
            *(log, "put_part", killed) if moment == "events" else (checkpoint_removal, "remove_folders", killed)
        )
        with pytest.raises(Killed):
            resumed(everything, keep="confirmed")
    assert there(everything) == files
    tables.materialise(everything)
    pointing = trials_of(everything)["checkpoint"].dropna()
    assert any("/search/" in name for name in pointing.index) == (moment == "events")
    resumed(everything, keep="confirmed")
    hold(everything, set())


def test_a_removal_that_goes_wrong_is_raised_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: AnyPath) -> None:
        raise ArithmeticError(f"cannot remove {folder.name}")

    monkeypatch.setattr(checkpoint_removal, "remove_folder", broken)
    with log.Ledger(tmp_path / "ledger") as ledger:
        study = Study(toy_plan(), ledger)
        removal = checkpoint_removal.CheckpointRemoval(study, RunPaths(tmp_path), ledger)
        study.unkept.append("baseline/0/search/1")
        removal.go_on()
        with pytest.raises(ArithmeticError, match="cannot remove baseline__0__search__1"):
            removal.close()


def test_what_a_store_kept_although_it_was_removed_is_removed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(checkpoint_removal, "remove_folder", lambda folder: None)  # the store is away
    monkeypatch.setattr(checkpoint_removal, "remove_folders", lambda folders: asked.extend(one.name for one in folders))
    with log.Ledger(tmp_path / "ledger") as ledger:
        study = Study(toy_plan(), ledger)
        paths = RunPaths(StorePath("store://", PurePosixPath("runs/one")))
        removal = checkpoint_removal.CheckpointRemoval(study, paths, ledger)
        study.unkept.append("baseline/0/search/1")
        removal.go_on()
        study.unkept.append("baseline/0/search/2")
        removal.close()
        removal.finish()
    assert sorted(asked) == ["baseline__0__search__1", "baseline__0__search__2"]


def test_better_ones_that_were_not_kept_are_said(everything: RunPaths) -> None:
    resumed(everything, keep="best-per-arm")
    kept = best_available(everything.root, Selection("baseline", phase="search"))[0]
    assert isinstance(kept.checkpoint, Path)
    kept.checkpoint.unlink()
    with pytest.raises(FileNotFoundError) as reported:
        best_available(everything.root, Selection("baseline", phase="search"))
    trials = trials_of(everything)
    whole = trials[(trials.arm == "baseline") & (trials.phase == "search") & (trials.status == "completed")]
    assert str(reported.value).count("was not kept (--keep)") == len(whole) - 1
    assert f"{kept.trial_id} is missing" in str(reported.value)


def test_what_cannot_be_kept_is_refused_with_the_choices(all_kept: RunPaths) -> None:
    with pytest.raises(FaultsError, match="--keep is 'best', but must be 'confirmed', 'best-per-arm' or 'all'"):
        plan_resume(all_kept.root, given={"keep": "best"})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AnyPath]:
    with served() as endpoint:
        for name, value in settings(endpoint).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("ABLATION_CACHE", str(tmp_path / "cache"))
        yield located(f"{BUCKET}/runs")


def test_a_run_in_a_store_keeps_the_same(store: AnyPath) -> None:
    some = swept(store, "best-per-arm", "some")
    hold(some, best_searches(trials_of(some)))
    whole = swept(store, "all", "whole")
    hold(whole, searches(whole))
    resumed(whole, keep="best-per-arm")
    hold(whole, best_searches(trials_of(whole)))
