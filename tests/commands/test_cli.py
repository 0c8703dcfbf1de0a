"""The console command: one name for all, installed, whatever lies in the folder where it is typed."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

import ablation.run as run
from ablation import best, cli, resume
from ablation.console.messages import JsonMessages, TextMessages
from ablation.faults import FaultsError
from ablation.paths import RunPaths
from ablation.typed_command import typed_command
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


def test_a_command_has_its_first_line_before_it_imports_what_takes_seconds() -> None:
    heavy = ("torch", "ray", "optuna", "pandas", "plotly", "statsmodels", "scipy.special")
    modules = "ablation.run, ablation.resume, ablation.status, ablation.best, analysis.report.__main__"
    check = f"import sys, {modules}; print(set({heavy}) & set(sys.modules))"
    imported = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert imported.stdout.strip() == "set()"


def test_a_ledger_is_read_without_pandas() -> None:
    ledger = ROOT / "tests/fixtures/run-version-1/ledger"
    check = f"import sys; from ablation.ledger.log import read_events; print(len(read_events({str(ledger)!r})))"
    check += "; print('pandas' in sys.modules)"
    read = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    events, has_pandas = read.stdout.split()
    assert int(events) > 100 and has_pandas == "False"


def test_a_command_says_what_it_does_before_it_reads_a_study(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(JsonMessages, "step", lambda self, what: said.append(what))

    def read(*arguments: object, **options: object) -> None:
        assert len(said) == 1
        raise FaultsError(["stop here"])

    monkeypatch.setattr(run, "plan_run", read)
    monkeypatch.setattr(resume, "plan_resume", read)
    for main, arguments in ((run.main, ("--space", "tcl")), (resume.main, ("runs/mine",))):
        said.clear()
        app = typer.Typer()
        app.command()(main)
        done = CliRunner().invoke(app, [*arguments, "--log-format", "json"])
        assert done.exit_code == 2 and "stop here" in done.output
    assert said == ["reading runs/mine"]


def test_steps_are_for_whoever_waits_at_a_terminal() -> None:
    for is_terminal, expected in ((True, "starting Ray …\n"), (False, "")):
        file = io.StringIO()
        TextMessages(Console(file=file, force_terminal=is_terminal, color_system=None)).step("starting Ray")
        assert file.getvalue() == expected


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_explains_itself(name: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "ablation.cli", name, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert f"ablation {name}" in shown.stdout


def test_a_command_has_its_name_however_it_is_started() -> None:
    typed = [sys.executable, "-m", "ablation.cli", "status", "--help"]
    shown = subprocess.run(typed, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Usage: ablation status " in shown.stdout


@pytest.mark.parametrize(
    ("started_as", "typed"),
    [
        ("ablation run", ["ablation", "run"]),
        (str(ROOT / "ablation/run.py"), ["python", "-m", "ablation.run"]),
        ("mine/run.py", ["mine/run.py"]),
    ],
)
def test_a_command_can_be_typed_again_as_it_is_recorded(
    monkeypatch: pytest.MonkeyPatch, started_as: str, typed: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [started_as, "--space", "a b.py"])
    assert typed_command() == [*typed, "--space", "a b.py"]


@pytest.mark.parametrize(
    ("shell", "variables"),
    [
        ("bash", {"COMP_WORDS": "ablation status --js", "COMP_CWORD": "2"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "ablation status --js"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "ablation status --js", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
        ("bash", {"COMP_WORDS": "ablation stat", "COMP_CWORD": "1"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "ablation stat"}),
    ],
)
def test_shells_complete_commands_and_their_options(shell: str, variables: dict[str, str]) -> None:
    asked = {**os.environ, **variables, "_ABLATION_COMPLETE": f"complete_{shell}", "PYTHONPATH": str(ROOT)}
    shown = subprocess.run([BIN / "ablation"], env=asked, capture_output=True, text=True, check=True)
    assert ("--json" if "--js" in str(variables) else "status") in shown.stdout


def test_the_version_is_the_installed_ones() -> None:
    shown = subprocess.run([BIN / "ablation", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"ablation {VERSION}\n"


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
    with pytest.raises(ValueError, match="arm is 'none', but must have a finished confirm trial"):
        best.facts(paths.root, "none")


def test_a_best_model_that_was_not_saved_is_told(tmp_path: Path) -> None:
    paths = run_study(toy_plan(), tmp_path / "toy")
    assert best.facts(paths.root)["checkpoint"] is None
    app = typer.Typer()
    app.command()(best.show)
    shown = CliRunner().invoke(app, [str(paths.root)])
    assert "checkpoint: none" in shown.output and "load it" not in shown.output


def test_replicates_without_all_their_seeds_do_not_count_as_on_the_page(tmp_path: Path) -> None:
    whole = toy_plan()
    plan = whole.model_copy(update={"budget": whole.budget.model_copy(update={"seeds": 2})})
    paths = run_study(plan, tmp_path / "toy")
    trials = pd.read_parquet(paths.trials)
    lost = (trials["arm"] == "reference") & (trials["phase"] == "confirm") & (trials["replicate"] == 0)
    trials.loc[lost & (trials["index"] == 1), "status"] = "failed"
    trials.to_parquet(paths.trials)
    paths.summary.unlink()  # which has the digest of the table as it was
    found = best.facts(paths.root, "reference")
    left = trials[(trials["arm"] == "reference") & (trials["phase"] == "confirm") & (trials["replicate"] > 0)]
    assert found["replicates"] == 2
    assert found["test"] == pytest.approx(left["metric.test_score"].mean())


def _rows(paths: RunPaths[Path]) -> list[dict[str, Any]]:
    return list(pq.read_table(paths.trials).to_pylist())
