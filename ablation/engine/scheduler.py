"""Tune's hooks around a study: thin coats that ask it what comes next and report what came.

Tune logs and goes on when a hook raises. A fault in here is the study's, not a trial's, so each hook notes it and
the sweep ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from ablation.engine.lost_worker import cause_of_loss
from ablation.engine.results import Results
from ablation.engine.stop import StopReason
from ablation.engine.trial_files import newest_log
from ablation.engine.worker import TrialEnvironment
from ablation.failures import LOST
from ablation.paths import RunPaths
from ablation.study.study import Study

MOST_RETRIES = 3


class NotPickled:
    """Pickle as nothing: Tune puts its hooks into snapshots of its own, which this project never reads."""

    def __getstate__(self) -> dict[str, Any]:
        """Return no state."""
        return {}


class StudySearcher(NotPickled, Searcher):
    """Hand Tune the study's next trial."""

    def __init__(self, study: Study, slots: int, environment: TrialEnvironment, stop: StopReason) -> None:
        super().__init__()
        self._study = study
        self._slots = slots
        self._environment = environment
        self._stop = stop

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Take nothing from Tune: the plan has it all."""
        return True

    def suggest(self, trial_id: str) -> Any:  # Ray's annotation leaves FINISHED out
        """Return the next trial, None to wait for one, FINISHED when none will come."""
        with self._stop.noting_faults():
            if self._stop.is_due or self._study.is_finished:
                # Not None when the sweep should end: with no trial running, Tune would wait for one for ever. And not
                # before the last trial has ended: until then its worker may be lost, and the study hand it out again.
                return str(Searcher.FINISHED)
            assignment = self._study.next_assignment(self._slots)
            if assignment is not None:
                return {"assignment": assignment, "environment": self._environment}
        return None

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the ledger has it all."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Ignore: the scheduler's hooks have reported it to the study."""


class StudyScheduler(NotPickled, FIFOScheduler):
    """Pass each report to the study and its answer to Tune."""

    def __init__(self, results: Results) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._results = results
        self._offered: set[tuple[str, int]] = set()

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Offer each attempt of a pending trial once, the newest trial first.

        Tune gives the trial that is offered a worker that has become free, and ends the one that was starting for it. A
        trial offered again and again, as by FIFO, so loses worker after worker in mid-start, and many slots stay empty.
        """
        for trial in reversed(tune_controller.get_trials()):
            attempt = trial.trial_id, trial.num_failures
            if trial.status == Trial.PENDING and attempt not in self._offered:
                self._offered.add(attempt)
                return trial
        return None

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Stop a trial when the study says so."""
        goes_on = self._results.take(trial.config["assignment"].trial, result["report"], trial.node_ip)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)


class StudyCallback(NotPickled, Callback):
    """Report to the study when trials start, start again, and are given up.

    Here and not in the scheduler, whose ``on_trial_error`` Tune calls for every failure, also one that it will retry.
    """

    def __init__(
        self, study: Study, paths: RunPaths, stop: StopReason, distrust_idle_workers: Callable[[], None]
    ) -> None:
        self._study = study
        self._paths = paths
        self._stop = stop
        self._distrust_idle_workers = distrust_idle_workers
        self._returned: Counter[str] = Counter()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Count an attempt."""
        with self._stop.noting_faults():
            self._study.started(our_id(trial))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note why a trial starts again."""
        with self._stop.noting_faults():
            self._study.retried(our_id(trial), self._cause(trial))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """End a trial that lost its worker once too often.

        A worker that dies between two trials takes the next one down with it before it started, and Tune retries only
        what runs: such a trial is requeued.
        """
        trial_id = our_id(trial)
        with self._stop.noting_faults():
            if trial.num_failures <= MOST_RETRIES and self._returned[trial_id] < MOST_RETRIES:
                self._returned[trial_id] += 1
                self._distrust_idle_workers()
                self._study.requeue(trial_id, self._cause(trial))
            else:
                self._study.end(trial_id, "failed", f"{LOST} {trial.num_failures} times: {self._cause(trial)}")

    def _cause(self, trial: Any) -> str:
        return cause_of_loss(trial.error_file, newest_log(self._paths, our_id(trial)))


class StopWhenDue(NotPickled, Stopper):
    """Stop Tune when the sweep should end."""

    def __init__(self, stop: StopReason) -> None:
        self._stop = stop

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Stop no single trial: that is the scheduler's."""
        return False

    def stop_all(self) -> bool:
        """Stop everything when there is a reason to."""
        return self._stop.is_due


def our_id(trial: Any) -> str:
    """Return the study's id of one of Tune's trials."""
    return str(trial.config["assignment"].trial.trial_id)
