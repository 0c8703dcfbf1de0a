"""A whole study in an object store: the same as on a disk, wherever it goes on and whoever takes it over."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from ablation import checkpoint, study_file
from ablation.best_trial import best_available, lost_checkpoints
from ablation.engine.results import Results
from ablation.engine.trial_files import local_side
from ablation.engine.work_folder import LOCK, WorkFolder
from ablation.engine.worker import StepReport, TrialEnvironment, Worker
from ablation.execution import run_prepared
from ablation.faults import FaultsError
from ablation.ledger.log import Ledger
from ablation.node_cache import copy_of, fetch
from ablation.paths import RunPaths
from ablation.plan import PlannedTrial
from ablation.planning.planned_run import PlannedRun, plan_run
from ablation.planning.request import Request
from ablation.planning.resumed_run import plan_resume
from ablation.rerun import rerun
from ablation.resources import Resources
from ablation.store import AnyPath, StorePath, files_below, located, name_in, opened, put_whole
from ablation.study.study import Study
from ablation.user_code import UserCode
from analysis.audit.checks import audit
from analysis.report.build import render
from tests.support.object_store import BUCKET, served, settings
from tests.support.plain_driver import EPOCHS_BEFORE_END, put_in_place

HERE = Resources(executor="in-process")
SMALL = Request("tests.chaos.trial:SPACE", arms=("momentum=*",), replicates=2, trials=2, epochs=3)
KEY = re.compile(r"[A-Za-z0-9._/-]+")
# A checkpoint's digest is also of how long its epochs took.
TIMES = ["wall_s", "images_per_s", "checkpoint", "removed_checkpoint"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a store, and return where runs lie in it."""
    with served() as endpoint, pytest.MonkeyPatch.context() as patch:
        for name, value in settings(endpoint).items():
            patch.setenv(name, value)
        patch.setenv("ABLATION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield f"{BUCKET}/runs"


def planned(out: AnyPath | str, name: str) -> PlannedRun:
    return plan_run(SMALL, name, located(out), HERE, resume=False)


def swept(out: AnyPath | str, name: str = "whole") -> RunPaths:
    study = planned(out, name)
    assert run_prepared(study, report=False) == 0
    return study.paths


@pytest.fixture(scope="module")
def whole(store: str) -> RunPaths:
    return swept(store)


def frame(path: AnyPath) -> pd.DataFrame:
    with opened(path) as file:
        table: pd.DataFrame = pq.read_table(file).to_pandas()
    return table


def copied(paths: RunPaths, folder: Path) -> Path:
    """Copy a run to the disk, file by file."""
    for path in files_below(paths.root, deep=True):
        here = folder / name_in(paths.root, path)
        here.parent.mkdir(parents=True, exist_ok=True)
        here.write_bytes(path.read_bytes())
    return folder


def test_a_study_in_a_store_comes_out_as_one_on_the_disk(whole: RunPaths, tmp_path: Path) -> None:
    here = swept(tmp_path)
    pd.testing.assert_frame_equal(frame(whole.trials).drop(columns=TIMES), frame(here.trials).drop(columns=TIMES))
    there, local = (frame(paths.epochs).drop(columns=["epoch_s"]) for paths in (whole, here))
    pd.testing.assert_frame_equal(there, local)
    files = [{name_in(paths.root, path) for path in files_below(paths.root, deep=True)} for paths in (whole, here)]
    known = re.compile(r"(ledger/|checkpoints/.*/epoch-\d+-|logs/).*")  # digests and tokens; one process has no logs
    assert len({frozenset(name for name in names if not known.fullmatch(name)) for names in files}) == 1
    checkpoints = [{name[: name.rindex("-")] for name in names if name.startswith("checkpoints/")} for names in files]
    assert checkpoints[0] == checkpoints[1] != set()


def test_every_key_is_one_that_signers_and_readers_of_partitions_take(whole: RunPaths) -> None:
    names = [name_in(whole.root, path) for path in files_below(whole.root, deep=True)]
    assert any("momentum" in name for name in names)
    assert [name for name in names if not KEY.fullmatch(name)] == []


def test_the_report_of_a_study_in_a_store_is_that_of_its_copy_byte_for_byte(whole: RunPaths, tmp_path: Path) -> None:
    there, here = render(whole.root), render(copied(whole, tmp_path / "whole"))
    assert there.page == here.page and there.files == here.files and there.findings == here.findings


def test_audit_rerun_and_the_best_model_work_from_the_store(whole: RunPaths) -> None:
    assert audit(whole.root) == []
    assert lost_checkpoints(whole.root) == []
    best, _ = best_available(whole.root)
    assert isinstance(best.checkpoint, StorePath)
    assert copy_of(best.checkpoint).read_bytes() == best.checkpoint.read_bytes()
    assert checkpoint.load(best.checkpoint, "numpy").epoch == SMALL.epochs
    assert rerun(whole.root, best.trial_id, trust=True).is_exact


def test_a_name_in_a_store_is_given_once(whole: RunPaths, store: str) -> None:
    with pytest.raises(FaultsError, match=rf"the run {whole.root} exists; go on with it by --resume"):
        planned(store, "whole")
    first, second = planned(store, "twice"), planned(store, "twice")
    assert run_prepared(first, report=False) == 0
    with pytest.raises(FaultsError, match="another driver has just started"):
        run_prepared(second, report=False)


def test_a_store_that_cannot_be_written_is_said_before_anything_starts() -> None:
    with pytest.raises(FaultsError, match=r"--out is 's3://no-such-bucket/runs', but nothing can be written there"):
        planned("s3://no-such-bucket/runs", "one")


def test_an_interrupted_study_goes_on_elsewhere_by_its_address_alone(
    whole: RunPaths, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = planned(store, "interrupted")
    with monkeypatch.context() as patch:
        put_in_place(patch, "interrupted")
        assert run_prepared(study, report=False) == 130
    monkeypatch.setenv("ABLATION_CACHE", str(tmp_path))  # another machine's
    assert len(frame(study.paths.epochs)) == EPOCHS_BEFORE_END
    assert run_prepared(plan_resume(study.paths.root, trust=True), report=False) == 0
    assert audit(study.paths.root) == []
    trials = frame(study.paths.trials)
    assert sorted(trials["attempts"])[-2:] == [1, 2]
    expected = frame(whole.trials).drop(columns=[*TIMES, "attempts"])
    pd.testing.assert_frame_equal(trials.drop(columns=[*TIMES, "attempts"]), expected)
    assert not any("__search__" in path.parent.name for path in files_below(study.paths.checkpoints, deep=True))
    assert not local_side(study.paths).root.exists()


def test_a_second_driver_takes_a_study_in_a_store_over(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    study, taken, codes = planned(store, "taken"), [0], []
    take = Results.take

    def take_over(self: Results, trial: PlannedTrial, report: StepReport, node: str | None = None) -> bool:
        goes_on = take(self, trial, report, node)
        taken[0] += 1
        if taken[0] == EPOCHS_BEFORE_END:
            second = plan_resume(study.paths.root, trust=True, given={"executor": "in-process"})
            codes.append(run_prepared(second, report=False))
        return goes_on

    monkeypatch.setattr(Results, "take", take_over)
    assert run_prepared(study, report=False) == 1
    assert codes == [0]
    assert audit(study.paths.root) == []
    assert set(frame(study.paths.trials)["status"]) <= {"completed", "stopped"}


def environment(paths: RunPaths) -> TrialEnvironment:
    return TrialEnvironment(
        paths.root, "tests.chaos.trial:run_trial", None, None, "cpu", 1, (1,), UserCode.here(), 60.0
    )


def test_a_trial_goes_on_from_its_newest_checkpoint_on_another_machine(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = planned(store, "moved").checked
    paths = RunPaths(located(f"{store}/moved"))
    study_file.write(study_file.describe("moved", checked.plan, "quick", None, []), paths)
    with Ledger(paths.ledger) as ledger:
        study = Study(checked.plan, ledger)
        study.open_session(process=1, resources={})
        assignment = study.next_assignment()
    assert assignment is not None
    reports = []
    for machine in ("first", "second"):
        monkeypatch.setenv("ABLATION_CACHE", str(tmp_path / machine))
        worker = Worker()
        worker.start(assignment, environment(paths))
        reports.append([worker.step().record for _ in range(2)])
        worker.finish()  # and it is killed
    # How long an epoch took is the clock's: equal only where it was not trained again.
    assert reports[0] == reports[1]


def test_copies_of_checkpoints_make_room_for_newer_ones(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABLATION_CACHE", str(tmp_path))
    folder = located(f"{store}/copies")
    checkpoints = [folder / f"epoch-{number:05d}-000000000000.safetensors" for number in range(3)]
    for number, path in enumerate(checkpoints):
        assert isinstance(path, StorePath)
        put_whole(path, bytes(1000))
        assert fetch(path, most_bytes=2500).read_bytes() == bytes(1000)
        copy = copy_of(path)
        os.utime(copy, (number, number))
    assert [copy_of(path).exists() for path in checkpoints if isinstance(path, StorePath)] == [False, True, True]


def test_a_process_sweeps_what_dead_ones_left_and_nothing_of_the_living(tmp_path: Path) -> None:
    living = WorkFolder(tmp_path)
    dead = tmp_path / "work-1-dead"
    dead.mkdir()
    (dead / LOCK).touch()
    other = WorkFolder(tmp_path)
    assert living.path.is_dir() and other.path.is_dir() and not dead.exists()
    living.remove()
    other.remove()
    assert list(tmp_path.iterdir()) == []
