"""A run directory, on this machine or behind an address such as ``s3://bucket/runs/name``: the one reader of its files.

``study``, ``events``, ``table`` and ``summary`` say what is wrong with a file in a FaultsError that names it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ablation.faults import FaultsError, nearest
from ablation.ledger.events import Event, Grown, Started, from_payload
from ablation.ledger.log import LedgerError, live_parts, newest_driver, read_events
from ablation.ledger.parts import retry_while_compacting
from ablation.ledger.storage import Folder
from ablation.paths import RunPaths
from ablation.plan import Plan
from ablation.store import AnyPath, as_typed, files_below, located, opened
from ablation.study_file import StudyFile, UnknownVersionError, parse
from search_spaces.space import IS_RECORDED

if TYPE_CHECKING:
    import pandas as pd

RESTORE = "restore it from a copy: it is written once and never changed"


class MissingError(FaultsError):
    """A file of a run is not there, or no longer."""


class MismatchError(FaultsError):
    """A table is not the one whose digest summary.json has: damaged, or caught between the writing of both."""


@dataclass(frozen=True)
class RunDir:
    """A run directory, here or in a store."""

    paths: RunPaths

    def __str__(self) -> str:
        return str(self.paths.root)

    @property
    def name(self) -> str:
        """The directory's own name."""
        return self.paths.root.resolve().name

    def read_bytes(self, path: AnyPath) -> bytes:
        """Read a whole file; raises FileNotFoundError if it is not there."""
        return path.read_bytes()

    def has(self, path: AnyPath) -> bool:
        """Say whether there is such a file; raises FaultsError if that cannot be seen."""
        try:
            return path.is_file()
        except OSError as error:
            raise self.out_of_reach(path, error) from error

    def below(self, folder: AnyPath, name: str = "*", deep: bool = True) -> list[AnyPath]:
        """List the files in a folder, and in the folders in it, whose names match; none if there is no folder.

        Raises FaultsError if the folder cannot be listed.
        """
        try:
            return files_below(folder, name, deep=deep)
        except OSError as error:
            raise self.out_of_reach(folder, error) from error

    def study(self) -> StudyFile:
        """Read study.json; raises FaultsError if it is missing, damaged or of another schema."""
        path = self.paths.study
        try:
            return parse(self.read_bytes(self.paths.study), is_sealed=False)
        except FileNotFoundError as error:
            remedy = "give a run directory, as written by python -m ablation.run"
            raise FaultsError([f"{path} does not exist; {remedy}"]) from error
        except OSError as error:
            remedy = "check the address, and that you may read there"
            raise FaultsError([f"{path} cannot be read ({error}); {remedy}"]) from error
        except UnknownVersionError as error:
            raise FaultsError([f"{path}: {error}"]) from error
        except ValueError as error:
            raise FaultsError([f"{path} is damaged ({error}); {RESTORE}"]) from error

    def events(self) -> list[Event]:
        """Read every event that counts, in order; raises FaultsError if the ledger is damaged or cannot be read."""
        with self._ledger_faults():
            return read_events(self._ledger())

    def driver(self) -> dict[str, Any] | None:
        """Return number, host and process of the newest session that was opened; None if there is none."""
        with self._ledger_faults():
            return newest_driver(self._ledger())

    def findings(self) -> dict[str, Any]:
        """Return what the run's report found, as it wrote it for programs; empty if it has no report yet."""
        try:
            found = json.loads(self.read_bytes(self.paths.report / "findings.json"))
        except (FileNotFoundError, ValueError):
            return {}  # no report, or one in the making
        except OSError as error:
            raise self.out_of_reach(self.paths.report, error) from error
        return found if isinstance(found, dict) else {}

    def answer(self) -> tuple[str, ...]:
        """Return the first sentences of the run's report; none if it has no report yet, or one from before it had."""
        found = self.findings().get("answer")
        return tuple(map(str, found)) if isinstance(found, list) else ()

    def growths(self) -> list[Grown]:
        """Read how the study grew, in order."""
        # Payloads are most of a ledger: they are read only of parts that have one that is wanted.
        rows = self.event_columns(("seq", "kind", "payload"), wanted=Grown.kind).to_pylist()
        found = [from_payload(row["kind"], json.loads(row["payload"])) for row in rows if row["kind"] == Grown.kind]
        return [grown for grown in found if isinstance(grown, Grown)]

    def nodes(self) -> dict[int, str]:
        """Return the node of each attempt that names one, by the ``seq`` of its ``started`` event."""
        compute: Any = import_module("pyarrow.compute")
        rows = self.event_columns(("seq", "kind", "payload"), wanted=Started.kind)
        rows = rows.filter(compute.equal(rows["kind"], Started.kind)) if rows.num_rows else rows
        found = {row["seq"]: json.loads(row["payload"]).get("node") for row in rows.to_pylist()}
        return {seq: str(node) for seq, node in found.items() if node is not None}

    def plan_now(self) -> Plan:
        """Return the plan as it stands: study.json's, or what the study has grown to since."""
        grown = self.growths()
        return Plan.model_validate(grown[-1].plan, context={IS_RECORDED: True}) if grown else self.study().plan

    def event_columns(self, columns: Sequence[str], wanted: str | None = None) -> Any:
        """Read some columns of the events that count, in order, as an Arrow table without reading the others.

        Of parts that lack an event of the kind ``wanted`` nothing is read. Raises FaultsError if the ledger is damaged
        or cannot be read.
        """
        arrow: Any = import_module("pyarrow")
        parts = retry_while_compacting(lambda: list(self._parts(columns, wanted)), MissingError)
        return arrow.concat_tables(parts) if parts else arrow.table({name: [] for name in columns})

    def _parts(self, columns: Sequence[str], wanted: str | None) -> Iterator[Any]:
        compute: Any = import_module("pyarrow.compute")
        with self._ledger_faults():
            ranges = live_parts(self._ledger())
        for live in ranges:
            path = self.paths.ledger / live.part.name
            if wanted is not None:
                kinds = self.table(path, ["kind"], ["kind"], coded=["kind"])["kind"].cast("string")
                if not compute.any(compute.equal(kinds, wanted)).as_py():
                    continue
            table = self.table(path, columns, columns)
            yield table.filter(compute.less_equal(table["seq"], live.last))

    def _ledger(self) -> Folder:
        return Folder.at(self.paths.ledger)

    @contextmanager
    def _ledger_faults(self) -> Iterator[None]:
        try:
            yield
        except LedgerError as error:
            raise FaultsError([str(error)]) from error
        except OSError as error:
            raise self.out_of_reach(self.paths.ledger, error) from error

    def table(
        self, path: AnyPath, columns: Sequence[str] | None, required: Iterable[str], coded: Sequence[str] = ()
    ) -> Any:
        """Read columns of a Parquet file as an Arrow table; ``coded`` ones come dictionary-encoded.

        A run's tables are held to their digests before they are decoded. Raises MissingError if the file is missing,
        MismatchError if a table is not what summary.json says, FaultsError if a column is missing, or where the
        file cannot be read or is damaged.
        """
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
        is_sealed = path in (self.paths.trials, self.paths.epochs)
        try:
            # What has to be read whole to be hashed is read once.
            with (
                self._sealed(path) if is_sealed else self._opened(path) as source,
                parquet.ParquetFile(source, read_dictionary=list(coded)) as file,
            ):
                known = file.schema_arrow.names
                faults = [
                    f"{path} has no column {name!r}; {nearest(name, known)}" for name in required if name not in known
                ]
                if faults:
                    raise FaultsError(faults)
                # Arrow's threads make one of many small files take twice as long.
                table = file.read(columns=None if columns is None else list(columns), use_threads=is_sealed)
                if is_sealed:
                    return table
                # A flipped bit may leave text that is none, or a note by pandas that nobody can read.
                table.validate(full=True)
                return table.replace_schema_metadata(None)
        except FaultsError:
            raise
        except (OSError, ValueError, arrow.ArrowException) as error:
            # Arrow's own complaints about content are OSErrors, too, but without a number.
            if isinstance(error, OSError) and error.errno:
                raise self.out_of_reach(path, error) from error
            reported = " ".join(str(error).split())
            raise FaultsError([f"{path} is damaged ({reported}); {self._remedy(path)}"]) from error

    def summary(self) -> dict[str, Any] | None:
        """Read summary.json; None if there is none. Raises FaultsError if it is damaged or cannot be read."""
        path = self.paths.summary
        try:
            return dict(json.loads(self.read_bytes(path)))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.out_of_reach(path, error) from error
        except (ValueError, TypeError) as error:
            raise FaultsError([f"{path} is damaged ({error}); {self._remedy(path)}"]) from error

    def out_of_reach(self, path: AnyPath, error: OSError) -> FaultsError:
        """Say that a file or folder is missing, or that it cannot be read."""
        if isinstance(error, FileNotFoundError):
            return MissingError([f"{path} does not exist; {self._remedy(path)}"])
        reported = " ".join(str(error).split())
        return FaultsError([f"{path} cannot be read ({reported}); check that you may read there"])

    def _opened(self, path: AnyPath) -> Any:
        try:
            return opened(path)
        except OSError as error:
            raise self.out_of_reach(path, error) from error

    def _sealed(self, path: AnyPath) -> Any:
        """Read a table's bytes and hold them to the digest that summary.json has of it; raises MismatchError.

        A run without summary, or with one that was made by hand, has nothing to hold it to.
        """
        arrow: Any = import_module("pyarrow")
        with self._opened(path) as file:
            content = file.read_buffer()
        digests = (self.summary() or {}).get("sha256")
        reported = digests.get(path.name) if isinstance(digests, dict) else None
        if reported is not None and reported != hashlib.sha256(content).hexdigest():
            what = "is damaged, or newer than its summary.json: digests differ"
            raise MismatchError([f"{path} {what}; {self._remedy(path)}"])
        return arrow.BufferReader(content)

    def _remedy(self, path: AnyPath) -> str:
        """Say how a file that is damaged or missing is mended: tables and summary follow from the ledger."""
        if path not in (self.paths.trials, self.paths.epochs, self.paths.summary):
            return "restore it from a copy"
        return f"python -m ablation.tables {as_typed(self.paths.root)} writes it again from the ledger"

    def frame(self, path: AnyPath, columns: Sequence[str] | None, required: Iterable[str]) -> pd.DataFrame:
        """Read columns of a Parquet file as a frame; raises FaultsError as ``table`` does."""
        frame: pd.DataFrame = self.table(path, columns, required).to_pandas()
        return frame


RunLocation = RunDir | AnyPath | str


def run_dir(run: RunLocation) -> RunDir:
    """Find a run: by path here, by address with ``://`` elsewhere; once is enough.

    Raises FaultsError if the address cannot be opened.
    """
    return run if isinstance(run, RunDir) else RunDir(RunPaths(located(run)))


def names(runs: Sequence[RunLocation]) -> list[str]:
    """Name runs by their directories; if two have the same name, by where they lie."""
    found = [run_dir(run) for run in runs]
    short = [where.name for where in found]
    return [str(where) if short.count(name) > 1 else name for where, name in zip(found, short, strict=True)]
