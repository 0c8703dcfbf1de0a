"""A folder that appears whole or not at all: built beside its place, under a lock, and renamed into it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ablation.store import sync_folder

LOCK = ".lock"
UNLOCKED_AGE_S = 3600.0


@contextmanager
def becoming(target: Path) -> Iterator[Path]:
    """Yield a new folder that becomes ``target`` if the block ends well, and is removed otherwise.

    Where another process was first, its folder stays. Raises OSError if nothing can be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep_left(target.parent)
    partial, lock = _locked_folder(target)
    with lock:
        try:
            yield partial
            (partial / LOCK).unlink()
            _move(partial, target)
        finally:
            # After a successful move there is nothing left to remove.
            shutil.rmtree(partial, ignore_errors=True)


def sweep_left(folder: Path) -> None:
    """Remove what killed writers left in a folder; a living one holds the lock of its own."""
    for partial in folder.glob(".*.partial"):
        try:
            with (partial / LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(partial, ignore_errors=True)
        except FileNotFoundError:  # it has no lock yet, or is from before there were locks
            with suppress(OSError):
                if time.time() - partial.stat().st_mtime > UNLOCKED_AGE_S:
                    shutil.rmtree(partial, ignore_errors=True)
        except OSError:
            continue  # another process is at work on it, or the folder is another user's


def _locked_folder(target: Path) -> tuple[Path, BinaryIO]:
    """Make a folder and lock it; one that a sweep takes before it is locked is given up for another."""
    while True:
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
        lock = (partial / LOCK).open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A sweep may have held the lock, removed the folder and let go: then this locks a file without a name.
            if os.fstat(lock.fileno()).st_nlink:
                return partial, lock
        except BlockingIOError:
            pass  # a sweep holds it, and is about to remove the folder
        except BaseException:
            lock.close()
            shutil.rmtree(partial, ignore_errors=True)
            raise
        lock.close()


def _move(partial: Path, target: Path) -> None:
    try:
        partial.rename(target)
    except OSError:
        # A folder cannot replace one that has files: another process was first, with the same content.
        if not target.is_dir():
            raise
        return
    sync_folder(target.parent)
