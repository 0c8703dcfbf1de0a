"""Plan → tune.Tuner: run what a study has left to run, with everything that happens in the ledger."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Literal

# First, since it sets what Ray reads when it is imported.
from ablation.engine.cluster import connected, slots

# isort: split
from ray import tune

from ablation import tables
from ablation.code_record import CodeRecord
from ablation.engine.growth import open_study
from ablation.engine.progress import Progress
from ablation.engine.scheduler import MOST_RETRIES, Ending, EndingStopper, StudyCallback, StudyScheduler, StudySearcher
from ablation.engine.study import Study
from ablation.engine.trainable import TrialActor, Workplace
from ablation.engine.warm_workers import kept_warm
from ablation.ledger import Ledger
from ablation.paths import RunPaths
from ablation.plan import Plan
from ablation.resources import Resources, Slots
from ablation.study_file import StudyFile
from ablation.user_code import UserCode

SweepEnd = Literal["finished", "nothing left", "interrupted", "paused", "short"]


def sweep(
    file: StudyFile, paths: RunPaths, resources: Resources, plan: Plan | None = None, *, retry_failed: bool = False
) -> SweepEnd:
    """Run every trial that the ledger does not know as ended, and say how it ended.

    A ``plan`` that the study's own is a part of makes it grow; ``retry_failed`` opens failed trials again.
    "nothing left" is a study that had ended before; "interrupted" is by a signal or for lack of time; "paused" says
    that trials fail alike and none works; "short" should not be: trials are left and nobody asked for it. Raises what
    went wrong in the study itself: OvertakenError where another driver took over, LedgerError or UnwritableError where
    nothing can be written, ConflictError where the ledger contradicts itself. A trial's failure is an event, not an
    exception.
    """
    deadline = None if resources.max_hours is None else time.monotonic() + 3600 * resources.max_hours
    ending = Ending(deadline)
    with _heeding_signals(ending), Ledger(paths.ledger) as ledger:
        ending.ledger = ledger
        study = open_study(file, ledger, plan)
        _remove_left_checkpoints(study, paths)
        if retry_failed:
            study.reopen_failed()
        if study.is_finished:
            return "nothing left"
        ledger.history.clear()  # of a long study it takes more memory than all the rest
        code = CodeRecord.of_trial(study.plan.space.trial, UserCode.here())
        study.open_session(os.getpid(), resources.model_dump(), code)
        ending.study = study
        with connected(resources.address):
            # Once more: Ray takes SIGTERM for itself when it starts, and must not have it back while it shuts down.
            _heed_signals(ending)
            here = slots(resources)
            progress = Progress(study, here, resources.log_format, paths=paths)
            study.observer = progress.note
            with progress, tempfile.TemporaryDirectory(prefix="ablation-tune-") as scratch:
                workplace = _workplace(file, study.plan, paths, resources, here)
                _fit(study, paths, workplace, ending, here, Path(scratch))
            if ending.is_due and ending.fault is None:
                # Whoever interrupts may not wait for Ray's shutdown.
                ledger.flush()
                tables.materialise(paths)
    if ending.fault is not None:
        raise ending.fault
    # Only now is every end in the log for good; after a fault they may be another driver's.
    _remove_left_checkpoints(study, paths)
    if study.is_finished:
        return "finished"
    if ending.signal is None and not ending.is_out_of_time and ending.is_paused:
        return "paused"
    return "interrupted" if ending.is_due else "short"


def _remove_left_checkpoints(study: Study, paths: RunPaths) -> None:
    """Remove checkpoints of search trials that have ended: a driver that was killed did not come to it."""
    for trial_id, state in study.records.items():
        if state.has_ended and "/search/" in trial_id:
            shutil.rmtree(paths.checkpoint_dir(trial_id), ignore_errors=True)


def _fit(
    study: Study,
    paths: RunPaths,
    workplace: Workplace,
    ending: Ending,
    here: Slots,
    scratch: Path,
) -> None:
    tuner = tune.Tuner(
        tune.with_resources(TrialActor, here.per_trial),
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(study, here.count, workplace, ending),
            scheduler=StudyScheduler(study, paths, ending),
            num_samples=-1,
            max_concurrent_trials=here.count,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=str(scratch),
            callbacks=[StudyCallback(study, paths, ending)],
            stop=EndingStopper(ending),
            failure_config=tune.FailureConfig(max_failures=MOST_RETRIES),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )
    with kept_warm():
        tuner.fit()


def _workplace(file: StudyFile, plan: Plan, paths: RunPaths, resources: Resources, here: Slots) -> Workplace:
    return Workplace(
        run_dir=paths.root.resolve(),
        run_trial=plan.space.trial,  # the plan that was asked for, whatever study.json names
        data=file.data_uri,
        data_fingerprint=file.data_fingerprint,
        device="cuda" if here.gpus else "cpu",
        cpu_threads=max(1, int(here.cpus)),
        checkpoint_epochs=plan.rungs,
        user_code=UserCode.here(),
        watchdog_s=60 * resources.watchdog_minutes,
    )


@contextmanager
def _heeding_signals(ending: Ending) -> Iterator[None]:
    previous = _heed_signals(ending)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _heed_signals(ending: Ending) -> dict[signal.Signals, Any]:
    """Let signals end the sweep in order, and return the handlers that they had; none outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return {}  # Python lets no other thread handle signals

    def note(number: int, frame: FrameType | None) -> None:
        ending.signal = number

    heeded = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        heeded.append(signal.SIGHUP)
    return {number: signal.signal(number, note) for number in heeded}
