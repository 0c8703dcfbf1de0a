"""What a machine keeps for itself: decoded data, and copies of checkpoints that lie in a store."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ablation.store import StorePath, put_whole

MOST_CHECKPOINT_BYTES = 4 * 2**30


def cache_folder() -> Path:
    """Say where this machine keeps such things: ABLATION_CACHE, else ``ablation`` in XDG_CACHE_HOME or ~/.cache."""
    if own := os.environ.get("ABLATION_CACHE"):
        return Path(own).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared).expanduser().absolute() if shared else Path.home() / ".cache") / "ablation"


def copy_of(checkpoint: StorePath) -> Path:
    """Say where this machine's copy of a checkpoint lies; its name holds a digest, so equal names are equal files."""
    return cache_folder() / "checkpoints" / checkpoint.name


def fetch(checkpoint: StorePath, most_bytes: int = MOST_CHECKPOINT_BYTES) -> Path:
    """Copy a checkpoint from its store to this machine, in the place of those that were not asked for the longest.

    Raises FileNotFoundError if there is none.
    """
    copy, content = copy_of(checkpoint), checkpoint.read_bytes()
    copy.parent.mkdir(parents=True, exist_ok=True)
    put_whole(copy, content, is_synced=False)
    _keep_newest(copy.parent, most_bytes)
    return copy


def _keep_newest(folder: Path, most_bytes: int) -> None:
    kept = 0
    for path, size, _ in sorted(_sizes(folder), key=lambda found: found[2], reverse=True):
        kept += size
        if kept > most_bytes and kept > size:  # the newest stays, however large
            path.unlink(missing_ok=True)


def _sizes(folder: Path) -> list[tuple[Path, int, float]]:
    found = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another process makes room, too
            about = path.stat()
            found.append((path, about.st_size, max(about.st_atime, about.st_mtime)))
    return found
