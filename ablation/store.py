"""Files of runs, on this machine or in an object store: ``located`` gives a path, and its methods are the same.

A file here is a ``pathlib.Path``. One behind an address (``s3://``, ``gs://``, whatever pyarrow has a file system for)
is a ``StorePath``. Whatever is written is there whole or not at all: locally by a temporary file, fsync and rename;
object stores put whole objects by nature.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from ablation.faults import FaultsError

AT_A_TIME = 16  # requests: one to a store far away takes long, many take no longer
# A store that is away is waited for: with these an S3 that was gone for 20 s was written to in the end, and with
# pyarrow's own a put had failed after 2 s.
S3_OPTIONS = {"connect_timeout": 2, "request_timeout": 5, "allow_delayed_open": True}
S3_ATTEMPTS = 10


@dataclass(frozen=True)
class StorePath:
    """A file or folder in an object store; named and asked as a ``pathlib.Path`` is.

    Attributes:
        address: of bucket or host, with options: how this process and others open the file system.
        path: where in the file system: bucket and key.
    """

    address: str = field(repr=False)
    path: PurePosixPath

    def __str__(self) -> str:
        return f"{self._scheme}://{self.path}"

    @property
    def uri(self) -> str:
        """Its own address, with the options that it was opened with: what a command takes."""
        _, _, options = self.address.partition("?")
        return f"{self}?{options}" if options else str(self)

    @property
    def filesystem(self) -> Any:
        """Pyarrow's file system."""
        return _opened(self.address)[0]

    @property
    def name(self) -> str:
        """The last part."""
        return self.path.name

    @property
    def parent(self) -> StorePath:
        """The folder that it lies in."""
        return StorePath(self.address, self.path.parent)

    def __truediv__(self, part: str | PurePosixPath) -> StorePath:
        return StorePath(self.address, self.path / part)

    def with_name(self, name: str) -> StorePath:
        """Return its neighbour of that name."""
        return StorePath(self.address, self.path.with_name(name))

    def as_posix(self) -> str:
        """Return the path as the file system takes it."""
        return self.path.as_posix()

    def absolute(self) -> StorePath:
        """Return itself."""
        return self

    def resolve(self) -> StorePath:
        """Return itself: there are no links."""
        return self

    def is_symlink(self) -> bool:
        """Return False: there are no links."""
        return False

    def exists(self) -> bool:
        """Return whether there is such a file or folder; raises OSError if that cannot be seen."""
        return self._kind() != "NotFound"

    def is_file(self) -> bool:
        """Return whether there is such a file; raises OSError if that cannot be seen."""
        return self._kind() == "File"

    def is_dir(self) -> bool:
        """Return whether there is such a folder; raises OSError if that cannot be seen."""
        return self._kind() == "Directory"

    def read_bytes(self) -> bytes:
        """Read a whole file; raises FileNotFoundError if there is none."""
        with self.filesystem.open_input_file(self.as_posix()) as file:
            return bytes(file.read())

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove a file; raises FileNotFoundError if there is none, unless ``missing_ok``."""
        try:
            self.filesystem.delete_file(self.as_posix())
        except FileNotFoundError:
            if not missing_ok:
                raise

    @property
    def _scheme(self) -> str:
        return self.address.partition("://")[0]

    def _kind(self) -> str:
        return str(self.filesystem.get_file_info(self.as_posix()).type.name)


AnyPath = Path | StorePath


def located(text: str | AnyPath) -> AnyPath:
    """Find what a path, or an address such as ``s3://bucket/runs/name``, means; nothing is read.

    Raises FaultsError if the address cannot be opened.
    """
    if isinstance(text, StorePath):
        return text
    if "://" not in str(text):
        return Path(text)
    parts = urlsplit(str(text))
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.password is not None:
        shown = parts._replace(netloc=f"…@{parts.netloc.rpartition('@')[2]}").geturl()
        rule = "what has keys in it ends up in records and in a shell's history"
        raise FaultsError([f"{shown} has keys in it, but {rule}; give them by the environment (AWS_ACCESS_KEY_ID, …)"])
    address = parts._replace(path="").geturl()
    try:
        _, root = _opened(address)
    except (OSError, ValueError) as error:
        remedy = "give a directory, or an address that pyarrow knows, such as s3://bucket/runs/name"
        raise FaultsError([f"{text} cannot be opened ({error}); {remedy}"]) from error
    return StorePath(address, PurePosixPath(root) / unquote(parts.path).strip("/"))


def as_typed(path: AnyPath) -> str:
    """Return what a command takes for a path."""
    return path.uri if isinstance(path, StorePath) else str(path)


def _opened(address: str) -> tuple[Any, str]:
    """Open a file system once a process, and again where keys or endpoint of the environment have changed since."""
    return _connected(address, tuple(item for item in os.environ.items() if item[0].startswith("AWS_")))


@lru_cache(maxsize=64)
def _connected(address: str, environment: tuple[tuple[str, str], ...]) -> tuple[Any, str]:
    fs: Any = import_module("pyarrow.fs")
    filesystem, root = fs.FileSystem.from_uri(address)
    if filesystem.type_name == "s3":
        # What the address and the environment say stands in how it is pickled, and nowhere else.
        _, (options,) = filesystem.__reduce__()
        retries = fs.AwsStandardS3RetryStrategy(max_attempts=S3_ATTEMPTS)
        filesystem = fs.S3FileSystem(**{**options, **S3_OPTIONS, "retry_strategy": retries})
    return filesystem, root


def opened(path: AnyPath) -> Any:
    """Open a file for random access, as pyarrow reads Parquet; raises FileNotFoundError if there is none."""
    fs: Any = import_module("pyarrow.fs")
    filesystem = path.filesystem if isinstance(path, StorePath) else fs.LocalFileSystem()
    return filesystem.open_input_file(path.as_posix())


def put_whole(path: AnyPath, content: bytes, *, is_synced: bool = True) -> None:
    """Write a file that is there whole or not at all.

    Locally also after a power cut, unless ``is_synced`` is false: for what can be made again, and sooner than a disk
    takes. Raises OSError if there is no room or no permission, or a store stays away.
    """
    if isinstance(path, StorePath):
        put_object(path.filesystem, path.as_posix(), content)
    else:
        _put_here(path, content, is_synced)


def put_object(filesystem: Any, path: str, content: bytes) -> None:
    """Put an object; in a file system that has folders, its folder is made if there is none."""
    try:
        with filesystem.open_output_stream(path) as stream:
            stream.write(content)
    except FileNotFoundError:
        filesystem.create_dir(str(PurePosixPath(path).parent), recursive=True)
        with filesystem.open_output_stream(path) as stream:
            stream.write(content)


def _put_here(path: Path, content: bytes, is_synced: bool) -> None:
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


def make_folder(folder: AnyPath) -> None:
    """Make a folder, and those it lies in, if there is none; in a store there is nothing to make."""
    if isinstance(folder, Path):
        folder.mkdir(parents=True, exist_ok=True)


def files_below(folder: AnyPath, name: str = "*", *, deep: bool = False) -> list[AnyPath]:
    """List the files in a folder, with ``deep`` in the folders in it, too, whose names match; none without a folder.

    Raises OSError if the folder cannot be listed.
    """
    fs: Any = import_module("pyarrow.fs")
    filesystem = folder.filesystem if isinstance(folder, StorePath) else fs.LocalFileSystem()
    found = filesystem.get_file_info(fs.FileSelector(folder.as_posix(), allow_not_found=True, recursive=deep))
    files = (info for info in found if info.type == fs.FileType.File and fnmatchcase(info.base_name, name))
    matching = sorted(PurePosixPath(info.path) for info in files)
    if isinstance(folder, StorePath):
        return [StorePath(folder.address, path) for path in matching]
    return [Path(path) for path in matching]


def name_in(folder: AnyPath, path: AnyPath) -> str:
    """Return a path's own from a folder on, with ``/``; raises ValueError if it does not lie in there."""
    return PurePosixPath(path.as_posix()).relative_to(folder.as_posix()).as_posix()


def read_all(paths: Sequence[AnyPath]) -> dict[AnyPath, bytes]:
    """Read whole files, several at a time; raises FileNotFoundError if one is not there."""
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        return dict(zip(paths, threads.map(lambda path: path.read_bytes(), paths), strict=True))


def put_all(files: Mapping[AnyPath, bytes], *, is_synced: bool = True) -> None:
    """Write files as ``put_whole`` does, with their folders, several at a time."""
    for folder in dict.fromkeys(path.parent for path in files):
        make_folder(folder)
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        for _ in threads.map(lambda path: put_whole(path, files[path], is_synced=is_synced), files):
            pass


def remove_folder(folder: AnyPath) -> None:
    """Remove a folder with all that is in it, as far as that is possible."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        with suppress(OSError):
            folder.filesystem.delete_dir(folder.as_posix())


def remove_folders(folders: Iterable[AnyPath]) -> None:
    """Remove neighbouring folders as ``remove_folder`` does; in a store those that a listing shows, several at a time.

    Raises OSError if a store stays away.
    """
    asked = list(folders)
    if asked and isinstance(asked[0], StorePath):
        parent = asked[0].parent
        there = {name_in(parent, path).partition("/")[0] for path in files_below(parent, deep=True)}
        asked = [folder for folder in asked if folder.name in there]
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        for _ in threads.map(remove_folder, asked):
            pass


def remove_files(paths: Iterable[AnyPath]) -> None:
    """Remove files, those that are gone already excepted, several at a time."""
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        for _ in threads.map(lambda path: path.unlink(missing_ok=True), paths):
            pass
