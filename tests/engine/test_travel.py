"""A driver's code on a node that has none of it: the same files by the same names, and what they import."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablation.code_record import CodeRecord
from ablation.engine.node_facts import Needs
from ablation.engine.travel import CARRIER, arrived, pack, travelling
from ablation.user_code import OUR_ROOT, UserCode

FILES = {
    "study.py": "from parts.train import train\nimport aside\n\n"
    "def run_trial(config, context):\n    yield train()\n\nSPACE = {'name': 'study'}\n",
    "parts/__init__.py": "",
    "parts/train.py": "def train():\n    return 42\n",
    "unused.py": "",
    "data.csv": "1,2\n",
}


@pytest.fixture
def needs(tmp_path: Path) -> Needs:
    """Needs of a study in two folders of the import path."""
    for name, text in FILES.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/aside.py").write_text("here = __file__\n")
    folders = (str(tmp_path / "mine"), str(tmp_path / "other"), str(OUR_ROOT))
    code = UserCode(folder=str(tmp_path / "mine"), import_path=folders, study_file=f"{folders[0]}/study.py")
    return Needs(tmp_path / "run", "marker", "study:run_trial", code)


@pytest.fixture
def carrier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return where what travels is put; it can be imported from there."""
    monkeypatch.syspath_prepend(str(tmp_path / "node"))
    yield tmp_path / "node" / CARRIER
    sys.modules.pop(CARRIER, None)


def test_only_what_the_trial_imports_travels(needs: Needs, carrier: Path) -> None:
    pack(needs, carrier)
    there = {path.relative_to(carrier).as_posix() for path in carrier.rglob("*.py")}
    assert there == {
        "__init__.py",
        "from_0/study.py",
        "from_0/parts/__init__.py",
        "from_0/parts/train.py",
        "from_1/aside.py",
    }


def test_a_node_without_the_files_has_the_drivers_code_record(needs: Needs, carrier: Path) -> None:
    recorded = CodeRecord.of_trial(needs.run_trial, needs.user_code)
    pack(needs, carrier)
    for folder in needs.user_code.import_path[:2]:
        shutil.rmtree(folder)
    assert CodeRecord.of_trial(needs.run_trial, arrived(needs.user_code)) == recorded


def test_what_was_brought_runs_though_an_older_version_lies_there(needs: Needs, carrier: Path) -> None:
    pack(needs, carrier)
    Path(needs.user_code.folder, "parts/train.py").write_text("def train():\n    return 0\n")
    script = (
        "import sys; from ablation.user_code import UserCode; from ablation.engine.travel import arrived\n"
        "arrived(UserCode.model_validate_json(sys.argv[1])).enter()\n"
        "import study; print(next(study.run_trial({}, None)))"
    )
    asked = subprocess.run(
        [sys.executable, "-c", script, needs.user_code.model_dump_json()],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": f"{carrier.parent}:{OUR_ROOT}"},
    )  # fmt: skip
    assert asked.stdout == "42\n"


def test_a_shipped_trial_is_found_in_the_nodes_own_packages(needs: Needs, carrier: Path) -> None:
    code = needs.user_code.model_copy(update={"study_file": None, "import_path": ("/driver/checkout",)})
    carrier.mkdir(parents=True)
    (carrier / "__init__.py").write_text("FOLDERS = {}\nOUR_ROOT = '/driver/checkout'\n")
    here = UserCode(folder=code.folder, import_path=(str(OUR_ROOT),))
    trial = "ablation.sorting.train:run_trial"
    files = CodeRecord.of_trial(trial, here).files
    assert "ablation/sorting/train.py" in files
    assert CodeRecord.of_trial(trial, arrived(code)).files == files


def test_without_a_carrier_code_stays_where_it_is(needs: Needs) -> None:
    assert arrived(needs.user_code) == needs.user_code


def test_the_environment_names_our_packages_and_what_carries_the_users(needs: Needs) -> None:
    with travelling(needs) as environment:
        folders = [Path(module) for module in environment["py_modules"]]
        assert [folder.name for folder in folders] == ["ablation", "search_spaces", CARRIER]
        assert all((folder / "__init__.py").is_file() for folder in folders)
    assert not folders[-1].exists()
