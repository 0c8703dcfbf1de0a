"""A file of results in: every cell as text, under the row number that an editor or a spreadsheet shows."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ablation.faults import FaultsError
from ablation.store import AnyPath, located

MISSING = frozenset(("", "nan", "na", "n/a", "none", "null", "-"))
MOST_SHOWN = 8  # row numbers in a sentence


@dataclass(frozen=True)
class ResultsFile:
    """A file of results as it lies there.

    Attributes:
        name: of the file, without folder and ending.
        sha256: of its bytes.
        about: comment lines (``#``) at the head of a CSV, as one text.
        cells: text, "" if there is nothing; the index is the row's number, the header of a CSV counted.
        has_decimal_commas: whether numbers are written as 87,4, as where semicolons separate cells.
    """

    name: str
    sha256: str
    about: str
    cells: pd.DataFrame
    has_decimal_commas: bool = False


def read(text: str) -> ResultsFile:
    """Read a CSV, TSV or Parquet file, here or in an object store.

    Raises FaultsError if it is not there, is no such file or has no rows.
    """
    path = located(text)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FaultsError([f"{path} cannot be read ({error.strerror or error}); give a table of results"]) from error
    try:
        found = _parquet(path, content) if path.name.lower().endswith(".parquet") else _csv(path, content)
    except (ValueError, csv.Error, pa.ArrowException) as error:
        raise error if isinstance(error, FaultsError) else FaultsError([f"{path} is damaged ({error})"]) from error
    if found.cells.empty:
        raise FaultsError([f"{path} has no rows; give a header and one row for each run"])
    return found


def rows_in_words(rows: Iterable[int]) -> str:
    """Name rows by their numbers, the first few of many."""
    numbers = sorted(set(map(int, rows)))
    listed = ", ".join(map(str, numbers[:MOST_SHOWN]))
    more = f" and {len(numbers) - MOST_SHOWN} more" if len(numbers) > MOST_SHOWN else ""
    return f"row{'' if len(numbers) == 1 else 's'} {listed}{more}"


def _csv(path: AnyPath, content: bytes) -> ResultsFile:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FaultsError([f"{path} is not UTF-8 ({error}); save it as CSV UTF-8"]) from error
    lines = text.splitlines(keepends=True)
    comments = next((index for index, line in enumerate(lines) if not line.startswith("#")), len(lines))
    about = " ".join(line.lstrip("#").strip() for line in lines[:comments]).strip()
    header = lines[comments] if comments < len(lines) else ""
    separator = max(("\t", ";", ","), key=header.count)
    rows = csv.reader(io.StringIO("".join(lines[comments:]), newline=""), delimiter=separator, strict=True)
    names = [name.strip() for name in next(rows, [])]
    numbered: dict[int, list[str]] = {}
    for row in rows:
        if any(map(str.strip, row)):
            numbered[comments + rows.line_num] = [cell.strip() for cell in row]
    faults = [*_header_faults(path, names)]
    ragged = [number for number, row in numbered.items() if len(row) != len(names)]
    if ragged:
        faults.append(
            f"{path}: {rows_in_words(ragged)}: cells must be {len(names)} as in the header; mend or quote them"
        )
    if faults:
        raise FaultsError(faults)
    cells = pd.DataFrame(list(numbered.values()), columns=names, index=list(numbered), dtype=object)
    return ResultsFile(_stem(path), _digest(content), about, cells, separator == ";")


def _parquet(path: AnyPath, content: bytes) -> ResultsFile:
    table: Any = pq.read_table(io.BytesIO(content))
    faults = list(_header_faults(path, table.column_names))
    if faults:
        raise FaultsError(faults)
    columns = {name: [_text(value) for value in table.column(name).to_pylist()] for name in table.column_names}
    cells = pd.DataFrame(columns, index=range(1, len(table) + 1), dtype=object)
    return ResultsFile(_stem(path), _digest(content), "", cells)


def _header_faults(path: AnyPath, names: list[str]) -> Iterator[str]:
    for name in sorted({name for name in names if name and names.count(name) > 1}):
        yield f"{path}: two columns are called {name!r}; rename one"


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _stem(path: AnyPath) -> str:
    return PurePath(path.name).stem


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
