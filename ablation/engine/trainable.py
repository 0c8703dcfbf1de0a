"""Ray's actor around a worker: one step is one epoch, and what the trial prints goes to its log."""

from __future__ import annotations

import faulthandler
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ray import tune

from ablation.engine.fitness import Fitness
from ablation.engine.output import STDERR, UNREADABLE_AS, Output
from ablation.engine.watchdog import trace_of, watched
from ablation.engine.worker import StepReport, TrialEnvironment, Worker, is_unwritable
from ablation.study.study import Assignment

# A worker without a trial says so at once, and then ever less often: each report takes the driver milliseconds.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 1.0


class TrialActor(tune.Trainable):
    """Train the trials that ``take`` names, as ``config`` says: ``{"environment": TrialEnvironment}``."""

    def setup(self, config: dict[str, Any]) -> None:
        """Be ready for trials.

        Raises UnfitNodeError on a node that has joined a moment ago and that the preflight is about to refuse.
        """
        self._environment: TrialEnvironment = config["environment"]
        fitness: Fitness | None = self._environment.fitness
        if fitness is not None:
            fitness.check()
        self._output = Output()
        self._worker = Worker()
        self._has_trial = False
        self._next: list[Assignment | None] = []  # what the next step changes to
        self._pause_s = 0.0

    def take(self, assignment: Assignment | None) -> None:
        """Take another trial into the same warm process, with the next step; None: leave the one that is over."""
        self._next = [assignment]

    def _change_trial(self, assignment: Assignment | None) -> None:
        if self._has_trial:
            self._has_trial = False
            self._leave_trial(is_over=True)
        if assignment is not None:
            self._worker.start(assignment, self._environment)
            self._has_trial, self._pause_s = True, 0.0

    def cleanup(self) -> None:
        """Stop the trial where it stands, and put the process back to what it was."""
        if self._has_trial:
            self._leave_trial(is_over=bool(self._next))  # no step has come for what it was to change to
        self._worker.finish()

    def _leave_trial(self, *, is_over: bool) -> None:
        if self._worker.records is not None:
            with self._watched():
                self._worker.close(is_over=is_over)
        self._worker.restore_process()
        self._output.restore()

    def step(self) -> dict[str, StepReport | None]:
        """Train one epoch; whatever the trial prints goes to its log. Without a trial, report None now and then.

        Raises what only a new process can mend, and what a signal raised here.
        """
        while self._next:
            self._change_trial(self._next.pop())
        if not self._has_trial:
            time.sleep(self._pause_s)
            self._pause_s = min(max(FIRST_PAUSE_S, 2 * self._pause_s), LONGEST_PAUSE_S)
            return {"report": None}
        worker = self._worker
        try:
            if not self._output.is_redirected:
                worker.fetch()
                self._output.to(worker.files.log(worker.assignment.trial.trial_id))
                faulthandler.enable(file=STDERR)  # of a crash, the log has the stack
            with self._watched():
                if worker.records is None and self._hang.stat().st_size:
                    return {"report": worker.handed_over(worker.report(failure=self._hung()))}
                return {"report": worker.step()}
        except OSError as error:
            if not is_unwritable(error):
                return {"report": worker.report(failure=f"{type(error).__name__}: {error}")}
            return {"report": worker.report(unwritable=str(error))}

    def _watched(self) -> AbstractContextManager[None]:
        return watched(self._hang, self._worker.environment.watchdog_s)

    @property
    def _hang(self) -> Path:
        return trace_of(self._worker.files.log(self._worker.assignment.trial.trial_id))

    def _hung(self) -> str:
        """Say that this trial's process was ended by the watchdog, and put the traceback it left into the log."""
        print(self._hang.read_text("utf-8", UNREADABLE_AS))
        waited_s = self._worker.environment.watchdog_s
        return f"no epoch within {waited_s:g} s (the watchdog ended it; its log has the traceback)"
