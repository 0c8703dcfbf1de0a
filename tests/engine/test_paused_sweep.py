"""A sweep whose trials all fail alike pauses, says why, and goes on once that is mended."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd

from ablation.paths import RunPaths
from analysis.audit.checks import audit

ROOT = Path(__file__).parents[2]
STUDY = """
from pathlib import Path

from ablation.trial import EpochRecord
from search_spaces.space import Budget, Choice, Float, Space

MENDED = Path(__file__).with_name("mended")


def run_trial(config, context):
    if not MENDED.exists():
        raise ValueError(f"lr {config['lr']} is not to my liking")
    for epoch in range(1, context.epochs + 1):
        metrics = {"val_score": 0.5}
        if context.phase == "confirm" and epoch == context.epochs:
            metrics["test_score"] = 0.5
        yield EpochRecord(epoch, 0.01, metrics)


SPACE = Space(
    name="broken",
    trial="broken_study:run_trial",
    factors={"a": Choice(values=(1, 2))},
    nuisance={"lr": Float(low=0.1, high=1.0, default=0.5)},
    reference={"a": 1},
    baseline={"a": 2},
    metrics=("score",),
    budgets={"quick": Budget(replicates=2, trials=8, epochs=1, grace_epochs=1, reduction_factor=2)},
)
"""


def test_a_sweep_whose_trials_all_fail_alike_pauses_and_goes_on_once_mended(tmp_path: Path) -> None:
    (tmp_path / "broken_study.py").write_text(STUDY)

    def swept(*arguments: str) -> subprocess.CompletedProcess[str]:
        surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(arguments, cwd=tmp_path, env=surroundings, capture_output=True, text=True, check=False)

    typed = ("-m", "ablation.run", "--space", "broken_study.py", "--name", "broken", "--budget", "quick")
    paused = swept(sys.executable, *typed, "--no-report", "--max-concurrent", "2")
    assert paused.returncode == 1, paused.stderr
    paths = RunPaths(tmp_path / "runs" / "broken")
    statuses = pd.read_parquet(paths.trials)["status"].value_counts()
    # Five, and what one slot did while the other's first trial was still starting.
    assert 5 <= statuses["failed"] <= 22 and statuses["failed"] + statuses.get("interrupted", 0) < 30
    assert f"{statuses['failed']} × ValueError: lr 0.5 is not to my liking (runs/broken/logs/" in paused.stderr
    assert "paused: trials fail alike and none works" in paused.stderr
    assert "  ValueError: lr 0.5 is not to my liking" in paused.stderr
    assert audit(paths.root) == []

    (tmp_path / "mended").touch()
    (line,) = (line for line in paused.stderr.splitlines() if line.startswith("run failed trials again"))
    command = shlex.split(line.partition("with: ")[2])
    assert command[-2:] == ["runs/broken", "--retry-failed"]  # and no --trust: it was started here
    mended = swept(*command)
    assert mended.returncode == 0, mended.stderr
    assert set(pd.read_parquet(paths.trials)["status"]) == {"completed"}
    assert audit(paths.root) == []
