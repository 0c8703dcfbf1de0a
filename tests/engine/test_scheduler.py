"""Tune's hooks: what they may do to a run directory, and when."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.execution import tune_controller

from ablation.engine.results import Results
from ablation.engine.scheduler import StudyScheduler, StudySearcher
from ablation.engine.stop import StopReason
from ablation.engine.warm_workers import kept_warm
from ablation.engine.worker import StepReport
from ablation.ledger import log as ledger_module
from ablation.ledger.log import Ledger
from ablation.paths import RunPaths
from ablation.study.study import Study
from ablation.trial import EpochRecord
from tests.toy_study import toy_plan


def test_each_attempt_of_a_pending_trial_is_offered_once_the_newest_first(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        study = Study(toy_plan(), ledger)
        scheduler = StudyScheduler(Results(study, RunPaths(tmp_path), StopReason(study, ledger)))
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
    paths = RunPaths(tmp_path)
    with Ledger(paths.ledger) as ledger:
        study = Study(toy_plan(), ledger)
        study.open_session(process=0, resources={})
        stop = StopReason(study, ledger)
        results = Results(study, paths, stop)

        def fail_next() -> Path:
            """Hand out a trial, let it fail, and return the folder of its checkpoints."""
            assignment = study.next_assignment()
            assert assignment is not None and assignment.trial.phase == "search"
            study.started(assignment.trial.trial_id)
            folder = paths.checkpoint_dir(assignment.trial.trial_id)
            folder.mkdir(parents=True)
            assert not results.take(assignment.trial, StepReport(None, 1.0, failure="asked to"))
            assert stop.fault is None
            return folder

        first, second = fail_next(), fail_next()
        assert first.exists() and second.exists()
        ledger.flush()
        third = fail_next()
        results.close()  # what may go is gone by then
        assert not first.exists() and not second.exists() and third.exists()


def test_the_search_is_over_only_when_the_last_trial_has_ended(tmp_path: Path) -> None:
    """A trial whose worker was lost before it started is handed out again, also if it is the last one."""
    with Ledger(tmp_path) as ledger:
        study = Study(toy_plan(), ledger)
        study.open_session(process=0, resources={})
        stop = StopReason(study, ledger)
        searcher = StudySearcher(study, 1, environment=None, stop=stop)  # type: ignore[arg-type]
        last = None
        while isinstance(asked := searcher.suggest("tunes-own"), dict):
            trial = asked["assignment"].trial
            study.started(trial.trial_id)
            if len(study.state.unended) == 1:
                last = trial
                break
            for epoch in range(1, trial.epochs + 1):
                test = {"test_score": 0.5} if trial.phase == "confirm" and epoch == trial.epochs else {}
                if not study.report(trial.trial_id, EpochRecord(epoch, 0.1, {"val_score": 0.5, **test}), 1.0, None):
                    break
        assert last is not None and searcher.suggest("tunes-own") is None
        study.requeue(last.trial_id, "its worker had died")
        again = searcher.suggest("tunes-own")
        assert isinstance(again, dict) and again["assignment"].trial == last
        study.end(last.trial_id, "failed", "asked to")
        assert searcher.suggest("tunes-own") == "FINISHED"


def test_idle_workers_are_kept_until_one_was_found_dead_or_all_is_over() -> None:
    module: Any = tune_controller
    with kept_warm() as workers:
        assert module._ObjectCache(may_keep_one=True) is workers
    for worker in ("first", "second", "third"):
        assert workers.cache_object("cpu", worker)
    assert list(workers.flush_cached_objects()) == []
    assert workers.pop_cached_object("cpu") == "first"
    workers.distrust()
    assert list(workers.flush_cached_objects()) == ["second", "third"]
    workers.cache_object("cpu", "fourth")
    assert list(workers.flush_cached_objects()) == []
    assert list(workers.flush_cached_objects(force_all=True)) == ["fourth"]
