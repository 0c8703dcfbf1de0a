"""Tune's hooks around a study: thin coats that ask it what comes next and tell it what came.

Tune logs and goes on when a hook raises. A fault in here is the study's, not a trial's, so each hook notes it and
the sweep ends.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from ablation.code_record import CodeRecord, changes
from ablation.engine.lost_worker import cause_of_loss
from ablation.engine.study import Study
from ablation.engine.trainable import Report, Workplace
from ablation.ledger import Ledger
from ablation.paths import RunPaths
from ablation.plan import PlannedTrial
from ablation.storage import UnwritableError

MOST_RETRIES = 3


class OtherCodeError(RuntimeError):
    """A worker runs other code than the driver: what it trains is not this study's."""


class Ending:
    """Why the sweep should end before its plan does, if it should."""

    def __init__(self, deadline: float | None = None) -> None:
        self.fault: BaseException | None = None
        self.signal: int | None = None
        self.ledger: Ledger | None = None
        self.study: Study | None = None
        self._deadline = deadline

    @contextmanager
    def noting_faults(self) -> Iterator[None]:
        """Keep a hook's exception for the driver to raise, since Tune would swallow it."""
        try:
            yield
        except Exception as error:
            self.fault = self.fault or error

    @property
    def is_out_of_time(self) -> bool:
        """Tell whether --max-hours are over."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    @property
    def is_paused(self) -> bool:
        """Tell whether so many trials failed alike that the others would."""
        return self.study is not None and self.study.equal_failures.are_enough

    @property
    def is_due(self) -> bool:
        """Tell whether to end now."""
        if self.ledger is not None and self.ledger.failure is not None:
            self.fault = self.fault or self.ledger.failure
        return self.fault is not None or self.signal is not None or self.is_out_of_time or self.is_paused


class LeftOutOfSnapshots:
    """Pickle as nothing: Tune puts its hooks into snapshots of its own, which this project never reads."""

    def __getstate__(self) -> dict[str, Any]:
        """Return no state."""
        return {}


class StudySearcher(LeftOutOfSnapshots, Searcher):
    """Hand Tune the study's next trial."""

    def __init__(self, study: Study, slots: int, workplace: Workplace, ending: Ending) -> None:
        super().__init__()
        self._study = study
        self._slots = slots
        self._workplace = workplace
        self._ending = ending

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Take nothing from Tune: the plan has it all."""
        return True

    def suggest(self, trial_id: str) -> Any:  # Ray's annotation leaves FINISHED out
        """Return the next trial, None to wait for one, FINISHED when none will come."""
        with self._ending.noting_faults():
            if self._ending.is_due or not self._study.has_trials_left:
                # Not None where an ending is due: with no trial running, Tune would wait for one for ever.
                return str(Searcher.FINISHED)
            assignment = self._study.next_assignment(self._slots)
            if assignment is not None:
                return {"assignment": assignment, "workplace": self._workplace}
        return None

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the ledger has it all."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Ignore: the scheduler's hooks have told the study."""


class StudyScheduler(LeftOutOfSnapshots, FIFOScheduler):
    """Pass each report to the study and its answer to Tune."""

    def __init__(self, study: Study, paths: RunPaths, ending: Ending) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._study = study
        self._paths = paths
        self._ending = ending
        self._left: deque[tuple[int, Path]] = deque()  # checkpoints, and how many events are told when they may go
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
        report: Report = result["report"]
        planned: PlannedTrial = trial.config["assignment"].trial
        is_kept = planned.phase == "confirm"
        checkpoint = report.checkpoint if is_kept else None
        goes_on = False
        with self._ending.noting_faults():
            if report.code is not None:
                self._check_code(report.code, trial)
            if report.unwritable is not None:
                # Not the trial's fault: it stays open, and goes on with --resume.
                raise UnwritableError(self._paths.root, report.unwritable)
            if report.record is None:
                self._study.end(planned.trial_id, "failed", report.failure, report.elapsed_s, checkpoint)
            else:
                goes_on = self._study.report(planned.trial_id, report.record, report.elapsed_s, checkpoint)
            if not goes_on and not is_kept:
                self._remove_later(self._paths.checkpoint_dir(planned.trial_id))
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def _check_code(self, code: CodeRecord, trial: Any) -> None:
        """Raise OtherCodeError if a worker, on another machine perhaps, runs other code than this session recorded."""
        differing = [] if self._study.code is None else changes(self._study.code, code)
        if differing:
            raise OtherCodeError(
                f"the worker on {trial.node_ip or 'another machine'} runs other code than this driver: "
                f"{', '.join(differing)}; give all machines the same files and versions, then go on with --resume"
            )

    def _remove_later(self, directory: Path) -> None:
        """Remove an ended search trial's checkpoints once its end is in the log for good.

        Only confirmed models are reused, and a large search would fill the disk; but until then a crash opens the trial
        again.
        """
        ledger = self._ending.ledger
        assert ledger is not None, "a sweep has a ledger"
        self._left.append((ledger.appended, directory))
        while self._left and self._left[0][0] <= ledger.written:
            shutil.rmtree(self._left.popleft()[1], ignore_errors=True)


class StudyCallback(LeftOutOfSnapshots, Callback):
    """Tell the study when trials start, start again, and are given up.

    Here and not in the scheduler, whose ``on_trial_error`` Tune calls for every failure, also one that it will retry.
    """

    def __init__(self, study: Study, paths: RunPaths, ending: Ending) -> None:
        self._study = study
        self._paths = paths
        self._ending = ending
        self._returned: Counter[str] = Counter()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Count an attempt."""
        with self._ending.noting_faults():
            self._study.started(our_id(trial))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note why a trial starts again."""
        with self._ending.noting_faults():
            self._study.retried(our_id(trial), self._cause(trial))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """End a trial that lost its worker once too often.

        A worker that dies between two trials takes the next one down with it before it began, and Tune retries only
        what runs: such a trial is handed out again.
        """
        trial_id = our_id(trial)
        with self._ending.noting_faults():
            if trial.num_failures <= MOST_RETRIES and self._returned[trial_id] < MOST_RETRIES:
                self._returned[trial_id] += 1
                self._study.hand_out_again(trial_id, self._cause(trial))
            else:
                self._study.end(trial_id, "failed", f"worker lost {trial.num_failures} times: {self._cause(trial)}")

    def _cause(self, trial: Any) -> str:
        return cause_of_loss(trial.error_file, self._paths.log(our_id(trial)))


class EndingStopper(LeftOutOfSnapshots, Stopper):
    """Stop Tune where an ending is due."""

    def __init__(self, ending: Ending) -> None:
        self._ending = ending

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Stop no single trial: that is the scheduler's."""
        return False

    def stop_all(self) -> bool:
        """Stop everything when the ending is due."""
        return self._ending.is_due


def our_id(trial: Any) -> str:
    """Return the study's id of one of Tune's trials."""
    return str(trial.config["assignment"].trial.trial_id)
