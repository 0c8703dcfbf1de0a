"""Trials one after the other in this process, without Ray: it starts at once, and breakpoints in a trial work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ablation.engine.executor import Lost, Sweep, TellNodes
from ablation.engine.node_facts import Needs
from ablation.engine.slots import Slots, in_process_slot, visible_gpus
from ablation.engine.worker import StepReport, Worker
from ablation.resources import Resources


class InProcess:
    """Run each trial to its end before the next; what trials print stays in the terminal, and no watchdog waits."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    @contextmanager
    def started(self, needs: Needs, tell: TellNodes, lost: Lost) -> Iterator[Slots]:
        """Offer one slot, on a GPU if there is one and trials may take it."""
        yield in_process_slot(self._resources, visible_gpus(None))

    def run(self, sweep: Sweep) -> None:
        """Run what the study hands out until nothing is left or ``stop`` is due."""
        worker, study, stop = Worker(), sweep.study, sweep.stop
        while not stop.is_due and (assignment := study.next_assignment()) is not None:
            study.started(assignment.trial.trial_id)
            worker.start(assignment, sweep.environment)
            goes_on = True
            while not stop.is_due and goes_on:
                goes_on = sweep.results.take(assignment.trial, _step(worker))
            worker.close(is_over=not goes_on and stop.fault is None)
            worker.restore_process()
        worker.finish()


def _step(worker: Worker) -> StepReport:
    """Train one epoch; out of memory is the trial's failure here, since there is no other process to try again in."""
    try:
        return worker.step()
    except Exception as error:
        return worker.report(failure=f"{type(error).__name__}: {error}")
