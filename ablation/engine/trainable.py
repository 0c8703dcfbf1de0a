"""Ray's actor around a ``run_trial``: one step is one epoch, and one actor runs many trials, one after the other.

The actor decides nothing and ends nothing: it reports, and the study answers go on or stop. An exception in the
trial is a report too, so the actor stays warm.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from ablation.checkpoint import newest_path
from ablation.engine.study import Assignment
from ablation.paths import RunPaths
from ablation.trial import EpochRecord, TrialContext, build_config, load


@dataclass(frozen=True)
class Workplace:
    """What all trials of a study share: where they write and what they read."""

    run_dir: Path
    run_trial: str
    data: str | None
    data_fingerprint: str | None
    device: str
    cpu_threads: int
    checkpoint_epochs: tuple[int, ...]
    import_path: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """One step's result: an epoch's record, or why there will be none."""

    record: EpochRecord | None
    elapsed_s: float
    checkpoint: str | None = None
    failure: str | None = None


class TrialActor(tune.Trainable):
    """Run the trial that ``config`` names: ``{"assignment": Assignment, "workplace": Workplace}``."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first trial; it starts with the first step, where a failure can be reported."""
        self._assignment: Assignment = config["assignment"]
        self._workplace: Workplace = config["workplace"]
        self._paths = RunPaths(self._workplace.run_dir)
        self._records: Iterator[EpochRecord] | None = None
        self._began = time.monotonic()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial into the same warm process."""
        self.cleanup()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Stop the trial where it stands, so that it can free what it holds."""
        if self._records is not None:
            self._records.close()  # type: ignore[attr-defined]  # run_trial is a generator
            self._records = None

    def step(self) -> dict[str, Report]:
        """Train one epoch; whatever the trial prints goes to its log."""
        trial_id = self._assignment.trial.trial_id
        log = self._paths.log(trial_id)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as output, redirect_stdout(output), redirect_stderr(output):
            try:
                return {"report": self._next_report()}
            except Exception as error:
                # The trial's own failure, whatever it is: told to the study, which counts it.
                traceback.print_exc()
                return {"report": self._report(failure=f"{type(error).__name__}: {error}")}

    def _next_report(self) -> Report:
        if self._records is None:
            # Ray's workers know the driver's folder, but not what it added for a space that lies elsewhere.
            sys.path.extend(folder for folder in self._workplace.import_path if folder not in sys.path)
            run_trial = load(self._workplace.run_trial)
            self._records = run_trial(build_config(run_trial, self._assignment.config), self._context())
        record = next(self._records, None)
        if record is None:
            return self._report(failure=f"run_trial ended before epoch {self._assignment.trial.epochs}")
        return self._report(record)

    def _report(self, record: EpochRecord | None = None, failure: str | None = None) -> Report:
        directory = self._paths.checkpoint_dir(self._assignment.trial.trial_id)
        newest = newest_path(directory)
        checkpoint = None if newest is None else newest.relative_to(self._paths.root).as_posix()
        return Report(record, time.monotonic() - self._began, checkpoint, failure)

    def _context(self) -> TrialContext:
        trial, work = self._assignment.trial, self._workplace
        return TrialContext(
            trial_id=trial.trial_id,
            phase=trial.phase,
            epochs=trial.epochs,
            seed=trial.seed,
            replicate_seed=trial.replicate_seed,
            checkpoint_dir=self._paths.checkpoint_dir(trial.trial_id),
            data=work.data,
            data_fingerprint=work.data_fingerprint,
            artifact_dir=self._paths.artifact_dir(trial.trial_id) if trial.phase == "confirm" else None,
            device=work.device,
            cpu_threads=work.cpu_threads,
            checkpoint_epochs=work.checkpoint_epochs,
        )
