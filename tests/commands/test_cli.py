"""The console command: one name for all, installed, whatever lies in the folder where it is typed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from ablation import best, cli
from ablation.paths import RunPaths
from ablation.version import VERSION
from tests.support.plain_loop import run_study
from tests.toy_study import toy_plan

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
STUDY = """
from pydantic import BaseModel
from ablation.trial import EpochRecord, reporting
from search_spaces.space import Budget, Choice, Float, Space

class Config(BaseModel):
    deep: bool = True
    lr: float = 0.1

def train(config: Config, context):
    for epoch in range(1, context.epochs + 1):
        metrics = {"val_score": config.deep - (config.lr - 0.1) ** 2}
        if context.phase == "confirm" and epoch == context.epochs:
            metrics["test_score"] = metrics["val_score"] + 0.01 * context.seed / 2**63
        context.report(metrics, epoch_s=0.1)

run_trial = reporting(train)
SPACE = Space(
    name="mine", trial="my_study:run_trial", factors={"deep": Choice(values=(True, False))}, metrics=("score",),
    reference={"deep": True}, baseline={"deep": False}, nuisance={"lr": Float(low=0.01, high=1.0, default=0.1)},
    budgets={"quick": Budget(replicates=2, trials=2, epochs=4, grace_epochs=1, reduction_factor=2)},
)
"""


def test_the_list_of_commands_imports_none_of_them() -> None:
    heavy = ("torch", "ray", "optuna", "pandas", "pyarrow", "scipy", "pydantic")
    check = f"import sys; from ablation.cli import _list; _list(); print(set({heavy}) & set(sys.modules))"
    listed = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert listed.stdout.strip() == "set()"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_explains_itself(name: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "ablation.cli", name, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert f"ablation {name}" in shown.stdout


def test_the_version_is_the_installed_ones() -> None:
    shown = subprocess.run([BIN / "ablation", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"ablation {VERSION}\n"


def test_an_installed_copy_runs_a_study_beside_files_of_its_packages_names(tmp_path: Path) -> None:
    """Build and install a wheel in an environment of its own, which sees this one's packages, but not this project."""
    uv, environment, folder = BIN / "uv", tmp_path / "environment", tmp_path / "project"
    # From a copy: a build leaves files where it runs.
    for room in ("ablation", "analysis", "search_spaces"):
        shutil.copytree(ROOT / room, tmp_path / "source" / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path / "source")
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", tmp_path, tmp_path / "source"], check=True)
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    (wheel,) = tmp_path.glob("ablation_studies-*.whl")
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--no-deps", "--python", environment / "bin/python", wheel], check=True
    )
    (site,) = environment.glob("lib/python3*/site-packages")
    # The packages, without the hook that makes this folder importable.
    (site / "others.pth").write_text(f"{next(iter(Path(sys.prefix).glob('lib/python3*/site-packages')))}\n")
    folder.mkdir()
    (folder / "my_study.py").write_text(STUDY)
    for name in ("ablation.py", "random.py", "space.py"):
        (folder / name).write_text("raise SystemExit('this is a file of the user')\n")
    (folder / "analysis").mkdir()
    (folder / "analysis/__init__.py").write_text("raise SystemExit('this is a file of the user')\n")
    variables = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}

    def typed(*words: str) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [environment / "bin/ablation", *words]
        return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)

    ran = typed("run", "--space", "my_study.py", "--name", "mine", "--executor", "in-process")
    assert ran.returncode == 0, ran.stderr
    assert (folder / "runs/mine/report/index.html").is_file()
    assert typed("status", "runs/mine").returncode == 0
    found = json.loads(typed("best", "runs/mine", "--json").stdout)
    assert found["config"]["deep"] is True
    where: list[str | Path] = [environment / "bin/python", "-P", "-c", "import analysis; print(analysis.__file__)"]
    imported = subprocess.run(where, cwd=folder, env=variables, capture_output=True, text=True, check=True)
    assert imported.stdout.startswith(str(environment))


def test_the_best_configuration_is_chosen_by_validation_and_shown_with_its_arms_test_score(tmp_path: Path) -> None:
    paths = run_study(toy_plan(), tmp_path / "toy")
    rows = [row for row in _rows(paths) if row["phase"] == "confirm" and row["status"] == "completed"]
    top = max(rows, key=lambda row: float(row["metric.val_score"]))
    found = best.facts(paths.root)
    assert (found["trial_id"], found["validation"]) == (top["trial_id"], top["metric.val_score"])
    own = [row["metric.test_score"] for row in rows if row["arm"] == top["arm"]]
    assert found["test"] == pytest.approx(sum(own) / len(own))
    assert found["replicates"] == 3 and found["low"] < found["test"] < found["high"]
    assert best.facts(paths.root, "baseline")["arm"] == "baseline"
    with pytest.raises(ValueError, match="--arm is 'none', but the arms"):
        best.facts(paths.root, "none")


def test_replicates_without_all_their_seeds_do_not_count_as_on_the_page(tmp_path: Path) -> None:
    whole = toy_plan()
    plan = whole.model_copy(update={"budget": whole.budget.model_copy(update={"seeds": 2})})
    paths = run_study(plan, tmp_path / "toy")
    trials = pd.read_parquet(paths.trials)
    lost = (trials["arm"] == "reference") & (trials["phase"] == "confirm") & (trials["replicate"] == 0)
    trials.loc[lost & (trials["index"] == 1), "status"] = "failed"
    trials.to_parquet(paths.trials)
    found = best.facts(paths.root, "reference")
    left = trials[(trials["arm"] == "reference") & (trials["phase"] == "confirm") & (trials["replicate"] > 0)]
    assert found["replicates"] == 2
    assert found["test"] == pytest.approx(left["metric.test_score"].mean())


def _rows(paths: RunPaths) -> list[dict[str, Any]]:
    return list(pq.read_table(paths.trials).to_pylist())
