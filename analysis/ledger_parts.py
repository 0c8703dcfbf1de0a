"""What counts of a run's ledger: a later session replaces what an overtaken one, or a torn part, reported after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from ablation.faults import FaultsError
from ablation.ledger.log import Event, Folder, LedgerError, live_parts, read_events
from analysis.places import Place


def whole_log(where: Place) -> list[Event]:
    """Read every event that counts, in order; raises FaultsError if the ledger is damaged or cannot be read."""
    with _faults(where):
        return read_events(_folder(where))


def columns_of_parts(where: Place, columns: Sequence[str], wanted: str | None = None) -> Iterator[Any]:
    """Yield an Arrow table of some columns for each part that counts, in order, of the events that count.

    Args:
        where: the run.
        columns: names to read.
        wanted: a kind of events; parts without one are passed over, and none of their columns but ``kind`` is read.

    Raises:
        MissingError: a part went between its listing and its reading.
        FaultsError: the ledger is damaged or cannot be read.
    """
    compute: Any = import_module("pyarrow.compute")
    with _faults(where):
        ranges = live_parts(_folder(where))
    for live in ranges:
        path = where.paths.ledger / live.part.name
        if wanted is not None:
            kinds = where.table(path, ["kind"], ["kind"], coded=["kind"])["kind"].cast("string")
            if not compute.any(compute.equal(kinds, wanted)).as_py():
                continue
        table = where.table(path, columns, columns)
        yield table.filter(compute.less_equal(table["seq"], live.last))


def _folder(where: Place) -> Folder:
    return Folder(where.filesystem, where.paths.ledger.as_posix())


@contextmanager
def _faults(where: Place) -> Iterator[None]:
    try:
        yield
    except LedgerError as error:
        raise FaultsError([str(error)]) from error
    except OSError as error:
        raise where.out_of_reach(where.paths.ledger, error) from error
