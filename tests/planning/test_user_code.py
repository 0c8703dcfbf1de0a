"""One import path and folder for driver, probe and workers; neither side's names shadow the other's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ablation.user_code import UserCode
from tests.chaos import elsewhere

ROOT = Path(__file__).parents[2]
FIND = """
import json, sys
from ablation.spaces import find_space
from ablation.trial import import_object
from ablation.user_code import UserCode
space = find_space(sys.argv[1])
print(json.dumps({"trial": import_object(space.trial).__globals__["GAIN"], "code": UserCode.here().model_dump()}))
"""
ENTER = """
import json, sys
from ablation.trial import import_object
from ablation.user_code import UserCode
UserCode.model_validate_json(sys.argv[1]).enter()
import os, random, ablation.trial, search_spaces.space
run_trial = import_object(sys.argv[2])
print(json.dumps({"gain": run_trial.__globals__["GAIN"], "folder": os.getcwd(), "random": random.random() < 1}))
"""


def python(code: str, *arguments: str, cwd: Path, safe: bool = True) -> subprocess.CompletedProcess[str]:
    options = ["-P"] if safe else []
    command = [sys.executable, *options, "-c", code, *arguments]
    environment = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("name", ["gain.py", "random.py", "ablation.py", "space.py", "analysis.py"])
def test_another_process_finds_the_same_trial_and_neighbours_from_any_folder(name: str, tmp_path: Path) -> None:
    elsewhere.write_study(tmp_path / "user/study", name, neighbour="model")
    (tmp_path / "user/model.py").write_text("GAIN = -100.0\n")
    found = python(FIND, f"study/{name}", cwd=tmp_path / "user")
    assert found.returncode == 0, found.stderr
    described = json.loads(found.stdout)
    assert described["trial"] == elsewhere.GAIN
    code = described["code"]
    assert code["folder"] == str(tmp_path / "user") and code["study_file"] == str(tmp_path / "user/study" / name)
    trial = f"{Path(name).stem}:run_trial"
    (tmp_path / "other").mkdir()
    (tmp_path / "other/model.py").write_text("GAIN = -200.0\n")
    entered = python(ENTER, json.dumps(code), trial, cwd=tmp_path / "other", safe=False)
    assert entered.returncode == 0, entered.stderr
    assert json.loads(entered.stdout) == {"gain": elsewhere.GAIN, "folder": str(tmp_path / "user"), "random": True}


def test_a_folder_that_this_machine_lacks_is_passed_over(tmp_path: Path) -> None:
    elsewhere.write_study(tmp_path, "gain.py", neighbour="model")
    code = UserCode(folder=str(tmp_path / "gone"), import_path=(str(tmp_path),))
    entered = python(ENTER, code.model_dump_json(), "gain:run_trial", cwd=tmp_path)
    assert json.loads(entered.stdout)["gain"] == elsewhere.GAIN


def test_a_study_that_cannot_be_imported_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import json\nraise KeyError('a key')\n")
    found = python(FIND, "broken.py", cwd=tmp_path)
    assert "broken.py cannot be imported: KeyError: 'a key'" in found.stderr


def test_a_sweep_from_another_folder_trains_what_the_probe_saw(tmp_path: Path) -> None:
    assert elsewhere.start_from_another_folder(tmp_path)["faults"] == []
