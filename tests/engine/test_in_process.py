"""The executor without Ray: a whole study in one process, from the same command, into the same files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import typer
from typer.testing import CliRunner

import ablation.run as run_module
from ablation.paths import RunPaths
from analysis.audit.checks import audit
from tests.support.plain_loop import run_study
from tests.toy_study import toy_plan

APP = typer.Typer()
APP.command()(run_module.main)
ROOT = Path(__file__).parents[2]
SMALL = ("--space", "tests.toy_study:SPACE", "--arms", "baseline", "--replicates", "2", "--trials", "2", "--seeds", "1")
# Ray cannot be imported where its name stands for nothing.
WITHOUT_RAY = (
    "import sys; sys.modules['ray'] = None; import runpy; runpy.run_module('ablation.run', run_name='__main__')"
)


def command(out: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run a study in one process, without Ray, with that typed into its terminal."""
    asked = (*arguments, "--executor", "in-process", "--name", "run", "--out", str(out), "--no-report")
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_RAY, *asked],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, input=typed, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_whole_study_runs_without_ray_and_comes_out_as_any_other(tmp_path: Path) -> None:
    done = command(tmp_path, *SMALL)
    assert done.returncode == 0, done.stderr
    assert "1 at a time (--executor in-process)" in done.stderr
    paths = RunPaths(tmp_path / "run")
    assert audit(paths.root) == []
    whole = toy_plan()
    arms = tuple(arm for arm in whole.arms if arm.name in ("reference", "baseline"))
    budget = whole.budget.model_copy(update={"replicates": 2, "trials": 2, "seeds": 1})
    comparisons = whole.space.declared(arms)
    plan = whole.model_copy(update={"arms": arms, "budget": budget, "comparisons": comparisons})
    looped = run_study(plan, tmp_path / "loop", at_a_time=1)
    columns = ["trial_id", "epoch", "metric.val_score"]
    ours, theirs = (pd.read_parquet(run.epochs)[columns] for run in (paths, looped))
    pd.testing.assert_frame_equal(ours, theirs)


def test_an_arm_that_runs_out_of_memory_fails_and_the_others_go_on(tmp_path: Path) -> None:
    study = tmp_path / "hungry.py"
    study.write_text(
        "from tests.toy_study import SPACE as TOY, run_trial as follow\n"
        "def run_trial(config: 'ToyConfig', context):\n"
        "    if config.toy.bonus < 0:\n"
        "        raise MemoryError('no more')\n"
        "    yield from follow(config, context)\n"
        "from tests.toy_study import ToyConfig\n"
        "SPACE = TOY.model_copy(update={'trial': 'hungry:run_trial'})\n"
    )
    done = command(tmp_path, "--space", str(study), *SMALL[2:])
    assert done.returncode == 1, done.stderr
    summary = json.loads(RunPaths(tmp_path / "run").summary.read_text())
    assert (summary["planned"], summary["failed"]) == (12, 6)
    assert "MemoryError: no more" in done.stderr


def test_a_trial_that_draws_from_a_global_generator_comes_out_the_same_alone(tmp_path: Path) -> None:
    study = tmp_path / "global_draws.py"
    study.write_text(
        "import dataclasses, random\n"
        "from tests.toy_study import SPACE as TOY, ToyConfig, run_trial as follow\n"
        "def run_trial(config: ToyConfig, context):\n"
        "    for record in follow(config, context):\n"
        "        yield dataclasses.replace(record, metrics={**record.metrics, 'drawn': random.random()})\n"
        "SPACE = TOY.model_copy(update={'trial': 'global_draws:run_trial'})\n"
    )
    done = command(tmp_path, "--space", str(study), *SMALL[2:])
    assert done.returncode == 0, done.stderr
    run = RunPaths(tmp_path / "run")
    epochs = pd.read_parquet(run.epochs)
    last = str(epochs["trial_id"].iloc[-1])
    again = subprocess.run(
        [sys.executable, "-m", "ablation.rerun", str(run.root), last, "--trust"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stdout + again.stderr
    # Trials of the same seed, in other arms, draw the same, and no others do.
    first = epochs.groupby("trial_id")["metric.drawn"].first()
    seeds = pd.read_parquet(run.trials).set_index("trial_id")["seed"]
    assert (first.groupby(seeds).nunique() == 1).all() and first.nunique() == seeds.nunique() > 1


def test_a_breakpoint_in_a_trial_stops_there_and_goes_on(tmp_path: Path) -> None:
    study = tmp_path / "stops.py"
    study.write_text(
        "from tests.toy_study import SPACE as TOY, ToyConfig, run_trial as follow\n"
        "def run_trial(config: ToyConfig, context):\n"
        "    if context.trial_id == 'reference/1/search/0':\n"
        "        breakpoint()\n"
        "    yield from follow(config, context)\n"
        "SPACE = TOY.model_copy(update={'trial': 'stops:run_trial'})\n"
    )
    done = command(tmp_path, "--space", str(study), *SMALL[2:], typed="p 'here is ' + context.trial_id\nc\n")
    assert done.returncode == 0, done.stderr
    assert "'here is reference/1/search/0'" in done.stdout


def test_a_cluster_is_not_for_one_process(tmp_path: Path) -> None:
    done = command(tmp_path, *SMALL, "--address", "192.0.2.1:6379")
    assert done.returncode == 2
    assert "--executor in-process runs here, but --address names a cluster" in done.stderr


def test_an_unknown_executor_is_refused_with_the_choices(tmp_path: Path) -> None:
    done = CliRunner().invoke(APP, [*SMALL, "--executor", "Ray", "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "--executor is 'Ray', but must be 'ray' or 'in-process'" in done.stderr
