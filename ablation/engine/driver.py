"""Run what a study has left to run, with everything that happens in the ledger."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Literal, Protocol

from ablation import tables
from ablation.code_record import CodeRecord
from ablation.engine.checkpoint_removal import CheckpointRemoval, keep_as_before
from ablation.engine.executor import Look, Lost, Sweep, TellNodes, executor_for
from ablation.engine.node_facts import Needs
from ablation.engine.results import Results
from ablation.engine.signals import Signals
from ablation.engine.slots import Slots
from ablation.engine.stop import StopReason
from ablation.engine.trial_files import remove_local_side
from ablation.engine.worker import TrialEnvironment
from ablation.failures import Kind
from ablation.ledger.log import Event, Ledger, OvertakenError
from ablation.paths import RunPaths
from ablation.plan import Plan
from ablation.resources import Resources
from ablation.store import as_typed
from ablation.study.growth import open_study
from ablation.study.study import Study
from ablation.study_file import StudyFile
from ablation.user_code import UserCode

Watch = Callable[[Study, Slots], "Watcher"]
SweepEnd = Literal["finished", "nothing left", "interrupted", "paused", "short"]


class Watcher(AbstractContextManager["Watcher"], Protocol):
    """What follows a sweep while it runs."""

    def note(self, event: Event) -> None:
        """Take an event that the study has applied."""

    def look(self, slots: Slots) -> None:
        """Take how many trials run at once now, about once a second."""


def sweep(
    file: StudyFile,
    paths: RunPaths,
    resources: Resources,
    plan: Plan | None = None,
    *,
    retry: Collection[Kind] = (),
    begin: Callable[[], None] = lambda: None,
    watch: Watch | None = None,
    tell: TellNodes = lambda nodes: None,
    lost: Lost = lambda error: None,
) -> SweepEnd:
    """Run every trial that the ledger does not know as ended, and say how it ended.

    A ``plan`` that the study's own is a part of makes it grow; ``retry`` are the kinds of failures whose trials are
    opened again. If anything is left, ``begin`` is called before what runs trials is started; what ``watch`` returns
    sees each event, and ``tell`` hears of a cluster's nodes as they are checked.
    If the head of a cluster is lost, ``lost`` is called with the error, and the process ends.
    "nothing left" is a study that had ended before; "interrupted" is by a signal or for lack of time; "paused" says
    that trials fail alike and none works; "short" should not be: trials are left and nobody asked for it. Raises what
    went wrong in the study itself: OvertakenError if another driver took over, LedgerError or UnwritableError if
    nothing can be written, ConflictError if the ledger contradicts itself. A trial's failure is an event, not an
    exception.
    """
    deadline = None if resources.max_hours is None else time.monotonic() + 3600 * resources.max_hours
    signals = Signals()
    with signals.noted(), Ledger(paths.ledger) as ledger:
        study = open_study(file, ledger, plan)
        stop = StopReason(study, ledger, signals, deadline)
        keep = resources.keep or keep_as_before(ledger.history)
        resources = resources.model_copy(update={"keep": keep})
        study.keep(keep)
        removal = CheckpointRemoval(study, paths, ledger)
        removal.begin()
        study.reopen_failed(retry)
        if study.is_finished:
            return "nothing left"
        ledger.history.clear()  # of a long study it takes more memory than all the rest
        code = CodeRecord.of_trial(study.plan.space.trial, UserCode.here())
        study.open_session(os.getpid(), resources.model_dump(), code)
        begin()
        executor = executor_for(resources)
        with executor.started(_needs(file, study.plan, paths), tell, lost) as slots:
            with _watched(study, slots, watch) as look:
                environment = _environment(file, study.plan, paths, resources, slots)
                with closing(removal):
                    results = Results(study, paths, stop, removal)
                    executor.run(Sweep(study, paths, environment, stop, results, look))
            if stop.is_due and stop.fault is None:
                # Whoever interrupts may not wait for Ray's shutdown.
                ledger.flush()
                tables.materialise(paths)
    # Another driver may have taken over while Ray shut down.
    overtaken = ledger.failure if isinstance(ledger.failure, OvertakenError) else None
    if (fault := stop.fault or overtaken) is not None:
        raise fault
    # Only now does the log hold every end; after a fault they may be another driver's.
    removal.finish()
    if study.is_finished:
        remove_local_side(paths)
        return "finished"
    if signals.number is None and not stop.is_out_of_time and stop.is_paused:
        return "paused"
    return "interrupted" if stop.is_due else "short"


@contextmanager
def _watched(study: Study, slots: Slots, watch: Watch | None) -> Iterator[Look]:
    if watch is None:
        yield lambda slots: None
        return
    with watch(study, slots) as watcher, study.followed_by(watcher.note):
        yield watcher.look


def _needs(file: StudyFile, plan: Plan, paths: RunPaths) -> Needs:
    return Needs(
        run_dir=paths.root.resolve(),
        marker="",
        run_trial=plan.space.trial,
        user_code=UserCode.here(),
        dataset=plan.space.dataset,
        data=file.planned_data,
    )


def _environment(file: StudyFile, plan: Plan, paths: RunPaths, resources: Resources, slots: Slots) -> TrialEnvironment:
    return TrialEnvironment(
        run_dir=paths.root.resolve(),
        run_trial=plan.space.trial,  # the plan that was asked for, whatever study.json names
        data=file.data_uri,
        data_fingerprint=file.data_fingerprint,
        data_decoding=file.data_decoding,
        init_from=None if plan.init_from is None else as_typed(paths.initial(plan.init_from.name).absolute()),
        device="cuda" if slots.gpus else "cpu",
        cpu_threads=max(1, int(slots.cpus)),
        checkpoint_epochs=plan.rungs,
        user_code=UserCode.here(),
        watchdog_s=60 * resources.watchdog_minutes,
        keep=resources.keep or "confirmed",
    )
