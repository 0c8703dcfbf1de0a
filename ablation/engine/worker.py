"""A worker trains trials, one after the other, an epoch at a time. No Ray in here.

It decides nothing and ends nothing: it reports, and the study answers go on or stop. An exception in the trial is a
report too, MemoryError included, so the worker stays warm. Three are not: one after which the GPU is of no use takes
the process with it, to start again in a fresh one; a signal that ends the process is no trial's fault, and the trial
starts again; a full or read-only disk is none either, and ends the sweep.
"""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ablation.code_record import CodeRecord
from ablation.engine.fitness import Fitness
from ablation.engine.process_state import ProcessState
from ablation.engine.travel import arrived
from ablation.engine.trial_files import TrialFiles
from ablation.engine.uploads import StoreError
from ablation.paths import RunPaths
from ablation.resources import Keep
from ablation.store import AnyPath
from ablation.study.study import Assignment
from ablation.trial import EpochRecord, RunTrial, TrialContext, build_config, import_object
from ablation.user_code import UserCode

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class TrialEnvironment:
    """What all trials of a study share: their code, where they write, what they read, how long an epoch may take.

    ``fitness`` is what a worker of a cluster holds its node to; None where that needs no asking.
    """

    run_dir: AnyPath
    run_trial: str
    data: str | None
    data_fingerprint: str | None
    device: str
    cpu_threads: int
    checkpoint_epochs: tuple[int, ...]
    user_code: UserCode
    watchdog_s: float
    data_decoding: int | None = None
    fitness: Fitness | None = None
    init_from: str | None = None
    keep: Keep = "confirmed"


@dataclass(frozen=True)
class StepReport:
    """One step's result: an epoch's record, or why there will be none.

    ``code`` is what this process runs, with the first report that can. ``unwritable`` says that it was not the
    trial's fault: nothing can be written where the run lies.
    """

    record: EpochRecord | None
    elapsed_s: float
    checkpoint: str | None = None
    code: CodeRecord | None = None
    failure: str | None = None
    unwritable: str | None = None


class Worker:
    """Train the trials that it is given; ``start``, then ``step`` for each epoch, then ``close``."""

    def __init__(self) -> None:
        self._state: ProcessState | None = None
        self._code: CodeRecord | None = None
        self._files: TrialFiles | None = None

    def start(self, assignment: Assignment, environment: TrialEnvironment) -> None:
        """Take a trial; its code runs with the first step, where a failure can be reported."""
        self.assignment = assignment
        self.environment = environment
        if self._files is None or self._files.run.root != environment.run_dir:
            self._files = TrialFiles(RunPaths(environment.run_dir))
        self.files = self._files
        self.records: Iterator[EpochRecord] | None = None
        self._has_files = self._may_stay = False
        self._began = time.monotonic()

    def fetch(self) -> None:
        """Fetch what an earlier attempt left, once a trial; raises StoreError if the run's store stays away."""
        if not self._has_files:
            self.files.begin(self.assignment.trial.trial_id)
            self._has_files = True

    def step(self) -> StepReport:
        """Train one epoch; raises what only a new process can mend, and what a signal raised here."""
        try:
            self.fetch()
        except StoreError as error:
            return self.report(unwritable=str(error))
        return self.handed_over(self._stepped())

    def handed_over(self, report: StepReport) -> StepReport:
        """Send what the trial has written on its way to the run's store, and return its report.

        A checkpoint that may stay is named by the trial's end, so that it has to be there by then.
        """
        self._may_stay = self._may_end_kept(report.record)
        try:
            self.files.send(self.assignment.trial.trial_id, is_awaited=self._may_stay)
        except StoreError as error:
            return replace(report, unwritable=str(error))
        return report

    def _may_end_kept(self, record: EpochRecord | None) -> bool:
        """Return whether this may be a trial's end, and its checkpoint one that stays in the run."""
        trial, keep = self.assignment.trial, self.environment.keep
        is_trained = record is not None and record.epoch >= trial.epochs
        if trial.phase == "search" and keep == "best-per-arm":
            return is_trained
        if trial.phase == "search" and keep == "all":
            return record is None or is_trained or record.epoch in self.environment.checkpoint_epochs
        return trial.phase == "confirm" and (record is None or is_trained)

    def _stepped(self) -> StepReport:
        try:
            record = next(self._running(), None)
        # SystemExit is how scripts say that something is missing, and asyncio's CancelledError is no Exception: no
        # reason to end a process that others use. When memory runs low, Ray kills workers, so a MemoryError is the
        # trial's own, and would come again.
        except BaseException as error:
            traceback.print_exc()
            if _is_from_signal(error):
                raise
            if is_unwritable(error):
                return self.report(unwritable=str(error))
            if _breaks_the_process(error):
                raise
            # The trial's own failure, whatever it is: reported to the study, which counts it.
            return self.report(failure=f"{type(error).__name__}: {error}")
        if record is None:
            return self.report(failure=f"run_trial ended before epoch {self.assignment.trial.epochs}")
        return self.report(record)

    def close(self, *, is_over: bool) -> None:
        """Stop the trial where it stands, so that it can free what it holds; its faults are not the next trial's.

        ``is_over`` says that the study needs no more of it; otherwise it goes on another time.
        """
        records, self.records = self.records, None
        close = getattr(records, "close", None)
        try:
            if close is not None:
                close()
        except BaseException as error:
            traceback.print_exc()
            if _is_from_signal(error):
                raise
        finally:
            if self._has_files:
                self.files.end(self.assignment.trial.trial_id, is_sent=not is_over or self._may_stay)

    def finish(self) -> None:
        """Wait until all that was written is in the run's store."""
        if self._files is not None:
            self._files.finish()

    def restore_process(self) -> None:
        """Put the process back to what it was before its first trial."""
        if self._state is not None:
            self._state.restore()

    def report(
        self, record: EpochRecord | None = None, failure: str | None = None, unwritable: str | None = None
    ) -> StepReport:
        """Return a report of the trial as it stands."""
        checkpoint = self.files.newest_checkpoint(self.assignment.trial.trial_id)
        code, self._code = self._code, None
        return StepReport(record, time.monotonic() - self._began, checkpoint, code, failure, unwritable)

    def _running(self) -> Iterator[EpochRecord]:
        if self.records is None:
            run_trial = self._run_trial()
            self.records = run_trial(build_config(run_trial, self.assignment.config), self._context())
        return self.records

    def _run_trial(self) -> RunTrial:
        """Import the trial where the study is at home; this process is kept as it is then, for the trials to come."""
        environment = self.environment
        user_code = arrived(environment.user_code)
        user_code.enter()
        run_trial: RunTrial = import_object(environment.run_trial)
        if self._state is None:
            self._code = CodeRecord.of_trial(environment.run_trial, user_code)
            self._state = ProcessState()
        self._state.seed(self.assignment.trial.seed)
        return run_trial

    def _context(self) -> TrialContext:
        trial, environment = self.assignment.trial, self.environment
        return trial.context(
            self.files.checkpoint_dir(trial.trial_id),
            self.files.artifact_dir(trial.trial_id),
            data=environment.data,
            data_fingerprint=environment.data_fingerprint,
            data_decoding=environment.data_decoding,
            device=environment.device,
            cpu_threads=environment.cpu_threads,
            checkpoint_epochs=environment.checkpoint_epochs,
            init_from=environment.init_from,
        )


def is_unwritable(error: BaseException) -> bool:
    """Return whether an error says that nothing can be written where the run lies."""
    return isinstance(error, StoreError) or (isinstance(error, OSError) and error.errno in UNWRITABLE)


def _is_from_signal(error: BaseException) -> bool:
    """Return whether a signal to this process raised it: SIGINT as in all of Python, or SIGTERM as in Ray's workers."""
    return isinstance(error, KeyboardInterrupt) or hasattr(error, "ray_terminate_msg")


def _breaks_the_process(error: BaseException) -> bool:
    """Return whether the process should not train another trial: a GPU out of memory, or whose context is broken."""
    if type(error).__name__ in ("OutOfMemoryError", "AcceleratorError"):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in ("CUDA error", "CUBLAS_STATUS"))
