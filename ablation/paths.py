"""The one module that names a run directory's file names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, cast

from typing_extensions import TypeVar  # typing's has no default before Python 3.13

from ablation.store import AnyPath

LONGEST_NAME_BYTES = 128
DIGEST_LETTERS = 12
MOST_NAME_BYTES = 255


P = TypeVar("P", bound=AnyPath, default=AnyPath, covariant=True)
Folder = TypeVar("Folder", bound=AnyPath)


@dataclass(frozen=True)
class RunPaths(Generic[P]):
    """The files of one study under ``root``, here or in a store; docs/results.md describes each."""

    root: P

    @property
    def study(self) -> P:
        """Plan, space, seeds and provenance: written once."""
        return _in(self.root, "study.json")

    @property
    def ledger(self) -> P:
        """Folder of the append-only event parts."""
        return _in(self.root, "ledger")

    @property
    def trials(self) -> P:
        """One row a trial."""
        return _in(self.root, "trials.parquet")

    @property
    def epochs(self) -> P:
        """One row a trial and epoch."""
        return _in(self.root, "epochs.parquet")

    @property
    def summary(self) -> P:
        """Accounting."""
        return _in(self.root, "summary.json")

    @property
    def reruns(self) -> P:
        """Which trials were run again, and how they compared; there once one was."""
        return _in(self.root, "reruns.json")

    @property
    def artifacts(self) -> P:
        """Folder of what confirm trials leave for the report."""
        return _in(self.root, "artifacts")

    @property
    def report(self) -> P:
        """Folder of the page and its tables."""
        return _in(self.root, "report")

    @property
    def page(self) -> P:
        """The report itself."""
        return _in(self.report, "index.html")

    @property
    def logs(self) -> P:
        """Folder of what trials print, and of what is said of their workers."""
        return _in(self.root, "logs")

    @property
    def worker_losses(self) -> P:
        """What Ray says of lost workers; there once one was. No trial's log has that name, whose ids have ``/``."""
        return _in(self.logs, "ray.txt")

    @property
    def checkpoints(self) -> P:
        """Folder of all trials' checkpoints."""
        return _in(self.root, "checkpoints")

    @property
    def preflight(self) -> P:
        """Folder in which the nodes of a cluster show that they write to this run; gone when a sweep ends."""
        return _in(self.root, "preflight")

    @property
    def preflight_marker(self) -> P:
        """What the driver has left for the nodes to read."""
        return _in(self.preflight, "driver")

    def initial(self, name: str) -> P:
        """A run's own copy of the checkpoint at which the weights of all its trials begin."""
        return _in(_in(self.root, "initial"), name)

    def checkpoint_dir(self, trial_id: str) -> P:
        """Folder of one trial's checkpoints."""
        return _own(self.checkpoints, trial_id)

    def artifact_dir(self, trial_id: str) -> P:
        """Folder of one confirm trial's artifacts."""
        return _own(self.artifacts, trial_id)

    def log(self, trial_id: str) -> P:
        """One trial's output and traceback."""
        return _own(self.logs, trial_id, ".txt")


def no_run(root: AnyPath) -> str:
    """Say why a folder is no run directory, and what to give instead."""
    where = "give a folder under runs/" if isinstance(root, Path) else "give an address such as s3://bucket/runs/NAME"
    return f"{root} is no run directory: it has no study.json; {where}"


def _in(folder: Folder, name: str) -> Folder:
    return cast("Folder", folder / name)  # a folder's file lies where the folder does


def _own(folder: Folder, trial_id: str, suffix: str = "") -> Folder:
    """Return a trial's own file or folder; what was written here under an earlier name stays where it is."""
    for name in earlier_names(trial_id) if isinstance(folder, Path) else ():
        earlier = _in(folder, f"{name}{suffix}")
        if len(earlier.name.encode()) <= MOST_NAME_BYTES and earlier.exists():
            return earlier
    return _in(folder, f"{file_safe(trial_id)}{suffix}")


def file_safe(trial_id: str) -> str:
    """Return one file name for a trial id: with ``__`` for ``/``, of ASCII letters, digits, ``.``, ``_`` and ``-``.

    File systems take 255 bytes, encrypted ones 143, and suffixes such as ``.hang.txt`` come behind; readers take
    ``arm=x`` for a partition, and those who sign addresses stumble over ``=``, ``,`` and blanks. A name in which
    something was replaced or left out ends in a digest of the id.
    """
    plain = re.sub(r"[^A-Za-z0-9._/-]", "-", trial_id).replace("/", "__")
    if plain == trial_id.replace("/", "__") and len(plain) <= LONGEST_NAME_BYTES:
        return plain
    digest = hashlib.sha256(trial_id.encode()).hexdigest()[:DIGEST_LETTERS]
    return f"{plain[: LONGEST_NAME_BYTES - DIGEST_LETTERS - 1]}-{digest}"


def earlier_names(trial_id: str) -> Iterator[str]:
    """Yield the names that earlier versions gave a trial's files, if they are others."""
    whole = trial_id.replace("/", "__")
    if whole != file_safe(trial_id):
        yield whole
