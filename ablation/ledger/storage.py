"""Whole objects in folders: on a local disk, or wherever pyarrow has a file system (``s3://``, ``gs://``).

An object is there whole or not at all. Locally that is a temporary file, fsync and rename; object stores put whole
objects by nature.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pyarrow import fs


@dataclass(frozen=True)
class Folder:
    """A flat folder of immutable objects.

    Attributes:
        filesystem: where it lies.
        path: its path there.
    """

    filesystem: fs.FileSystem
    path: str

    @classmethod
    def at(cls, location: Folder | Path | str) -> Folder:
        """Open a folder by path or URI (``s3://bucket/run/ledger``)."""
        if isinstance(location, Folder):
            return location
        if "://" in str(location):
            return cls(*fs.FileSystem.from_uri(str(location)))
        return cls(fs.LocalFileSystem(), str(Path(location).resolve()))

    def __str__(self) -> str:
        return self.path

    def locate(self, name: str) -> str:
        """Format where an object lies."""
        return f"{self.path}/{name}"

    def make(self) -> None:
        """Create the folder if there is none."""
        self.filesystem.create_dir(self.path, recursive=True)

    def names(self) -> list[str]:
        """List the objects' names, sorted; nothing if there is no folder."""
        infos = self.filesystem.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
        return sorted(info.base_name for info in infos if info.type == fs.FileType.File)

    def read(self, name: str) -> bytes:
        """Read an object; raises OSError if it cannot be read."""
        with self.filesystem.open_input_file(self.locate(name)) as file:
            return bytes(file.read())

    def put(self, name: str, content: bytes) -> None:
        """Put an object, whole or not at all; raises OSError if there is no room or no permission."""
        if isinstance(self.filesystem, fs.LocalFileSystem):
            put_whole(Path(self.locate(name)), content)
            return
        with self.filesystem.open_output_stream(self.locate(name)) as stream:
            stream.write(content)

    def delete(self, name: str) -> None:
        """Delete an object; one that is gone already is no error."""
        try:
            self.filesystem.delete_file(self.locate(name))
        except FileNotFoundError:
            return


class UnwritableError(RuntimeError):
    """Nothing can be written where a run lies."""

    def __init__(self, root: Path, why: str) -> None:
        super().__init__(f"nothing can be written in {root} ({why}); make that possible, then go on with --resume")


def put_whole(path: Path, content: bytes, *, is_synced: bool = True) -> None:
    """Write a local file that is there whole or not at all.

    Also after a power cut, unless ``is_synced`` is false: for what can be made again, and sooner than a disk takes.
    """
    # Short and of its own, however long the name is and whoever else writes it.
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            if is_synced:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # nothing can be removed from a disk that is read-only now
            temporary.unlink(missing_ok=True)
        raise
    if is_synced:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until a folder's entries are on its disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
