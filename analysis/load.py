"""Run directory in, tidy tables out; trials that did not complete are listed, never dropped."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablation.faults import FaultsError, nearest
from ablation.paths import earlier_names, file_safe
from ablation.run_dir import RunDir, RunLocation, names, run_dir
from ablation.store import StorePath
from analysis.study import PHASES as PHASES
from analysis.study import PlannedStudy as PlannedStudy
from analysis.study import study as study

if TYPE_CHECKING:
    import pandas as pd

STATUSES = ("completed", "stopped", "diverged", "failed", "interrupted", "pending")
TRIAL_COLUMNS = (
    *("trial_id", "arm", "replicate", "phase", "index", "seed", "status", "reason", "epochs_planned"),
    *("epochs_trained", "stopped_at_rung", "attempts", "wall_s"),
)
EPOCH_COLUMNS = ("trial_id", "epoch", "seq", "epoch_s")
PREDICTION_COLUMNS = ("image", "label", "predicted", "confidence")
CONFUSION_COLUMNS = ("label", "predicted", "count")
# Small files at a time: a store far away makes readers wait, while local files only make them wait for each other.
READERS, LOCAL_READERS = 8, 2


def trials(run: RunLocation | Sequence[RunLocation], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read one row a planned trial, in the plan's order of arms, then replicate, phase and index.

    Args:
        run: run directory or its address; several of them give a leading column ``run``.
        columns: names to read; all of them where None.

    Raises:
        FaultsError: the file or a column is missing, or a status is unknown.
    """
    return _each(run, lambda one: _trials(one, columns))


def epochs(run: RunLocation | Sequence[RunLocation], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read one row a trial and epoch, sorted by trial and epoch.

    Args:
        run: run directory or its address; several of them give a leading column ``run``.
        columns: names to read; all of them where None.

    Raises:
        FaultsError: the file or a column is missing.
    """
    return _each(run, lambda one: _epochs(one, columns))


def _each(run: RunLocation | Sequence[RunLocation], read: Callable[[RunLocation], pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    if isinstance(run, RunDir | Path | StorePath | str):
        return read(run)
    tables = []
    for name, one in zip(names(run), run, strict=True):
        table = read(one)
        table.insert(0, "run", name)
        tables.append(table)
    if not tables:
        raise FaultsError(["no run was given; give one or more run directories"])
    return pd.concat(tables, ignore_index=True)


def _trials(run: RunLocation, columns: Sequence[str] | None) -> pd.DataFrame:
    order = {arm.name: rank for rank, arm in enumerate(study(run).arms)}
    keys = ("arm", "replicate", "phase", "index")
    read = None if columns is None else list(dict.fromkeys([*keys, *columns]))
    where = run_dir(run)
    table = where.frame(where.paths.trials, read, TRIAL_COLUMNS if read is None else read)
    if "status" in table:
        _check_statuses(where, table["status"])
    arms = table["arm"].map(lambda name: order.get(name, len(order)))
    phases = table["phase"].map(lambda name: PHASES.index(name))
    table = table.assign(_arm=arms, _phase=phases).sort_values(["_arm", "arm", "replicate", "_phase", "index"])
    table = table.drop(columns=["_arm", "_phase"]).reset_index(drop=True)
    return table if columns is None else table[list(columns)]


def _epochs(run: RunLocation, columns: Sequence[str] | None) -> pd.DataFrame:
    import numpy as np

    read = None if columns is None else list(dict.fromkeys(["trial_id", "epoch", *columns]))
    where = run_dir(run)
    table = where.table(where.paths.epochs, read, EPOCH_COLUMNS if read is None else read, coded=["trial_id"])
    # A million names sort in a second as text, and in none as codes.
    coded = table["trial_id"].combine_chunks()
    named = coded.dictionary.to_pylist()
    ranks = np.empty(len(named), dtype=np.int64)
    ranks[sorted(range(len(named)), key=named.__getitem__)] = np.arange(len(named))
    epochs = table["epoch"].to_numpy()
    positions = ranks[coded.indices.to_numpy()] * (1 + epochs.max(initial=0)) + epochs
    table = table.set_column(table.schema.get_field_index("trial_id"), "trial_id", coded.cast("string"))
    if (np.diff(positions) < 0).any():  # written by hand, or before tables were written in this order
        table = table.take(np.argsort(positions, kind="stable"))
    frame: pd.DataFrame = table.to_pandas().reset_index(drop=True)
    return frame if columns is None else frame[list(columns)]


def accounting(run: RunLocation) -> dict[str, int]:
    """Count planned trials by status: ``planned`` first, then every status, 0 included.

    Raises FaultsError if summary.json plans another number of trials than trials.parquet lists.
    """
    where = run_dir(run)
    table = where.frame(where.paths.trials, ["trial_id", "status"], ("trial_id", "status"))
    _check_statuses(where, table["status"])
    counts = counted(table)
    planned = summary(where).get("planned", len(table))
    if planned != len(table):
        rule = "both must account for every planned trial; resume the study to write them again from its ledger"
        raise FaultsError([f"{where}: summary.json plans {planned} trials, trials.parquet lists {len(table)}; {rule}"])
    return counts


def counted(trials: pd.DataFrame) -> dict[str, int]:
    """Count trials by status: ``planned``, which is all of them, then every status, 0 included."""
    return {"planned": len(trials)} | {status: int((trials["status"] == status).sum()) for status in STATUSES}


def reruns(run: RunLocation) -> dict[str, Any]:
    """Read which trials were run again and how they compared; empty if none was. Raises FaultsError if damaged."""
    where = run_dir(run)
    if not where.has(where.paths.reruns):
        return {}
    try:
        found: dict[str, Any] = json.loads(where.read_bytes(where.paths.reruns))
    except ValueError as error:
        remedy = "delete it, and run the trials again"
        raise FaultsError([f"{where.paths.reruns} is no JSON ({error}); {remedy}"]) from error
    return found


def summary(run: RunLocation) -> dict[str, Any]:
    """Read summary.json; empty if there is none yet. Raises FaultsError if it is damaged."""
    return run_dir(run).summary() or {}


def predictions(
    run: RunLocation, columns: Sequence[str] = PREDICTION_COLUMNS, among: Iterable[str] | None = None
) -> pd.DataFrame:
    """Read every confirm trial's predictions under a leading ``trial_id``; no rows if none were left.

    ``label`` and ``predicted`` are 0-based indices into the study's class names, ``confidence`` is in 0..1. ``among``
    is as for ``artifacts``. Raises FaultsError if a file lacks a column.
    """
    return artifacts(run, "predictions.parquet", columns, among)


def confusions(run: RunLocation, among: Iterable[str] | None = None) -> pd.DataFrame:
    """Read every confirm trial's confusion counts: trial_id, label, predicted, count.

    Trials that left predictions only are counted from these; no rows if trials left neither. ``among`` is as for
    ``artifacts``.
    """
    import pandas as pd

    among = None if among is None else list(among)
    counted = artifacts(run, "confusion.parquet", CONFUSION_COLUMNS, among)
    left = artifacts(run, "predictions.parquet", ("label", "predicted"), among, without=set(counted["trial_id"]))
    derived = left.groupby(["trial_id", "label", "predicted"], sort=True).size().rename("count").reset_index()
    parts = [part for part in (counted, derived) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else counted


def artifacts(
    run: RunLocation,
    name: str,
    columns: Sequence[str],
    among: Iterable[str] | None = None,
    without: Container[str] = (),
) -> pd.DataFrame:
    """Read one artifact file of every trial that left it, in order of names, under a leading ``trial_id``.

    Args:
        run: run directory or its address.
        name: the file's name in each trial's folder.
        columns: names to read.
        among: ids of the trials to look at; all that are planned where None.
        without: ids of trials to leave out.

    Raises:
        FaultsError: a file lacks a column, or is damaged.
    """
    import pandas as pd

    arrow: Any = import_module("pyarrow")
    where = run_dir(run)
    nothing = pd.DataFrame(columns=["trial_id", *columns])
    left = where.below(where.paths.artifacts, name)
    if not left:  # ten thousand ids are not made into names for a file that no trial leaves
        return nothing
    if among is None:
        among = [trial.trial_id for trial in study(where).planned]
    by_folder = {
        name: trial_id
        for trial_id in among
        if trial_id not in without
        for name in (file_safe(trial_id), *earlier_names(trial_id))
    }
    paths = [path for path in left if path.parent.name in by_folder]

    is_local = isinstance(where.paths.root, Path)
    with ThreadPoolExecutor(LOCAL_READERS if is_local else READERS) as readers:
        tables = list(readers.map(lambda path: where.table(path, columns, columns), paths))
    if not tables:
        return nothing
    frame: pd.DataFrame = arrow.concat_tables(tables, promote_options="permissive").to_pandas()
    ids = pd.Series([by_folder[path.parent.name] for path in paths])
    frame.insert(0, "trial_id", ids.repeat([len(table) for table in tables]).to_numpy())
    return frame


def _check_statuses(where: RunDir, statuses: pd.Series[str]) -> None:
    unknown = sorted(set(statuses) - set(STATUSES))
    if unknown:
        raise FaultsError([f"{where}: status {status!r} is unknown; {nearest(status, STATUSES)}" for status in unknown])
