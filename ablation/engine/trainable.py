"""Ray's actor around a ``run_trial``: one step is one epoch, and one actor runs many trials, one after the other.

The actor decides nothing and ends nothing: it reports, and the study answers go on or stop. An exception in the
trial is a report too, so the actor stays warm. Two are not: a trial that ran out of memory takes its process with it,
to start again in a fresh one, and a full or read-only disk is no trial's fault and ends the sweep.
"""

from __future__ import annotations

import errno
import faulthandler
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from ablation.checkpoint import newest_path
from ablation.code_record import CodeRecord
from ablation.engine.output import STDERR, UNREADABLE_AS, Output
from ablation.engine.study import Assignment
from ablation.paths import RunPaths
from ablation.process_state import ProcessState
from ablation.trial import EpochRecord, RunTrial, TrialContext, build_config, load
from ablation.user_code import UserCode

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Workplace:
    """What all trials of a study share: their code, where they write, what they read, how long an epoch may take."""

    run_dir: Path
    run_trial: str
    data: str | None
    data_fingerprint: str | None
    device: str
    cpu_threads: int
    checkpoint_epochs: tuple[int, ...]
    user_code: UserCode
    watchdog_s: float


@dataclass(frozen=True)
class Report:
    """One step's result: an epoch's record, or why there will be none.

    ``code`` is what this process runs, with the first report that can tell it. ``unwritable`` says that it was not the
    trial's fault: nothing can be written where the run lies.
    """

    record: EpochRecord | None
    elapsed_s: float
    checkpoint: str | None = None
    code: CodeRecord | None = None
    failure: str | None = None
    unwritable: str | None = None


class TrialActor(tune.Trainable):
    """Run the trial that ``config`` names: ``{"assignment": Assignment, "workplace": Workplace}``."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first trial; it starts with the first step, where a failure can be reported."""
        self._output = Output()
        self._state: ProcessState | None = None
        self._code: CodeRecord | None = None
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial into the same warm process."""
        self.cleanup()
        self._take(new_config)
        return True

    def _take(self, config: dict[str, Any]) -> None:
        self._assignment: Assignment = config["assignment"]
        self._workplace: Workplace = config["workplace"]
        self._paths = RunPaths(self._workplace.run_dir)
        self._records: Iterator[EpochRecord] | None = None
        self._began = time.monotonic()

    def cleanup(self) -> None:
        """Stop the trial where it stands, so that it can free what it holds; its faults are not the next trial's."""
        records, self._records = self._records, None
        close = getattr(records, "close", None)
        if close is not None:
            with self._watched():
                try:
                    close()
                except (Exception, SystemExit):
                    traceback.print_exc()
        if self._state is not None:
            self._state.restore()
        self._output.back()

    def step(self) -> dict[str, Report]:
        """Train one epoch; whatever the trial prints goes to its log.

        Raises what a trial that ran out of memory raised: a new process may have more.
        """
        try:
            if not self._output.is_redirected:
                self._output.to(self._paths.log(self._assignment.trial.trial_id))
                faulthandler.enable(file=STDERR)  # of a crash, the log has the stack
            with self._watched():
                return {"report": self._next_report()}
        except OSError as error:
            if error.errno not in UNWRITABLE:
                return {"report": self._report(failure=f"{type(error).__name__}: {error}")}
            return {"report": self._report(unwritable=str(error))}

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """End this process, leaving its traceback, if an epoch takes longer than the watchdog waits."""
        self._hang.parent.mkdir(parents=True, exist_ok=True)
        with self._hang.open("a", encoding="utf-8", errors=UNREADABLE_AS) as traces:
            faulthandler.dump_traceback_later(self._workplace.watchdog_s, exit=True, file=traces)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
                self._hang.unlink(missing_ok=True)

    @property
    def _hang(self) -> Path:
        return self._paths.log(self._assignment.trial.trial_id).with_suffix(".hang.txt")

    def _next_report(self) -> Report:
        try:
            if self._records is None and self._hang.stat().st_size:
                return self._report(failure=self._hung())
            record = next(self._running(), None)
        # SystemExit is how scripts say that something is missing: no reason to end a process that others use.
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            if isinstance(error, OSError) and error.errno in UNWRITABLE:
                return self._report(unwritable=str(error))
            if _breaks_the_process(error):
                raise
            # The trial's own failure, whatever it is: told to the study, which counts it.
            return self._report(failure=f"{type(error).__name__}: {error}")
        if record is None:
            return self._report(failure=f"run_trial ended before epoch {self._assignment.trial.epochs}")
        return self._report(record)

    def _running(self) -> Iterator[EpochRecord]:
        if self._records is None:
            run_trial = self._run_trial()
            self._records = run_trial(build_config(run_trial, self._assignment.config), self._context())
        return self._records

    def _run_trial(self) -> RunTrial:
        """Import the trial where the study is at home; this process is kept as it is then, for the trials to come."""
        self._workplace.user_code.enter()
        run_trial: RunTrial = load(self._workplace.run_trial)
        if self._state is None:
            self._code = CodeRecord.of_trial(self._workplace.run_trial, self._workplace.user_code)
            self._state = ProcessState()
        return run_trial

    def _hung(self) -> str:
        """Say that this trial's process was ended by the watchdog, and put the traceback it left into the log."""
        print(self._hang.read_text("utf-8", UNREADABLE_AS))
        return f"no epoch within {self._workplace.watchdog_s:g} s (the watchdog ended it; its log has the traceback)"

    def _report(
        self, record: EpochRecord | None = None, failure: str | None = None, unwritable: str | None = None
    ) -> Report:
        directory = self._paths.checkpoint_dir(self._assignment.trial.trial_id)
        newest = newest_path(directory)
        checkpoint = None if newest is None else newest.relative_to(self._paths.root).as_posix()
        code, self._code = self._code, None
        return Report(record, time.monotonic() - self._began, checkpoint, code, failure, unwritable)

    def _context(self) -> TrialContext:
        trial, work = self._assignment.trial, self._workplace
        return trial.context(
            self._paths.checkpoint_dir(trial.trial_id),
            self._paths.artifact_dir(trial.trial_id),
            data=work.data,
            data_fingerprint=work.data_fingerprint,
            device=work.device,
            cpu_threads=work.cpu_threads,
            checkpoint_epochs=work.checkpoint_epochs,
        )


def _breaks_the_process(error: BaseException) -> bool:
    """Tell whether the process should not train another trial: out of memory, or a GPU whose context is broken."""
    if isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "AcceleratorError"):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in ("CUDA error", "CUBLAS_STATUS"))
