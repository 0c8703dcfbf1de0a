"""The ledger's folder: whole objects on a local disk, or wherever pyarrow has a file system (``s3://``, ``gs://``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pyarrow import fs

from ablation.store import AnyPath, StorePath, located, put_object, put_whole


@dataclass(frozen=True)
class Folder:
    """A flat folder of immutable objects.

    Attributes:
        filesystem: where it lies.
        path: its path there.
        scheme: what its address begins with, such as ``s3://``; empty for a folder here.
    """

    filesystem: fs.FileSystem
    path: str
    scheme: str = ""

    @classmethod
    def at(cls, location: Folder | AnyPath | str) -> Folder:
        """Open a folder by path or URI (``s3://bucket/run/ledger``)."""
        if isinstance(location, Folder):
            return location
        path = located(location)
        if isinstance(path, StorePath):
            return cls(path.filesystem, path.as_posix(), str(path).removesuffix(path.as_posix()))
        return cls(fs.LocalFileSystem(), str(path.resolve()))

    @property
    def is_here(self) -> bool:
        """Whether it lies on this machine."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def __str__(self) -> str:
        return f"{self.scheme}{self.path}"

    def locate(self, name: str) -> str:
        """Format where an object lies."""
        return f"{self.path}/{name}"

    def make(self) -> None:
        """Create the folder if there is none; elsewhere the first object makes it."""
        if self.is_here:
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
        if self.is_here:
            put_whole(Path(self.locate(name)), content)
        else:
            put_object(self.filesystem, self.locate(name), content)

    def delete(self, name: str) -> None:
        """Delete an object; one that is gone already is no error."""
        try:
            self.filesystem.delete_file(self.locate(name))
        except FileNotFoundError:
            return


class UnwritableError(RuntimeError):
    """Nothing can be written where a run lies."""

    def __init__(self, root: AnyPath, why: str) -> None:
        super().__init__(f"nothing can be written in {root} ({why}); make that possible, then go on with --resume")
