"""What workers report reaches the study here, whichever executor runs them."""

from __future__ import annotations

from ablation.code_record import CodeRecord, changes
from ablation.engine.checkpoint_removal import CheckpointRemoval
from ablation.engine.stop import OtherCodeError, StopReason
from ablation.engine.worker import StepReport
from ablation.ledger.storage import UnwritableError
from ablation.paths import RunPaths
from ablation.plan import PlannedTrial
from ablation.study.study import Study


class Results:
    """Hand reports to the study, and let the checkpoints of search trials that have ended go."""

    def __init__(self, study: Study, paths: RunPaths, stop: StopReason, removal: CheckpointRemoval) -> None:
        self._study = study
        self._paths = paths
        self._stop = stop
        self.removal = removal

    def take(self, trial: PlannedTrial, report: StepReport, node: str | None = None) -> bool:
        """Take one report and return whether the trial goes on; ``node`` names the machine of its worker.

        A fault that is not the trial's is kept for the driver to raise: the trial stays open and goes on with --resume.
        """
        goes_on = False
        with self._stop.noting_faults():
            if report.code is not None:
                self._check_code(report.code, node)
            if report.unwritable is not None:
                on_node = "" if node is None else f", on {node}"
                raise UnwritableError(self._paths.root, report.unwritable + on_node)
            if report.record is None:
                self._study.end(trial.trial_id, "failed", report.failure, report.elapsed_s, report.checkpoint)
            else:
                goes_on = self._study.report(trial.trial_id, report.record, report.elapsed_s, report.checkpoint)
            if not goes_on and trial.phase == "search":
                self.removal.go_on()
        return goes_on

    def _check_code(self, code: CodeRecord, node: str | None) -> None:
        """Raise OtherCodeError if a worker, on another machine perhaps, runs other code than this session recorded."""
        differing = [] if self._study.code is None else changes(self._study.code, code)
        if differing:
            raise OtherCodeError(
                f"the worker on {node or 'another machine'} runs other code than this driver: "
                f"{', '.join(differing)}; give all machines the same files and versions, then go on with --resume"
            )
