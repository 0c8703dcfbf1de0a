"""The engine with Ray: one small sweep, with all that can go wrong in a trial, read back from its files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from ablation.paths import RunPaths
from analysis.audit.checks import audit

ROOT = Path(__file__).parents[2]
SWEEP = ("-m", "ablation.run", "--space", "tests.toy_study:SPACE", "--name", "toy", "--replicates", "2")


def python(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> RunPaths[Path]:
    out = tmp_path_factory.mktemp("runs")
    done = python(*SWEEP, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "50 planned =" in done.stderr
    return RunPaths(out / "toy")


def test_a_sweep_ends_with_every_trial_accounted_for(swept: RunPaths[Path]) -> None:
    assert audit(swept.root) == []
    summary = json.loads(swept.summary.read_text())
    assert summary["planned"] == 50 == summary["completed"] + summary["stopped"]


def test_actors_are_reused_and_output_goes_to_each_trials_log(swept: RunPaths[Path]) -> None:
    trials = pd.read_parquet(swept.trials)
    processes: set[str] = set()
    for row in trials.itertuples():
        lines = swept.log(str(row.trial_id)).read_text().splitlines()
        reported = [line.partition(" process ")[0] for line in lines]
        assert reported == [f"{row.trial_id} epoch {epoch + 1}" for epoch in range(len(lines))]
        assert len(lines) == row.epochs_trained
        processes |= {line.partition(" process ")[2] for line in lines}
    assert (trials["attempts"] == 1).all()
    assert len(processes) <= (os.cpu_count() or 1)


def test_the_report_stands_at_the_end(swept: RunPaths[Path]) -> None:
    assert "bonus=0.05" in swept.page.read_text()


def test_a_finished_sweep_resumed_does_nothing(swept: RunPaths[Path]) -> None:
    before = pd.read_parquet(swept.trials)
    again = python(*SWEEP, "--out", str(swept.root.parent), "--resume", "--no-report")
    assert again.returncode == 0, again.stderr
    pd.testing.assert_frame_equal(before, pd.read_parquet(swept.trials))


def test_resuming_with_another_plan_is_refused(swept: RunPaths[Path]) -> None:
    refused = python(*SWEEP, "--out", str(swept.root.parent), "--resume", "--epochs", "5")
    assert refused.returncode == 2
    assert "epochs is 5, but the run has 9" in refused.stderr


def test_status_counts_the_ledger(swept: RunPaths[Path]) -> None:
    shown = python("-m", "ablation.status", str(swept.root))
    counts = pd.read_parquet(swept.trials)["status"].value_counts()
    for status, count in counts.items():
        assert f" {count} {status}" in shown.stdout


def test_a_sweep_out_of_time_says_how_to_go_on_and_lost_workers_do_not_stop_it(tmp_path: Path) -> None:
    arguments = ("--arms", "baseline", "--trials", "1", "--set", "toy.misbehave=die once", "--no-report")
    cut = python(*SWEEP, "--out", str(tmp_path), *arguments, "--executor", "in-process", "--max-hours", "1e-9")
    assert cut.returncode == 130, cut.stderr
    assert f"go on with: {sys.executable} -m ablation.resume {tmp_path / 'toy'}" in cut.stderr.replace("\n", "")
    assert set(pd.read_parquet(tmp_path / "toy/trials.parquet")["status"]) == {"pending"}
    (tmp_path / "toy" / "logs").mkdir(exist_ok=True)
    (tmp_path / "toy" / "logs" / "gone__0__search__0.hang.txt").touch()  # a worker was killed with its driver
    resumed = python(*SWEEP, "--out", str(tmp_path), *arguments, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    # Of the lost worker the terminal has our line alone.
    assert "baseline/0/search/0 starts again: its process ended" in resumed.stderr
    assert "died or was killed" not in resumed.stdout + resumed.stderr
    assert "A worker died or was killed" in RunPaths(tmp_path / "toy").worker_losses.read_text()
    assert list((tmp_path / "toy" / "logs").glob("*.hang.txt")) == []
    trials = pd.read_parquet(tmp_path / "toy/trials.parquet")
    assert (trials["status"] == "completed").all()
    died = trials["trial_id"] == "baseline/0/search/0"
    assert trials["attempts"].tolist() == [2 if once else 1 for once in died]
    assert audit(tmp_path / "toy") == []


def test_trials_that_fail_are_counted_and_the_sweep_says_so(tmp_path: Path) -> None:
    done = python(*SWEEP, "--out", str(tmp_path), "--arms", "reference", "--set", "toy.misbehave=raise", "--no-report")
    assert done.returncode == 1, done.stderr
    paths = RunPaths(tmp_path / "toy")
    trials = pd.read_parquet(paths.trials)
    failed = trials[trials["status"] == "failed"]
    assert set(trials[trials["phase"] == "search"]["status"]) <= {"failed", "stopped"}
    assert set(failed[failed["phase"] == "confirm"]["reason"]) == {"no_survivor"}
    first = str(failed["trial_id"].iloc[0])
    assert "ToyError: asked to" in paths.log(first).read_text()
    assert audit(paths.root) == []
