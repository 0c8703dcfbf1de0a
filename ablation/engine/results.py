"""What workers report reaches the study here, whichever executor runs them."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor

from ablation.code_record import CodeRecord, changes
from ablation.engine.stop import OtherCodeError, StopReason
from ablation.engine.worker import StepReport
from ablation.ledger.storage import UnwritableError
from ablation.paths import RunPaths
from ablation.plan import PlannedTrial
from ablation.store import AnyPath, remove_folder
from ablation.study.study import Study


class Results:
    """Hand reports to the study, and remove the checkpoints of search trials that have ended."""

    def __init__(self, study: Study, paths: RunPaths, stop: StopReason) -> None:
        self._study = study
        self._paths = paths
        self._stop = stop
        self._remover = ThreadPoolExecutor(1, "remove-checkpoints")  # a store may be far away
        # Checkpoints, and how many events are recorded when they may go.
        self._left: deque[tuple[int, AnyPath]] = deque()

    def take(self, trial: PlannedTrial, report: StepReport, node: str | None = None) -> bool:
        """Take one report and return whether the trial goes on; ``node`` names the machine of its worker.

        A fault that is not the trial's is kept for the driver to raise: the trial stays open and goes on with --resume.
        """
        is_kept = trial.phase == "confirm"
        checkpoint = report.checkpoint if is_kept else None
        goes_on = False
        with self._stop.noting_faults():
            if report.code is not None:
                self._check_code(report.code, node)
            if report.unwritable is not None:
                raise UnwritableError(self._paths.root, report.unwritable)
            if report.record is None:
                self._study.end(trial.trial_id, "failed", report.failure, report.elapsed_s, checkpoint)
            else:
                goes_on = self._study.report(trial.trial_id, report.record, report.elapsed_s, checkpoint)
            if not goes_on and not is_kept:
                self._remove_later(self._paths.checkpoint_dir(trial.trial_id))
        return goes_on

    def _check_code(self, code: CodeRecord, node: str | None) -> None:
        """Raise OtherCodeError if a worker, on another machine perhaps, runs other code than this session recorded."""
        differing = [] if self._study.code is None else changes(self._study.code, code)
        if differing:
            raise OtherCodeError(
                f"the worker on {node or 'another machine'} runs other code than this driver: "
                f"{', '.join(differing)}; give all machines the same files and versions, then go on with --resume"
            )

    def _remove_later(self, directory: AnyPath) -> None:
        """Remove an ended search trial's checkpoints once the log holds its end.

        Only confirmed models are reused, and a large search would fill the disk; but until then a crash opens the trial
        again.
        """
        ledger = self._stop.ledger
        self._left.append((ledger.appended, directory))
        while self._left and self._left[0][0] <= ledger.written:
            self._remover.submit(remove_folder, self._left.popleft()[1])

    def close(self) -> None:
        """Wait until what is to be removed is."""
        self._remover.shutdown()
