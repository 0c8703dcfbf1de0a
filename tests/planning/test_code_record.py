"""The code that ran is on record: a change is refused by name when a run goes on, or accepted and marked."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ablation import study_file, tables
from ablation.code_record import CodeRecord, _without_space, changes
from ablation.engine.checkpoint_removal import CheckpointRemoval
from ablation.engine.results import Results
from ablation.engine.stop import StopReason
from ablation.engine.worker import StepReport
from ablation.execution import run_prepared
from ablation.faults import FaultsError
from ablation.git import repository_of
from ablation.ledger.log import Ledger
from ablation.paths import RunPaths
from ablation.plan import Plan
from ablation.planning.planned_run import plan_run
from ablation.planning.request import Request, check_request
from ablation.resources import Resources
from ablation.study.study import Study
from ablation.trial import EpochRecord
from ablation.user_code import UserCode
from analysis.audit.checks import audit
from analysis.findings import findings
from tests.chaos import elsewhere
from tests.support.plain_driver import put_in_place
from tests.toy_study import toy_plan


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a user's project, which is then where we are."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    elsewhere.write_study(tmp_path, "gain.py", neighbour="model")
    (tmp_path / "data.csv").write_text("0.5")
    (tmp_path / "later.py").write_text("def late(): import deeper.still\n")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper/still.py").write_text("")
    (tmp_path / "unrelated.py").write_text("")
    (tmp_path / "model.py").write_text("import json\nimport numpy\nfrom later import late\nGAIN = 0.25\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def record(space: str = "gain.py") -> CodeRecord:
    from ablation.spaces import find_space
    from ablation.trial import import_object

    found = find_space(space)
    import_object(found.trial)
    return CodeRecord.of_trial(found.trial, UserCode.here())


def go(out: Path, *, resume: bool = False, accept: bool = False, **asked: Any) -> int:
    request = Request("gain.py", budget="quick", **asked)
    return run_prepared(plan_run(request, "mine", out, Resources(), resume, accept_changes=accept), report=False)


def test_the_trials_module_and_what_it_imports_of_the_project_are_recorded_lazy_imports_too(project: Path) -> None:
    assert list(record().files) == ["deeper/still.py", "gain.py", "later.py", "model.py"]
    assert record().versions.keys() >= {"python", "ray", "optuna"}
    assert record() == record() and record().digest == record().digest


CODE = b"import os\n\n\ndef run_trial(): pass\n\n\n"
SPACE = b"SPACE = Space(\n    values=(1, 2),\n)\n"


@pytest.mark.parametrize(
    ("source", "rest"),
    [
        (CODE + SPACE, CODE),
        (CODE + SPACE.replace(b"2", b"2, 3") + b"END = 1\n", CODE + b"END = 1\n"),
        (CODE + b"SPACE: Space = Space()\n", CODE),
        (SPACE.replace(b"\n", b"\r\n") + CODE, CODE),
        ("é = 'é'\n".encode() + SPACE, "é = 'é'\n".encode()),
        # What stands on its lines beside it is code, and what only refers to it, too.
        (CODE + b"SPACE = 1; OTHER = 2\n", None),
        (CODE + b"SPACE = (\n1); OTHER = (\n2)\n", None),
        (CODE + b"print(SPACE)\n", None),
        (CODE + b"def space():\n    SPACE = 3\n", None),
        (CODE, None),
    ],
)
def test_the_statement_that_declares_the_space_is_no_code_of_a_trial(source: bytes, rest: bytes | None) -> None:
    assert _without_space(source, ast.parse(source)) == (source if rest is None else rest)


def test_a_shipped_trial_is_recorded_by_its_own_package_alone() -> None:
    names = list(record("sorting").files)
    assert "ablation/sorting/train.py" in names and all(name.startswith("ablation/sorting/") for name in names)


def test_changes_are_named_file_by_file_and_version_by_version() -> None:
    before = CodeRecord(files={"a.py": "1", "b.py": "1"}, versions={"torch": "2.1", "ray": "2.60"})
    now = CodeRecord(files={"a.py": "2", "c.py": "1"}, versions={"torch": "2.2", "ray": "2.60"})
    named = ["a.py has changed", "b.py is no longer imported", "c.py was added", "torch is 2.2, but was 2.1"]
    assert changes(before, now) == named
    assert changes(now, now) == []


def test_a_changed_file_is_refused_by_name_and_marked_where_it_is_accepted(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_place(monkeypatch)
    out = tmp_path / "runs"
    assert go(out) == 0
    paths = RunPaths(out / "mine")
    first = pd.read_parquet(paths.trials)
    assert first["code"].nunique() == 1 and audit(paths.root) == []
    assert not any(warning["code"] == "mixed_code" for warning in findings(paths.root)["warnings"])
    (project / "later.py").write_text("def late(): pass\n")
    with pytest.raises(
        FaultsError, match=r"later\.py has changed; restore it, or go on with --accept-changes"
    ) as reported:
        go(out, resume=True, replicates=3)
    assert len(reported.value.faults) == 2  # deeper/still.py is imported no more
    assert go(out, resume=True, accept=True, replicates=3) == 0
    grown = pd.read_parquet(paths.trials)
    assert grown["code"].nunique() == 2 and audit(paths.root) == []
    by_replicate = grown.groupby("replicate")["code"].unique()
    assert by_replicate[0].tolist() == by_replicate[1].tolist() == first["code"].unique().tolist()
    assert by_replicate[2].tolist() != by_replicate[0].tolist()
    found = findings(paths.root)
    assert [row["changed"] for row in found["code"]] == ["", "deeper/still.py, later.py"]
    (mixed,) = (warning["text"] for warning in found["warnings"] if warning["code"] == "mixed_code")
    assert "after a change of deeper/still.py, later.py (reference, baseline)" in mixed


def test_an_audit_notices_a_code_that_the_ledger_does_not_have(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_place(monkeypatch)
    assert go(tmp_path / "runs") == 0
    paths = RunPaths(tmp_path / "runs/mine")
    trials = pd.read_parquet(paths.trials)
    trials.assign(code="0" * 12).to_parquet(paths.trials)
    assert "ran with code 000000000000, but the ledger says" in audit(paths.root)[0]
    tables.materialise(paths)
    assert audit(paths.root) == []


def test_code_that_gave_nothing_but_failures_may_be_mended_without_a_word(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_place(monkeypatch)
    (project / "data.csv").write_text("no number")
    assert go(tmp_path / "runs") == 1
    (project / "data.csv").write_text("0.5")
    (project / "model.py").write_text("GAIN = 0.5\n")
    assert go(tmp_path / "runs", resume=True) == 1  # nothing left, and nothing refused


def test_the_repository_is_that_of_the_trials_module_with_its_state(project: Path) -> None:
    def git(*words: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *identity, *words], cwd=project, check=True, capture_output=True)

    assert repository_of(project / "gain.py") is None
    git("init")
    found = repository_of(project / "gain.py")
    assert found is not None and (found.commit, found.is_dirty, found.diff) == (None, True, "")
    git("add", ".")
    git("commit", "-m", "all of it")
    found = repository_of(project / "gain.py")
    assert found is not None and found.commit is not None and not found.is_dirty
    (project / "model.py").write_text("GAIN = 0.75\n")
    described = study_file.describe("a", toy_plan_of(project), "quick", None, [])
    assert (described.git_commit, described.git_is_dirty) == (found.commit, True)
    assert described.git_diff is not None and "+GAIN = 0.75" in described.git_diff
    (project / ".gitignore").write_text("environment/\n")
    (project / "environment").mkdir()
    (project / "environment/module.py").touch()
    assert repository_of(project / "environment/module.py") is None


def toy_plan_of(project: Path) -> Plan:
    return check_request(Request("gain.py", budget="quick"), gpus=0).plan


def test_workers_with_other_code_end_the_sweep_by_name(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        study = Study(toy_plan(), ledger)
        stop = StopReason(study, ledger)
        code = CodeRecord(files={"model.py": "1"}, versions={"torch": "2.1"})
        study.open_session(process=0, resources={}, code=code)
        paths = RunPaths(tmp_path)
        results = Results(study, paths, stop, CheckpointRemoval(study, paths, ledger))
        assignment = study.next_assignment()
        assert assignment is not None
        study.started(assignment.trial.trial_id)
        record = EpochRecord(1, 0.1, {"val_score": 0.5})
        assert results.take(assignment.trial, StepReport(record, 1.0, code=code))
        assert stop.fault is None
        other = CodeRecord(files={"model.py": "2"}, versions={"torch": "2.1"})
        assert not results.take(assignment.trial, StepReport(record, 1.0, code=other), "192.0.2.7")
    assert "the worker on 192.0.2.7 runs other code than this driver: model.py has changed" in str(stop.fault)


def test_the_summary_lists_each_code_with_its_session(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_place(monkeypatch)
    assert go(tmp_path / "runs") == 0
    (only,) = json.loads(RunPaths(tmp_path / "runs/mine").summary.read_text())["code"]
    assert only["session"] == 1 and set(only["files"]) == set(record().files)
