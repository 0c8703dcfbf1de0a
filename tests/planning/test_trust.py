"""A stranger's run directory runs no code; a trusted one finds its own, from any folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ablation import own_runs, study_file
from ablation.best_trial import lost_checkpoints
from ablation.engine.slots import Slots
from ablation.faults import FaultsError
from ablation.ledger.log import Ledger
from ablation.paths import RunPaths
from ablation.plan import Plan
from ablation.planning.request import Request, check_request
from ablation.rerun import rerun, show
from ablation.reuse import load_best
from ablation.study_file import StudyFile
from ablation.trust import allow_code, needs_trust
from ablation.user_code import UserCode
from tests.chaos import elsewhere
from tests.support.ledgers import append
from tests.support.plain_loop import run_study

ROOT = Path(__file__).parents[2]
EVIL = "import pathlib\npathlib.Path(__file__).with_name('was_run').touch()\ndef run_trial(*_): pass\n"


@pytest.fixture
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunPaths[Path]]:
    """Run a study of a user's own, started in its folder; we are elsewhere afterwards."""
    home = tmp_path / "home"
    elsewhere.write_study(home, "mine.py", neighbour="my_neighbour")
    (home / "data.csv").write_text("0.5")
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(home)
    plan = check_request(Request("mine.py", budget="quick"), gpus=0).plan
    yield run_study(plan, tmp_path / "runs/mine")
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def command(program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    full = [sys.executable, "-P", "-m", program, *arguments]
    return subprocess.run(full, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_a_users_own_study_is_imported_only_if_trusted_and_then_from_any_folder(
    swept: RunPaths[Path], tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/my_neighbour.py").write_text("GAIN = -100.0\n")
    asked = (str(swept.root), "reference/0/confirm/0")
    refused = command("ablation.rerun", *asked, cwd=tmp_path / "elsewhere")
    assert refused.returncode == 2
    assert "names code of its own, mine:run_trial" in refused.stderr and "add --trust" in refused.stderr
    again = command("ablation.rerun", *asked, "--trust", cwd=tmp_path / "elsewhere")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "all metrics bit for bit" in again.stdout


def test_a_sample_of_trials_is_run_again_and_noted_for_the_report(swept: RunPaths[Path], tmp_path: Path) -> None:
    again = command("ablation.rerun", str(swept.root), "--sample", "3", "--trust", cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    noted = json.loads(swept.reruns.read_text())
    assert len(noted) == 3 and {one["agreement"] for one in noted.values()} == {"exact"}
    assert {trial.split("/")[0] for trial in noted} == {"reference", "baseline"}
    assert {trial.split("/")[2] for trial in noted} == {"search", "confirm"}


def test_a_trial_or_a_number_is_wanted(swept: RunPaths[Path]) -> None:
    app = typer.Typer()
    app.command()(show)
    for arguments, fault in {
        (): "give either a TRIAL or --sample N",
        ("reference/0/confirm/0", "--sample", "2"): "give either",
        ("--sample", "0"): "--sample is 0",
        ("no/0/search/0",): "is no trial of",
    }.items():
        refused = CliRunner().invoke(app, [str(swept.root), *arguments, "--trust"])
        assert refused.exit_code == 2 and fault in refused.output


def is_trusted(file: StudyFile, paths: RunPaths[Path]) -> bool:
    return not needs_trust(file, paths)


def test_a_run_is_its_users_own_where_its_study_json_was_written_and_as_long_as_it_names_the_same(
    swept: RunPaths[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = study_file.read(swept)
    assert not is_trusted(file, swept)
    own_runs.note(swept.study.read_bytes())
    assert is_trusted(file, swept)
    allow_code(file, swept, trust=False)
    moved = RunPaths(Path(shutil.copytree(swept.root, tmp_path / "moved")))
    assert is_trusted(study_file.read(moved), moved)
    # A later event may replace the plan, and whoever writes it need not be the one who started the run.
    space = file.plan.space.model_copy(update={"dataset": "subprocess:call"})
    grown = file.model_copy(update={"plan": file.plan.model_copy(update={"space": space})})
    assert not is_trusted(grown, swept)
    elsewhere = UserCode(folder=str(tmp_path), import_path=(str(tmp_path / "evil"),))
    assert not is_trusted(file.model_copy(update={"user_code": elsewhere}), swept)
    # Nor does a study.json that says something else by now.
    moved.study.unlink()
    study_file.write(file.model_copy(update={"user_code": elsewhere}), moved)
    assert not is_trusted(study_file.read(moved), moved)


def test_a_record_of_started_runs_that_others_may_write_into_counts_for_nothing(
    swept: RunPaths[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    own_runs.note(swept.study.read_bytes())
    (mark,) = (tmp_path / "state").rglob("started/*")
    assert is_trusted(study_file.read(swept), swept)
    mark.parent.chmod(0o777)
    assert not is_trusted(study_file.read(swept), swept)


def test_where_no_record_can_be_kept_a_run_starts_and_is_a_strangers(
    swept: RunPaths[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    own_runs.note(swept.study.read_bytes())
    assert not is_trusted(study_file.read(swept), swept)


def test_code_inside_a_run_directory_is_never_imported(swept: RunPaths[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    (swept.root / "mine.py").write_text(EVIL)
    file = study_file.read(swept)
    inside = UserCode(folder=str(swept.root), import_path=(str(swept.root),), study_file=str(swept.root / "mine.py"))
    forged = file.model_copy(update={"user_code": inside})
    for trust in (False, True):
        with pytest.raises(FaultsError, match="code inside itself" if trust else "add --trust"):
            allow_code(forged, swept, trust=trust)
    monkeypatch.chdir(swept.root)
    with pytest.raises(FaultsError, match="code inside itself"):
        allow_code(file, swept, trust=True)
    assert not (swept.root / "was_run").exists()


def test_code_inside_a_run_is_not_imported_by_any_way_that_leads_there(
    swept: RunPaths[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = RunPaths(swept.root.rename(swept.root.with_name("foreign")))
    (swept.root / "evil.py").write_text(EVIL)
    file = study_file.read(swept)
    space = file.plan.space.model_copy(update={"trial": "foreign.evil:run_trial"})
    plan = file.plan.model_copy(update={"space": space})
    outside = UserCode(folder=str(swept.root.parent), import_path=(str(swept.root.parent),))
    forged = file.model_copy(update={"user_code": outside, "plan": plan})
    with pytest.raises(FaultsError, match="code inside itself"):
        allow_code(forged, swept, trust=True)
    space = space.model_copy(update={"trial": "evil:run_trial"})
    unknown = file.model_copy(update={"user_code": None, "plan": plan.model_copy(update={"space": space})})
    monkeypatch.setattr(sys, "path", [str(swept.root), *sys.path])
    with pytest.raises(FaultsError, match="code inside itself"):
        allow_code(unknown, swept, trust=True)
    assert not (swept.root / "was_run").exists()


def test_a_shipped_study_is_run_again_in_this_folder_whatever_folder_its_run_names(tmp_path: Path) -> None:
    plan = check_request(Request("sorting", budget="quick"), gpus=0).plan
    file = study_file.describe("sorting", plan, "quick", None, [])
    stranger = UserCode(folder=str(tmp_path), import_path=(str(tmp_path),))
    before = list(sys.path)
    assert allow_code(file.model_copy(update={"user_code": stranger}), RunPaths(tmp_path), trust=True) is None
    assert sys.path == before


def test_what_python_itself_has_is_not_run_either(swept: RunPaths[Path]) -> None:
    file = study_file.read(swept)
    space = file.plan.space.model_copy(update={"trial": "os:system", "predictor": "os:system"})
    forged = file.model_copy(update={"plan": file.plan.model_copy(update={"space": space})})
    swept.study.unlink()
    study_file.write(forged, swept)
    with pytest.raises(FaultsError, match="names code of its own, os:system"):
        rerun(swept.root, "reference/0/confirm/0")


def test_a_sweep_runs_the_trial_that_was_asked_for_whatever_study_json_names(tmp_path: Path) -> None:
    from ablation.engine import driver
    from ablation.resources import Resources
    from ablation.study.growth import open_study
    from tests.toy_study import toy_plan

    honest = toy_plan()
    space = honest.space.model_copy(update={"trial": "a_strangers:run_trial"})
    paths = RunPaths(tmp_path)
    forged = Plan.model_validate({**honest.model_dump(), "space": space.model_dump()})
    file = study_file.describe("toy", forged, "quick", None, [])
    with Ledger(paths.ledger) as ledger:
        append(ledger, "grown", plan=honest.model_dump(mode="json"), confirmed_before=0)
    with Ledger(paths.ledger) as ledger:
        study = open_study(file, ledger, honest)
        environment = driver._environment(file, study.plan, paths, Resources(), Slots(1, 1.0, 0.0))
    assert environment.run_trial == honest.space.trial


def test_shipped_studies_need_no_trust(tmp_path: Path) -> None:
    plan = check_request(Request("sorting", budget="quick"), gpus=0).plan
    allow_code(study_file.describe("sorting", plan, "quick", None, []), RunPaths(tmp_path), trust=False)


def test_a_run_without_models_has_lost_none(swept: RunPaths[Path]) -> None:
    assert lost_checkpoints(swept.root) == []
    with pytest.raises(FileNotFoundError, match="no finished confirm trial with a checkpoint"):
        load_best(swept.root, trust=True)
