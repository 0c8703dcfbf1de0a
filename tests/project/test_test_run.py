"""The tests' own run: a worker that dies ends it, in failure, with the test's name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import MARKS

ROOT = Path(__file__).parents[2]
LETHAL = "import os\n\ndef test_that_ends_its_worker() -> None:\n    os.abort()\n"
HARMLESS = (
    "import pytest\n\n@pytest.mark.parametrize('number', range(20))\ndef test_that_passes(number) -> None:\n    pass\n"
)
HANGING = "import threading\n\ndef test_that_never_ends() -> None:\n    threading.Event().wait()\n"


def outcome(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    settings = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), "-p", "no:cacheprovider", *options]
    command = [sys.executable, "-m", "pytest", "--numprocesses", "2", "--dist", "loadfile", *settings, str(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def test_a_worker_that_dies_ends_the_run_naming_the_test(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"test_harmless_{number}.py").write_text(HARMLESS)
    (tmp_path / "test_lethal.py").write_text(LETHAL)
    run = outcome(tmp_path)
    assert run.returncode == 1
    assert "crashed while running 'test_lethal.py::test_that_ends_its_worker'" in run.stdout


def test_a_test_that_hangs_ends_its_worker_and_prints_where(tmp_path: Path) -> None:
    (tmp_path / "test_hanging.py").write_text(HANGING)
    (tmp_path / "test_harmless.py").write_text(HARMLESS)
    run = outcome(tmp_path, "-o", "faulthandler_timeout=1")
    assert run.returncode == 1
    assert "crashed while running 'test_hanging.py::test_that_never_ends'" in run.stdout
    assert 'test_hanging.py", line 4 in test_that_never_ends' in run.stdout + run.stderr


def test_every_file_that_is_marked_exists() -> None:
    there = {f"{path.parent.name}/{path.stem}" for path in (ROOT / "tests").glob("*/test_*.py")}
    assert {name for names in MARKS.values() for name in names.split()} <= there
