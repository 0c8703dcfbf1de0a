"""Every planned trial as the page's table takes it: columns of short values for the browser to sort and filter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ablation.paths import earlier_names, file_safe
from ablation.store import name_in
from analysis.numbers import Unit
from analysis.report.inputs import Inputs
from analysis.tables.search_phase import domains

DIGITS = 5  # of a number on the page; trials.parquet has all


def trial_table(inputs: Inputs) -> dict[str, Any]:
    """Lay out the trials in the plan's order.

    Returns ``columns``, each with its title and, if it is text, the ``names`` that its ``values`` index, of scores the
    ``digits`` that are shown; ``log`` and ``checkpoint`` of each trial, as its path in the run directory, 0 if it left
    none; and ``root``, the way there from the page, null where the page lies elsewhere.
    """
    trials, study = inputs.trials, inputs.study
    columns = [
        _text("arm", trials["arm"], inputs.arms),
        _number("replicate", trials["replicate"]),
        _text("phase", trials["phase"]),
        _number("index", trials["index"]),
        _text("status", trials["status"]),
        _number("epochs", trials["epochs_trained"].fillna(0)),
        *(_score(inputs, title, column) for title, column in _scored(inputs)),
        *(_value(name, trials[f"config.{name}"]) for name in domains(study) if f"config.{name}" in trials),
        _number("time, s", trials["wall_s"]),
        _text("reason", trials["reason"].fillna("").astype(str)),
    ]
    logs, checkpoints = _files(inputs)
    return {
        "columns": columns,
        "log": [_log(trial_id, logs) for trial_id in trials["trial_id"]],
        "checkpoint": [path if path in checkpoints else 0 for path in trials.get("checkpoint", [0] * len(trials))],
        "root": "../" if inputs.lies_in_run else None,
    }


def _scored(inputs: Inputs) -> list[tuple[str, str]]:
    primary = inputs.study.primary
    found = ((primary.validation, primary.validation_column), (primary.test, primary.test_column))
    return [(title.replace("_", " "), column) for title, column in found if column in inputs.trials]


def _score(inputs: Inputs, title: str, column: str) -> dict[str, Any]:
    values = inputs.trials[column].astype(float)
    unit: Unit = inputs.unit_of_metric(inputs.study.metric, values.dropna())
    laid = _number(f"{title}{', %' if unit.points else ''}", values * unit.scale)
    return laid | {"digits": unit.digits + 1} if unit.points else laid


def _value(name: str, values: pd.Series[Any]) -> dict[str, Any]:
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return _number(name, values)
    return _text(name, values.map(lambda value: "" if value is None or value != value else str(value)))


def _number(title: str, values: pd.Series[Any]) -> dict[str, Any]:
    numbers = [float(value) for value in values]
    return {"title": title, "values": [_short(number) if math.isfinite(number) else None for number in numbers]}


def _short(number: float) -> float | int:
    return int(number) if number.is_integer() and abs(number) < 1e15 else float(f"{number:.{DIGITS}g}")


def _text(title: str, values: pd.Series[Any], order: Sequence[str] = ()) -> dict[str, Any]:
    names = list(dict.fromkeys([*order, *sorted(values.unique())]))
    codes = {name: code for code, name in enumerate(names)}
    return {"title": title, "names": names, "values": [codes[value] for value in values]}


def _files(inputs: Inputs) -> tuple[set[str], set[str]]:
    """List the logs and checkpoints that are there, by their paths in the run directory, each folder at once."""
    where, paths = inputs.where, inputs.where.paths
    logs, checkpoints = (
        {name_in(paths.root, path) for path in where.below(folder)} for folder in (paths.logs, paths.checkpoints)
    )
    return logs, checkpoints


def _log(trial_id: str, logs: set[str]) -> str | int:
    names = (f"logs/{name}.txt" for name in (file_safe(trial_id), *earlier_names(trial_id)))
    return next((path for path in names if path in logs), 0)
