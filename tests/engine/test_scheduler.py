"""Tune's hooks: what they may do to a run directory, and when."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from ablation.engine.checkpoint_removal import CheckpointRemoval
from ablation.engine.places import Places
from ablation.engine.results import Results
from ablation.engine.scheduler import StudyCallback, StudySearcher
from ablation.engine.stop import StopReason
from ablation.engine.worker import StepReport
from ablation.engine.workers import Workers
from ablation.ledger import log as ledger_module
from ablation.ledger.log import Ledger
from ablation.paths import RunPaths
from ablation.resources import Resources
from ablation.study.study import Assignment, Study
from tests.toy_study import toy_plan


def test_a_search_trials_checkpoints_outlive_it_until_its_end_is_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "FLUSH_EVERY_S", 3600)  # not before the test says so
    paths = RunPaths(tmp_path)
    with Ledger(paths.ledger) as ledger:
        study = Study(toy_plan(), ledger)
        study.open_session(process=0, resources={})
        study.keep("confirmed")
        stop = StopReason(study, ledger)
        removal = CheckpointRemoval(study, paths, ledger)
        results = Results(study, paths, stop, removal)

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
        removal.close()  # what may go is gone by then
        assert not first.exists() and not second.exists() and third.exists()


class NoTrial(NamedTuple):
    """One of Tune's trials, as its hooks see it."""

    trial_id: str
    error_file: str | None = None


def test_the_search_is_over_only_when_the_last_trial_has_ended(tmp_path: Path) -> None:
    """A worker that is lost hands its trial back, also if it is the last one: then another worker is needed."""
    paths = RunPaths(tmp_path)
    with Ledger(paths.ledger) as ledger:
        study = Study(toy_plan(), ledger)
        study.open_session(process=0, resources={})
        stop = StopReason(study, ledger)
        results = Results(study, paths, stop, CheckpointRemoval(study, paths, ledger))
        workers = Workers(study, results, stop, Places(Resources(), lambda: [{"CPU": 1}]))
        searcher = StudySearcher(study, workers, environment=None, stop=stop)  # type: ignore[arg-type]
        assert searcher.suggest("first") == {"environment": None}
        assert searcher.suggest("one too many") is None
        given: list[Assignment | None] = []
        assert workers.reported("first", None, "here", given.append)
        while len(study.state.unended) > 2:  # the last search trial, and the confirm trial of its replicate
            trial = given[-1]
            assert trial is not None
            assert workers.reported("first", StepReport(None, 1.0, failure="asked to"), "here", given.append)
        last = given[-1]
        StudyCallback(workers, paths).on_trial_error(0, [], NoTrial("first"))
        assert isinstance(searcher.suggest("second"), dict)
        assert workers.reported("second", None, "there", given.append)
        assert given[-1] == last is not None
        assert not workers.reported("second", StepReport(None, 1.0, failure="asked to"), "there", given.append)
        assert searcher.suggest("third") == "FINISHED"
        assert stop.fault is None
