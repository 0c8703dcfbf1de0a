"""The rows of a table of results as runs: arm, replicate, seed, score; and what in its cells cannot be one."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.elsewhere.columns import NOT_ENDED, Columns
from analysis.elsewhere.reading import MISSING, ResultsFile, rows_in_words
from analysis.numbers import count
from search_spaces.domains import Level
from search_spaces.names import short_names

MOST_FAULTS = 8  # of one kind


def runs_of(file: ResultsFile, columns: Columns) -> tuple[pd.DataFrame, list[str]]:
    """Read the runs of a table; return them, and what is wrong with its cells.

    Columns: row (its number in the file), arm, replicate, seed (text, "" without such a column), score (NaN if the cell
    is empty or the run did not end), has_ended, then each factor's level under its own name. Without a column of
    replicates the rows of an arm are numbered from 0.
    """
    cells = file.cells
    parts = []
    for arm in columns.arms or (columns.arm,):
        part = pd.DataFrame({"row": cells.index, "arm": arm if columns.arms else _arm_names(cells, columns)})
        part["written"] = cells[arm if columns.arms else columns.score].to_numpy()
        part["replicate"] = cells[columns.replicate].to_numpy() if columns.replicate else ""
        part["seed"] = cells[columns.seed].to_numpy() if columns.seed else ""
        states = cells[columns.status].str.lower().to_numpy() if columns.status else np.full(len(cells), "")
        part["has_ended"] = ~np.isin(states, list(NOT_ENDED))
        parts.append(part)
    runs = pd.concat(parts, ignore_index=True)
    for factor in columns.factors:
        runs[factor] = levels(cells[factor])
    numbers = [number(text, file.has_decimal_commas) for text in runs["written"]]
    runs["score"] = np.where(runs["has_ended"], [math.nan if value is None else value for value in numbers], math.nan)
    faults = [*_not_numbers(runs, numbers, columns), *_empty(runs, columns)]
    runs = runs.drop(columns="written")
    if not columns.replicate:
        return runs.assign(replicate=runs.groupby("arm").cumcount().astype(str)), faults
    keys = ["arm", "replicate", "seed"] if columns.seed else ["arm", "replicate"]
    return _once(runs, keys), [*faults, *_repeated(runs, keys)]


def number(text: str, has_decimal_comma: bool = False) -> float | None:
    """Read a score; NaN if the cell says that there is none, None if it holds no finite number."""
    if text.lower() in MISSING:
        return math.nan
    if has_decimal_comma:
        text = text.replace(",", ".")
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def levels(column: pd.Series[str]) -> list[Level]:
    """Read the levels of a factor: numbers or truth values where every cell is one, else text."""
    written = list(column)
    if all(text.lower() in ("true", "false") for text in written):
        return [text.lower() == "true" for text in written]
    if all(re.fullmatch(r"[+-]?\d{1,15}", text) for text in written):
        return [int(text) for text in written]
    found = [number(text) for text in written]
    numbers = [value for value in found if value is not None and not math.isnan(value)]
    return [*numbers] if len(numbers) == len(written) else [*written]


def _arm_names(cells: pd.DataFrame, columns: Columns) -> list[str]:
    """Name each row's arm: as its column says, else by the levels of the factors."""
    if columns.arm is not None:
        return list(cells[columns.arm])
    short = short_names(columns.factors)
    rows = zip(*(cells[factor] for factor in columns.factors), strict=True)
    return [",".join(f"{short[name]}={text}" for name, text in zip(columns.factors, row, strict=True)) for row in rows]


def _not_numbers(runs: pd.DataFrame, numbers: list[float | None], columns: Columns) -> Iterator[str]:
    bad = runs[np.array([value is None for value in numbers]) & runs["has_ended"].to_numpy()]
    if len(bad):
        named = {f"{text!r}": rows for text, rows in bad.groupby("written", sort=False)["row"]}
        listed = "; ".join(f"{text} in {rows_in_words(rows)}" for text, rows in list(named.items())[:MOST_FAULTS])
        where = "the columns of scores hold" if columns.arms else f"column {columns.score!r} holds"
        yield f"{where} {listed}; a score must be a finite number, or empty if the run has none"


def _empty(runs: pd.DataFrame, columns: Columns) -> Iterator[str]:
    named = {"arm": columns.arm, "replicate": columns.replicate, "seed": columns.seed}
    for role, name in named.items():
        if name is not None and (runs[role] == "").any():
            empty = rows_in_words(runs.loc[runs[role] == "", "row"])
            yield f"column {name!r} is empty in {empty}; every row needs its {role}"


def _repeated(runs: pd.DataFrame, keys: list[str]) -> Iterator[str]:
    """Say which runs that ended have more than one row."""
    twice = runs[
        runs["has_ended"] & runs[runs["has_ended"]].duplicated(keys, keep=False).reindex(runs.index, fill_value=False)
    ]
    found = [(key, rows["row"]) for key, rows in twice.groupby(keys, sort=False)]
    if found:
        listed = [f"{', '.join(map(str, key))}: {rows_in_words(rows)}" for key, rows in found[:MOST_FAULTS]]
        remedy = "give the column that tells them apart with --seed-column (they are averaged), or keep one of each"
        yield f"{count(len(found), 'replicate')} with more than one row ({'; '.join(listed)}); {remedy}"


def _once(runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Leave out runs that did not end if another of the same keys did, as after a second attempt."""
    order = runs["has_ended"].to_numpy().argsort(kind="stable")[::-1]
    kept = ~runs.iloc[order].duplicated(keys)
    return runs[kept.sort_index()]
