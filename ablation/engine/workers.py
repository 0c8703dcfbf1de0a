"""The workers of a sweep: how many there should be, and which trial each of them has. No Ray in here.

A worker asks for a place, starts, and trains the study's trials one after the other. It gets a trial when it is ready
for one and not before, so that no proposal waits for a place.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from ablation.engine.executor import Look
from ablation.engine.places import Places
from ablation.engine.results import Results
from ablation.engine.sharing import in_words
from ablation.engine.stop import NoWorkerError, StopReason
from ablation.engine.worker import StepReport
from ablation.failures import LOST
from ablation.plan import PlannedTrial
from ablation.study.study import Assignment, Study

MOST_RETRIES = 3
SAID_AFTER_S = 10.0  # a process takes some seconds to start

Hand = Callable[[Assignment | None], object]  # gives a worker its next trial; None: it waits for one


class Workers:
    """Keep as many workers as there are places and trials, and give each that is ready the study's next trial."""

    def __init__(
        self,
        study: Study,
        results: Results,
        stop: StopReason,
        places: Places,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._study = study
        self._results = results
        self._stop = stop
        self._places = places
        self._clock = clock
        self._waiting: dict[str, float] = {}  # for a place, or for their process to start; since when
        self._ready: dict[str, PlannedTrial | None] = {}  # what each of them trains
        self._losses: Counter[str] = Counter()
        self._failed_starts = 0
        self._most_at_once = 1

    def look(self, tell: Look) -> None:
        """Look at the nodes, and tell what is there and what is waited for, at most once a second."""
        if self._places.look():
            tell(replace(self._places.slots, wait=self._wait()))

    def _wait(self) -> str:
        """Say what is waited for, if that takes longer than a process takes to start, and what other studies have."""
        there, waiting = self._places.slots, len(self._waiting)
        waited_s = self._clock() - min(self._waiting.values(), default=self._clock())
        words = [in_words(self._places.others)] if self._places.others else []
        if waited_s >= SAID_AFTER_S:
            if len(self._ready) + waiting <= there.count:
                what = f"{waiting} of {there.count} places are taken or not ready, {waited_s:.0f} s"
            else:
                each = " + ".join(f"{count:g} {name}" for name, count in there.per_trial.items())
                asked = f"asked the cluster for {waiting} × {each}, {waited_s:.0f} s"
                what = f"{there.count} of {self._places.most} places; {asked}"
            words.insert(0, what)
        return "; ".join(words)

    @property
    def wants_another(self) -> bool:
        """Whether one more should be asked for: there may be one, and a trial is there that no other will take."""
        workers = len(self._waiting) + len(self._ready)
        return workers < self._places.most and len(self._waiting) < self._study.ready

    def asked_for(self, worker: str) -> None:
        """Note that a worker was asked for."""
        self._waiting[worker] = self._clock()
        self._most_at_once = max(self._most_at_once, len(self._waiting) + len(self._ready))

    def withdrawn(self) -> list[str]:
        """Forget waiting workers for which there will be no place or no trial, the newest first, and return them."""
        useful = min(self._places.most, len(self._study.state.unended))
        too_many = max(0, len(self._waiting) + len(self._ready) - useful)
        chosen = list(reversed(self._waiting))[:too_many]
        for worker in chosen:
            del self._waiting[worker]
        return chosen

    def reported(self, worker: str, report: StepReport | None, node: str, hand: Hand) -> bool:
        """Take a worker's report, None if it has no trial, and return whether it goes on, maybe with another trial."""
        self._waiting.pop(worker, None)
        self._failed_starts = 0
        before = self._ready.get(worker)
        if before is not None and report is not None and self._results.take(before, report, node):
            return True
        self._ready[worker] = None
        with self._stop.noting_faults():
            if not self._stop.is_due:
                assignment = (
                    None if self._is_over_share else self._study.next_assignment(max(1, self._places.slots.count))
                )
                if assignment is not None:
                    self._ready[worker] = assignment.trial
                    self._study.started(assignment.trial.trial_id, node)
                if assignment is not None or before is not None:
                    hand(assignment)
                if assignment is not None or not self._is_one_too_many:
                    return True
        del self._ready[worker]
        return False

    @property
    def _is_one_too_many(self) -> bool:
        """Whether one of the workers that are ready should end, if it has no trial."""
        return self._is_over_share or len(self._ready) > len(self._study.state.unended)

    @property
    def _is_over_share(self) -> bool:
        """Whether another study waits for a place that one of the workers has."""
        return self._places.share is not None and len(self._ready) > self._places.share

    def trial_of(self, worker: str) -> str | None:
        """Return the id of the trial that a worker trains, if it has one."""
        trial = self._ready.get(worker)
        return None if trial is None else trial.trial_id

    def lost(self, worker: str, cause: str) -> None:
        """Take back the trial of a worker that was lost; one that has lost several fails.

        A worker without a trial is no loss, but if none starts any more the sweep ends. All that were asked for at once
        may fail on one node, which has joined and is not refused yet.
        """
        is_started, trial = worker in self._ready, self._ready.pop(worker, None)
        self._waiting.pop(worker, None)
        with self._stop.noting_faults():
            if trial is not None:
                self._losses[trial.trial_id] += 1
                times = self._losses[trial.trial_id]
                if times <= MOST_RETRIES:
                    self._study.requeue(trial.trial_id, cause)
                else:
                    self._study.end(trial.trial_id, "failed", f"{LOST} {times} times: {cause}")
            elif not is_started:
                self._failed_starts += 1
                if self._failed_starts > MOST_RETRIES * self._most_at_once:
                    raise NoWorkerError(f"no worker starts ({cause}); mend that, then go on with --resume")
