"""The one module that names a run directory's file names."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

LONGEST_NAME_BYTES = 128
DIGEST_LETTERS = 16
MOST_NAME_BYTES = 255


@dataclass(frozen=True)
class RunPaths:
    """The files of one study under ``root``; docs/results.md describes each."""

    root: Path

    @property
    def study(self) -> Path:
        """Plan, space, seeds and provenance: written once."""
        return self.root / "study.json"

    @property
    def ledger(self) -> Path:
        """Folder of the append-only event parts."""
        return self.root / "ledger"

    @property
    def trials(self) -> Path:
        """One row a trial."""
        return self.root / "trials.parquet"

    @property
    def epochs(self) -> Path:
        """One row a trial and epoch."""
        return self.root / "epochs.parquet"

    @property
    def summary(self) -> Path:
        """Accounting."""
        return self.root / "summary.json"

    @property
    def reruns(self) -> Path:
        """Which trials were run again, and how they compared; there once one was."""
        return self.root / "reruns.json"

    @property
    def artifacts(self) -> Path:
        """Folder of what confirm trials leave for the report."""
        return self.root / "artifacts"

    @property
    def report(self) -> Path:
        """Folder of the page and its tables."""
        return self.root / "report"

    @property
    def page(self) -> Path:
        """The report itself."""
        return self.report / "index.html"

    @property
    def logs(self) -> Path:
        """Folder of what trials print, and of what is said of their workers."""
        return self.root / "logs"

    @property
    def worker_losses(self) -> Path:
        """What Ray says of lost workers; there once one was. No trial's log has that name, whose ids have ``/``."""
        return self.logs / "ray.txt"

    def checkpoint_dir(self, trial_id: str) -> Path:
        """Folder of one trial's checkpoints."""
        return _own(self.root / "checkpoints", trial_id)

    def artifact_dir(self, trial_id: str) -> Path:
        """Folder of one confirm trial's artifacts."""
        return _own(self.artifacts, trial_id)

    def log(self, trial_id: str) -> Path:
        """One trial's output and traceback."""
        return _own(self.logs, trial_id, ".txt")


def no_run(root: Path) -> str:
    """Say why a folder is no run directory, and what to give instead."""
    if re.match(r"[a-z][a-z0-9]+:/", str(root)) is None:
        return f"{root} is no run directory: it has no study.json; give a folder under runs/"
    address = str(root).replace(":/", "://", 1)
    return f"{address} is an address, and a folder is wanted; copy the run here (analysis.report reads it where it is)"


def _own(folder: Path, trial_id: str, suffix: str = "") -> Path:
    """Return a trial's own file or folder; before 0.2 long ids were not shortened, and what was written then stays."""
    name = file_safe(trial_id)
    if "~" in name:
        whole = folder / f"{trial_id.replace('/', '__')}{suffix}"
        if len(whole.name.encode()) <= MOST_NAME_BYTES and whole.exists():
            return whole
    return folder / f"{name}{suffix}"


def file_safe(trial_id: str) -> str:
    """Return one file name for a trial id: with ``__`` for ``/``, and the end of a long one replaced by a digest.

    File systems take 255 bytes, encrypted ones 143, and suffixes such as ``.hang.txt`` come behind.
    """
    name = trial_id.replace("/", "__")
    if len(name.encode()) <= LONGEST_NAME_BYTES:
        return name
    digest = hashlib.sha256(trial_id.encode()).hexdigest()[:DIGEST_LETTERS]
    start = name.encode()[: LONGEST_NAME_BYTES - DIGEST_LETTERS - 1].decode(errors="ignore")
    return f"{start}~{digest}"
