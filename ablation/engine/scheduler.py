"""Tune's hooks around a study's workers: each of Tune's trials is one of them.

Tune finds it a place, starts its process, and says when it is lost; which of the study's trials it trains is decided
when it reports (`ablation/engine/workers.py`). Tune logs and goes on when a hook raises. A fault in here is the
study's, not a worker's, so it is noted and the sweep ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune import Stopper
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from ablation.engine.lost_worker import cause_of_loss
from ablation.engine.stop import StopReason
from ablation.engine.trial_files import newest_log
from ablation.engine.worker import TrialEnvironment
from ablation.engine.workers import Workers
from ablation.paths import RunPaths
from ablation.study.study import Study


class NotPickled:
    """Pickle as nothing: Tune puts its hooks into snapshots of its own, which this project never reads."""

    def __getstate__(self) -> dict[str, Any]:
        """Return no state."""
        return {}


class StudySearcher(NotPickled, Searcher):
    """Ask Tune for another worker when there should be one."""

    def __init__(self, study: Study, workers: Workers, environment: TrialEnvironment, stop: StopReason) -> None:
        super().__init__()
        self._study = study
        self._workers = workers
        self._environment = environment
        self._stop = stop

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Take nothing from Tune: the plan has it all."""
        return True

    def suggest(self, trial_id: str) -> Any:  # Ray's annotation leaves FINISHED out
        """Return what a worker starts with, None if no more are needed now, FINISHED when none will be."""
        with self._stop.noting_faults():
            if self._stop.is_due or self._study.is_finished:
                # Not None when the sweep should end: without a worker, Tune would wait for one for ever. And not
                # before the last trial has ended: until then its worker may be lost, and another one needed.
                return str(Searcher.FINISHED)
            if self._workers.wants_another:
                self._workers.asked_for(trial_id)
                return {"environment": self._environment}
        return None

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the ledger has it all."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Ignore: the other hooks have reported it."""


class StudyScheduler(NotPickled, FIFOScheduler):
    """Pass each worker's report on and let it go on or end."""

    def __init__(self, workers: Workers, look: Callable[[], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._workers = workers
        self._look = look

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Choose none, since Tune starts all that wait for a place; look at the nodes, and take back who waits in vain.

        Tune calls this once in each round of its loop.
        """
        self._look()
        withdrawn = set(self._workers.withdrawn())
        if withdrawn:
            for worker in [known for known in tune_controller.get_trials() if known.trial_id in withdrawn]:
                tune_controller.stop_trial(worker)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Give a worker that has no trial, or whose trial is over, the next one."""
        # Calls of an actor are answered in order: it has its trial before it takes the next step.
        hand = trial.temporary_state.ray_actor.take.remote
        goes_on = self._workers.reported(trial.trial_id, result["report"], result["node_ip"], hand)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)


class StudyCallback(NotPickled, TrialProgressCallback):
    """Say which workers are lost; in the place of Tune's callback that prints what becomes of each."""

    def __init__(self, workers: Workers, paths: RunPaths) -> None:
        super().__init__()
        self._workers = workers
        self._paths = paths

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Take back its trial."""
        trial_id = self._workers.trial_of(trial.trial_id)
        log = None if trial_id is None else newest_log(self._paths, trial_id)
        self._workers.lost(trial.trial_id, cause_of_loss(trial.error_file, log))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Print nothing."""

    def log_result(self, trial: Any, result: dict[str, Any], error: bool = False) -> None:
        """Print nothing."""


class StopWhenDue(NotPickled, Stopper):
    """Stop Tune when the sweep should end."""

    def __init__(self, stop: StopReason) -> None:
        self._stop = stop

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Stop no single worker: that is the scheduler's."""
        return False

    def stop_all(self) -> bool:
        """Stop everything when there is a reason to."""
        return self._stop.is_due
