"""Sweeps without Ray: a whole one, or one that ends as said after five epochs."""

from __future__ import annotations

import io
import signal
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace

import pytest

from ablation import execution
from ablation.engine.executor import Lost, Sweep, TellNodes
from ablation.engine.in_process import InProcess
from ablation.engine.node_facts import Needs
from ablation.engine.results import Results
from ablation.engine.slots import Slots
from ablation.engine.worker import StepReport
from ablation.plan import PlannedTrial
from ablation.planning import planned_run
from ablation.resources import Resources

EPOCHS_BEFORE_END = 5


class _GivenUpError(Exception):
    """The executor ends before its time, with no reason."""


class _EndsEarly(Results):
    """Take five reports; then a signal comes, or the executor gives up."""

    def __init__(self, sweep: Sweep, ended: str) -> None:
        super().__init__(sweep.study, sweep.paths, sweep.stop, sweep.results.removal)
        self._its_stop = sweep.stop
        self._ended = ended
        self._taken = 0

    def take(self, trial: PlannedTrial, report: StepReport, node: str | None = None) -> bool:
        goes_on = super().take(trial, report, node)
        self._taken += 1
        if self._taken == EPOCHS_BEFORE_END:
            if self._ended == "interrupted":
                self._its_stop.signals.number = signal.SIGTERM
            else:
                raise _GivenUpError
        return goes_on


class _Quiet(InProcess):
    """Run in this process, keep what trials print, and end as said."""

    def __init__(self, resources: Resources, ended: str) -> None:
        super().__init__(resources)
        self._ended = ended

    @contextmanager
    def started(self, needs: Needs, tell: TellNodes, lost: Lost) -> Iterator[Slots]:
        yield Slots(1, 1.0, 0.0)

    def run(self, sweep: Sweep) -> None:
        if self._ended != "finished":
            sweep = replace(sweep, results=_EndsEarly(sweep, self._ended))
        with redirect_stdout(io.StringIO()):
            try:
                super().run(sweep)
            except _GivenUpError:
                return


def put_in_place(patch: pytest.MonkeyPatch, ended: str = "finished") -> None:
    """Let sweeps run one trial after the other in this process, and end as said: all of it, or after five epochs."""
    patch.setattr("ablation.engine.driver.executor_for", lambda resources: _Quiet(resources, ended))
    patch.setattr(planned_run, "visible_gpus", lambda address: 0)
    patch.setattr(execution, "try_confirm_trial", lambda *asked: None)  # in a process of its own, for whole seconds
