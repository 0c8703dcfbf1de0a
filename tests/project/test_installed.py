"""The wheel: what is in it, and that it works in an environment of its own beside a project with the same names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement

from ablation.version import VERSION
from tests.project.test_packaging import PACKAGES, PROJECT

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
STUDY = """
import random                # Python's, whatever lies here
import analysis              # the user's own, as is the next
import space
from pydantic import BaseModel
from ablation import Budget, Choice, Float, Space   # ours
from ablation.trial import reporting

class Config(BaseModel):
    deep: bool = True
    lr: float = 0.1

def train(config: Config, context):
    noise = random.Random(context.seed).random() / 1000
    for epoch in range(1, context.epochs + 1):
        metrics = {"val_score": analysis.GAIN * config.deep - (config.lr - space.BEST) ** 2, "gain": analysis.GAIN}
        if context.phase == "confirm" and epoch == context.epochs:
            metrics["test_score"] = metrics["val_score"] + noise
        context.report(metrics, epoch_s=0.1)

run_trial = reporting(train)
SPACE = Space(
    name="mine", trial="my_study:run_trial", factors={"deep": Choice(values=(True, False))}, metrics=("score",),
    reference={"deep": True}, baseline={"deep": False}, nuisance={"lr": Float(low=0.01, high=1.0, default=0.1)},
    budgets={"quick": Budget(replicates=2, trials=2, epochs=4, grace_epochs=1, reduction_factor=2)},
)
"""
NEVER = "raise SystemExit('this is a file of the user')\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from a copy, since a build leaves files where it runs."""
    folder = tmp_path_factory.mktemp("wheel")
    for room in PACKAGES:
        shutil.copytree(ROOT / room, folder / "source" / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / "source")
    options: list[str | Path] = [
        "--quiet",
        "--wheel",
        "--no-build-isolation",
        "--python",
        sys.executable,
        "--out-dir",
        folder,
    ]
    subprocess.run([UV, "build", *options, folder / "source"], check=True)
    (built,) = folder.glob("*.whl")
    return built


@dataclass(frozen=True)
class Project:
    """A folder of a user's, and an environment with the installed command."""

    folder: Path
    environment: Path

    def typed(self, *words: str) -> str:
        """Type ``ablation …`` in the folder and return what it prints; fails with what it says if it does."""
        command: list[str | Path] = [self.environment / "bin/ablation", *words]
        variables = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        ran = subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


@pytest.fixture(scope="module")
def project(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Install the wheel where this environment's packages are found, but not this project, and write a study."""
    folder = tmp_path_factory.mktemp("installed")
    made = Project(folder / "project", folder / "environment")
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, made.environment], check=True)
    python = made.environment / "bin/python"
    subprocess.run([UV, "pip", "install", "--quiet", "--no-deps", "--python", python, wheel], check=True)
    (site,) = made.environment.glob("lib/python3*/site-packages")
    # The packages, without the hook that makes this folder importable.
    (site / "others.pth").write_text(f"{next(iter(Path(sys.prefix).glob('lib/python3*/site-packages')))}\n")
    (made.folder / "analysis").mkdir(parents=True)
    for name, text in {
        **{"my_study.py": STUDY, "analysis/__init__.py": "GAIN = 0.25\n", "space.py": "BEST = 0.1\n"},
        **{"ablation.py": NEVER, "random.py": NEVER, "search_spaces.py": NEVER},
    }.items():
        (made.folder / name).write_text(text)
    return made


def test_the_metadata_says_what_the_project_does(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        about = Metadata.from_email(archive.read(name), validate=True)
    declared = PROJECT["project"]
    assert (about.name, str(about.version)) == (declared["name"], VERSION)
    assert (str(about.requires_python), about.summary) == (declared["requires-python"], declared["description"])
    assert (about.description_content_type, about.description) == ("text/markdown", (ROOT / "README.md").read_text())
    needed = [one for one in about.requires_dist or () if one.marker is None]
    assert sorted(map(str, needed)) == sorted(str(Requirement(one)) for one in declared["dependencies"])
    assert set(about.provides_extra or ()) == set(declared["optional-dependencies"])


def test_a_package_index_would_take_it(wheel: Path) -> None:
    if find_spec("twine") is None and not os.environ.get("CI"):
        pytest.skip("twine is not installed; requirements-test.lock has it")
    command: list[str | Path] = [sys.executable, "-m", "twine", "check", "--strict", wheel]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0 and "PASSED" in checked.stdout, checked.stdout


def test_it_holds_the_packages_whole_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        (entry,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("entry_points.txt"))
    there = [path for room in PACKAGES for path in (ROOT / room).rglob("*") if path.is_file()]
    assert held == {path.relative_to(ROOT).as_posix() for path in there if "__pycache__" not in path.parts}
    assert entry.split() == ["[console_scripts]", "ablation", "=", "ablation.cli:main"]


def test_each_side_finds_its_own_modules(project: Project) -> None:
    plan = json.loads(project.typed("plan", "--space", "my_study.py", "--json"))
    assert plan["trials"] == 2 * 2 * (2 + 1)
    project.typed("run", "--space", "my_study.py", "--name", "mine", "--executor", "in-process")
    run = project.folder / "runs/mine"
    assert (pd.read_parquet(run / "epochs.parquet")["metric.gain"] == 0.25).all()
    shutil.rmtree(run / "report")
    project.typed("report", "runs/mine")
    assert (run / "report/index.html").is_file()
    project.typed("audit", "runs/mine")
    assert "completed" in project.typed("status", "runs/mine")
    found = json.loads(project.typed("best", "runs/mine", "--json"))
    assert found["config"]["deep"] is True


def test_the_packages_that_run_are_the_installed_ones(project: Project) -> None:
    code = (
        "import ablation, analysis, search_spaces; print(ablation.__file__, analysis.__file__, search_spaces.__file__)"
    )
    command: list[str | Path] = [project.environment / "bin/python", "-P", "-c", code]
    variables = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    shown = subprocess.run(command, cwd=project.folder, env=variables, capture_output=True, text=True, check=True)
    assert all(path.startswith(str(project.environment)) for path in shown.stdout.split())
