"""A folder of one process's own, below what this machine keeps of a run; a lock says that the process lives."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

LOCK = ".lock"


def sweep(folder: Path) -> None:
    """Remove the folders of processes that are gone; a living one holds the lock of its own."""
    for work in folder.glob("work-*"):
        with suppress(OSError), (work / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(work, ignore_errors=True)


class WorkFolder:
    """A folder of this process's own, for as long as it lives."""

    def __init__(self, folder: Path) -> None:
        sweep(folder)
        while True:
            self.path = folder / f"work-{os.getpid()}-{secrets.token_hex(4)}"
            self.path.mkdir(parents=True)
            with suppress(FileNotFoundError):  # swept before there was a lock to see
                self._lock = (self.path / LOCK).open("wb")
                fcntl.flock(self._lock, fcntl.LOCK_EX)
                # One that was swept before it was locked is given up for another.
                if os.fstat(self._lock.fileno()).st_nlink:
                    return
                self._lock.close()

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()
