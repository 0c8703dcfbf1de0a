"""Whole objects in folders: on a local disk, or wherever pyarrow has a file system (``s3://``, ``gs://``).

An object is there whole or not at all. Locally that is a temporary file, fsync and rename; object stores put whole
objects by nature.
"""

from __future__ import annotations

import os
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


def put_whole(path: Path, content: bytes) -> None:
    """Write a local file that is there whole or not at all, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # nothing can be removed from a disk that is read-only now
            temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
