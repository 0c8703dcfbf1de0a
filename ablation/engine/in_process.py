"""Trials one after the other in this process, without Ray: it starts at once, and breakpoints in a trial work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ablation.engine.executor import Look, TellNodes
from ablation.engine.node_facts import Needs
from ablation.engine.results import Results
from ablation.engine.slots import Slots, in_process_slot, visible_gpus
from ablation.engine.stop import StopReason
from ablation.engine.worker import StepReport, TrialEnvironment, Worker
from ablation.paths import RunPaths
from ablation.resources import Resources
from ablation.study.study import Study


class InProcess:
    """Run each trial to its end before the next; what trials print stays in the terminal, and no watchdog waits."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    @contextmanager
    def started(self, needs: Needs, tell: TellNodes) -> Iterator[Slots]:
        """Offer one slot, on a GPU if there is one and trials may take it."""
        yield in_process_slot(self._resources, visible_gpus(None))

    def run(
        self,
        study: Study,
        paths: RunPaths,
        environment: TrialEnvironment,
        stop: StopReason,
        results: Results,
        look: Look,
    ) -> None:
        """Run what the study hands out until nothing is left or ``stop`` is due."""
        worker = Worker()
        while not stop.is_due and (assignment := study.next_assignment()) is not None:
            study.started(assignment.trial.trial_id)
            worker.start(assignment, environment)
            goes_on = True
            while not stop.is_due and goes_on:
                goes_on = results.take(assignment.trial, _step(worker))
            worker.close(is_over=not goes_on and stop.fault is None)
            worker.restore_process()
        worker.finish()


def _step(worker: Worker) -> StepReport:
    """Train one epoch; out of memory is the trial's failure here, since there is no other process to try again in."""
    try:
        return worker.step()
    except Exception as error:
        return worker.report(failure=f"{type(error).__name__}: {error}")
