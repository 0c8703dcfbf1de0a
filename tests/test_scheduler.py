"""Tune's hooks: what they may do to a run directory, and when."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from ablation.engine.results import Results
from ablation.engine.scheduler import StudyScheduler
from ablation.engine.stop import StopReason
from ablation.engine.worker import Report
from ablation.ledger import log as ledger_module
from ablation.ledger.log import Ledger
from ablation.paths import RunPaths
from ablation.study.study import Study
from tests.toy_study import toy_plan


def test_each_attempt_of_a_pending_trial_is_offered_once_the_newest_first(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        scheduler = StudyScheduler(Results(Study(toy_plan(), ledger), RunPaths(tmp_path), StopReason()))
    trials = [
        SimpleNamespace(trial_id=str(number), status=status, num_failures=0)
        for number, status in enumerate(["PENDING", "RUNNING", "PENDING", "TERMINATED"])
    ]
    controller = SimpleNamespace(get_trials=lambda: trials)

    def offered() -> str | None:
        trial = scheduler.choose_trial_to_run(controller)
        return None if trial is None else str(trial.trial_id)

    assert [offered() for _ in range(3)] == ["2", "0", None]
    # A newer one, and one that lost its worker and waits again.
    trials.append(SimpleNamespace(trial_id="4", status="PENDING", num_failures=0))
    trials[1] = SimpleNamespace(trial_id="1", status="PENDING", num_failures=1)
    assert [offered() for _ in range(3)] == ["4", "1", None]


def test_a_search_trials_checkpoints_outlive_it_until_its_end_is_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "FLUSH_EVERY_S", 3600)  # not before the test says so
    paths, stop = RunPaths(tmp_path), StopReason()
    with Ledger(paths.ledger) as ledger:
        stop.ledger = ledger
        study = Study(toy_plan(), ledger)
        study.open_session(process=0, resources={})
        results = Results(study, paths, stop)

        def fail_next() -> Path:
            """Hand out a trial, let it fail, and return the folder of its checkpoints."""
            assignment = study.next_assignment()
            assert assignment is not None and assignment.trial.phase == "search"
            study.started(assignment.trial.trial_id)
            folder = paths.checkpoint_dir(assignment.trial.trial_id)
            folder.mkdir(parents=True)
            assert not results.take(assignment.trial, Report(None, 1.0, failure="asked to"))
            assert stop.fault is None
            return folder

        first, second = fail_next(), fail_next()
        assert first.exists() and second.exists()
        ledger.flush()
        third = fail_next()
        assert not first.exists() and not second.exists() and third.exists()
