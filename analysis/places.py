"""Where a run directory lies: on this machine, or behind an address such as ``s3://bucket/runs/name``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ablation.faults import FaultsError, nearest
from ablation.paths import RunPaths

if TYPE_CHECKING:
    import pandas as pd

Run = Path | str


@dataclass(frozen=True)
class Place:
    """A run directory in a file system; ``paths`` are paths within that file system."""

    filesystem: Any
    paths: RunPaths
    scheme: str = ""

    @property
    def name(self) -> str:
        """The directory's own name."""
        return self.paths.root.absolute().name if not self.scheme else self.paths.root.name

    def spell(self, path: Path) -> str:
        """Spell a path as the user would, with the address it was asked for."""
        return f"{self.scheme}{path.as_posix()}" if self.scheme else str(path)

    def read_bytes(self, path: Path) -> bytes:
        """Read a whole file; raises FileNotFoundError where it is not there."""
        with self.filesystem.open_input_stream(path.as_posix()) as stream:
            return bytes(stream.read())

    def has(self, path: Path) -> bool:
        """Say whether there is such a file."""
        fs: Any = import_module("pyarrow.fs")
        return bool(self.filesystem.get_file_info(path.as_posix()).type == fs.FileType.File)

    def below(self, folder: Path, name: str = "*", deep: bool = True) -> list[Path]:
        """List the files in a folder, and in the folders in it, whose names match; none where there is no folder."""
        fs: Any = import_module("pyarrow.fs")
        selector = fs.FileSelector(folder.as_posix(), allow_not_found=True, recursive=deep)
        found = (info.path for info in self.filesystem.get_file_info(selector) if info.type == fs.FileType.File)
        return sorted(Path(path) for path in found if PurePosixPath(path).match(name))

    def table(
        self, path: Path, columns: Sequence[str] | None, required: Iterable[str], coded: Sequence[str] = ()
    ) -> Any:
        """Read columns of a Parquet file as an Arrow table; ``coded`` ones come dictionary-encoded.

        Raises FaultsError where the file or a column is missing.
        """
        parquet: Any = import_module("pyarrow.parquet")
        try:
            file = parquet.ParquetFile(path.as_posix(), filesystem=self.filesystem, read_dictionary=list(coded))
        except FileNotFoundError as error:
            raise FaultsError([f"{self.spell(path)} does not exist; {self.remedy}"]) from error
        except (OSError, ValueError) as error:
            raise FaultsError([f"{self.spell(path)} is damaged ({error}); {self.remedy}"]) from error
        with file:
            known = file.schema_arrow.names
            faults = [
                f"{self.spell(path)} has no column {name!r}; {nearest(name, known)}"
                for name in required
                if name not in known
            ]
            if faults:
                raise FaultsError(faults)
            return file.read(columns=None if columns is None else list(columns))

    def check(self, path: Path) -> None:
        """Hold a table to the digest that summary.json has of it; raises FaultsError where they differ.

        A run without summary, or with one that was made by hand, has nothing to hold it to.
        """
        if not self.has(self.paths.summary) or not self.has(path):
            return
        try:
            told = json.loads(self.read_bytes(self.paths.summary)).get("sha256", {}).get(path.name)
        except (ValueError, AttributeError) as error:
            raise FaultsError([f"{self.spell(self.paths.summary)} is damaged ({error}); {self.remedy}"]) from error
        if told is not None and told != hashlib.sha256(self.read_bytes(path)).hexdigest():
            raise FaultsError(
                [f"{self.spell(path)} is damaged, or newer than its summary.json: digests differ; {self.remedy}"]
            )

    @property
    def remedy(self) -> str:
        """Say how tables and summary are written anew."""
        return f"python -m ablation.tables {self.spell(self.paths.root)} writes it anew from the ledger"

    def frame(self, path: Path, columns: Sequence[str] | None, required: Iterable[str]) -> pd.DataFrame:
        """Read columns of a Parquet file as a frame; raises FaultsError as ``table`` does."""
        frame: pd.DataFrame = self.table(path, columns, required).to_pandas()
        return frame


def place(run: Run) -> Place:
    """Find a run's file system: this machine's for a path, pyarrow's for an address with ``://``.

    Raises FaultsError where the address cannot be opened.
    """
    fs: Any = import_module("pyarrow.fs")
    if isinstance(run, str) and "://" in run:
        try:
            filesystem, root = fs.FileSystem.from_uri(run.rstrip("/"))
        except (OSError, ValueError) as error:
            remedy = "give a directory, or an address that pyarrow knows, such as s3://bucket/runs/name"
            raise FaultsError([f"{run} cannot be opened ({error}); {remedy}"]) from error
        return Place(filesystem, RunPaths(Path(root)), run.partition("://")[0] + "://")
    return Place(fs.LocalFileSystem(), RunPaths(Path(run)))


def names(runs: Sequence[Run]) -> list[str]:
    """Name runs by their directories; where two have the same name, by what was given."""
    short = [place(run).name for run in runs]
    return [str(run) if short.count(name) > 1 else name for run, name in zip(runs, short, strict=True)]
