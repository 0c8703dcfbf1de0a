"""Run directory in, tidy tables out; trials that did not complete are listed, never dropped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablation.faults import FaultsError, nearest
from ablation.paths import RunPaths, file_safe

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
PHASES = ("search", "confirm")
STATUSES = ("completed", "stopped", "diverged", "failed", "interrupted", "pending")
TRIAL_COLUMNS = (
    *("trial_id", "arm", "replicate", "phase", "index", "seed", "status", "reason", "epochs_planned"),
    *("epochs_trained", "stopped_at_rung", "attempts", "wall_s"),
)
EPOCH_COLUMNS = ("trial_id", "epoch", "seq", "epoch_s")
PREDICTION_COLUMNS = ("image", "label", "predicted", "confidence")
CONFUSION_COLUMNS = ("label", "predicted", "count")


@dataclass(frozen=True)
class Arm:
    """One combination of levels of the scientific factors, as planned."""

    name: str
    levels: Mapping[str, Any]
    searched: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """What study.json says: the plan, the space, and where the results came from."""

    document: Mapping[str, Any]

    @property
    def plan(self) -> Mapping[str, Any]:
        """Arms, budget, comparisons, primary metric, seed."""
        return dict(self.document["plan"])

    @property
    def space(self) -> Mapping[str, Any]:
        """Factors, hyperparameters, metrics and their direction."""
        return dict(self.plan["space"])

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Planned arms, in the plan's order."""
        return tuple(
            Arm(arm["name"], arm["levels"], tuple(arm["searched"]), tuple(arm.get("notes", ())))
            for arm in self.plan["arms"]
        )

    @property
    def comparisons(self) -> tuple[tuple[str, str], ...]:
        """Pairs (arm, against) declared before the study."""
        return tuple((arm, against) for arm, against in self.plan["comparisons"])

    @property
    def metric(self) -> str:
        """Primary metric, without ``val_`` or ``test_``."""
        return str(self.plan["metric"])

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric of the space, the primary one first."""
        return (self.metric, *(name for name in self.space["metrics"] if name != self.metric))

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which a search may stop trials."""
        return tuple(self.document["rungs"])

    @property
    def search_is_random(self) -> bool:
        """Whether searches were too short to learn from their own trials."""
        return bool(self.document["search_is_random"])

    @property
    def higher_is_better(self) -> bool:
        """Whether the space maximises its metrics."""
        return bool(self.space.get("direction", "maximize") == "maximize")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the data's classes; empty where the study has no classes."""
        return tuple((self.document.get("data") or {}).get("class_names") or ())


def study(run: Path | str) -> Study:
    """Read study.json.

    Raises FaultsError where the directory is no run, or the file is damaged or of another schema.
    """
    path = RunPaths(Path(run)).study
    if not path.is_file():
        raise FaultsError([f"{path} does not exist; give a run directory, as written by python -m ablation.run"])
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FaultsError([f"{path} is no JSON ({error}); restore it, it is written once and never changed"]) from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise FaultsError([f"{path} has schema_version {version!r}, but must be {SCHEMA_VERSION}; update this package"])
    wanted = {"plan": ("space", "metric", "budget", "arms", "comparisons"), "plan.space": ("factors", "metrics")}
    plan = document.get("plan") or {}
    found = {"plan": plan, "plan.space": plan.get("space") or {}}
    faults = [
        f"{path} lacks {group}.{name}; restore the file, it is written once and never changed"
        for group, names in wanted.items()
        for name in names
        if name not in found[group]
    ]
    if faults:
        raise FaultsError(faults)
    return Study(document)


def trials(run: Path | str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read one row a planned trial, in the plan's order of arms, then replicate, phase and index.

    Args:
        run: run directory.
        columns: names to read; all of them where None.

    Raises:
        FaultsError: the file or a column is missing, or a status is unknown.
    """
    order = {arm.name: place for place, arm in enumerate(study(run).arms)}
    keys = ("arm", "replicate", "phase", "index")
    read = None if columns is None else list(dict.fromkeys([*keys, *columns]))
    table = _read(RunPaths(Path(run)).trials, TRIAL_COLUMNS if read is None else read, read)
    if "status" in table:
        _check_statuses(run, table["status"])
    arms = table["arm"].map(lambda name: order.get(name, len(order)))
    phases = table["phase"].map(lambda name: PHASES.index(name))
    table = table.assign(_arm=arms, _phase=phases).sort_values(["_arm", "arm", "replicate", "_phase", "index"])
    table = table.drop(columns=["_arm", "_phase"]).reset_index(drop=True)
    return table if columns is None else table[list(columns)]


def epochs(run: Path | str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read one row a trial and epoch, sorted by trial and epoch.

    Args:
        run: run directory.
        columns: names to read; all of them where None.

    Raises:
        FaultsError: the file or a column is missing.
    """
    read = None if columns is None else list(dict.fromkeys(["trial_id", "epoch", *columns]))
    table = _read(RunPaths(Path(run)).epochs, EPOCH_COLUMNS if read is None else read, read)
    table = table.sort_values(["trial_id", "epoch"]).reset_index(drop=True)
    return table if columns is None else table[list(columns)]


def accounting(run: Path | str) -> dict[str, int]:
    """Count planned trials by status: ``planned`` first, then every status, 0 included.

    Raises FaultsError where summary.json plans another number of trials than trials.parquet lists.
    """
    table = trials(run, ["trial_id", "status"])
    counts = {"planned": len(table)} | {status: int((table["status"] == status).sum()) for status in STATUSES}
    planned = summary(run).get("planned", len(table))
    if planned != len(table):
        rule = "both must account for every planned trial; resume the study to write them anew from its ledger"
        raise FaultsError([f"{run}: summary.json plans {planned} trials, trials.parquet lists {len(table)}; {rule}"])
    return counts


def summary(run: Path | str) -> dict[str, Any]:
    """Read summary.json; empty where there is none yet."""
    path = RunPaths(Path(run)).summary
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def predictions(run: Path | str, columns: Sequence[str] = PREDICTION_COLUMNS) -> pd.DataFrame:
    """Read every confirm trial's predictions under a leading ``trial_id``; no rows where none were left.

    ``label`` and ``predicted`` are 0-based places in the study's class names, ``confidence`` is in 0..1.
    Raises FaultsError where a file lacks a column.
    """
    return _artifacts(run, "predictions.parquet", columns)


def confusions(run: Path | str) -> pd.DataFrame:
    """Read every confirm trial's confusion counts: trial_id, label, predicted, count.

    Trials that left predictions only are counted from these; no rows where trials left neither.
    """
    import pandas as pd

    counted = _artifacts(run, "confusion.parquet", CONFUSION_COLUMNS)
    left = _artifacts(run, "predictions.parquet", ("label", "predicted"), without=set(counted["trial_id"]))
    derived = left.groupby(["trial_id", "label", "predicted"], sort=True).size().rename("count").reset_index()
    parts = [part for part in (counted, derived) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else counted


def _artifacts(run: Path | str, name: str, columns: Sequence[str], without: Iterable[str] = ()) -> pd.DataFrame:
    import pandas as pd

    known = {file_safe(trial_id): trial_id for trial_id in trials(run, ["trial_id"])["trial_id"]}
    skipped = set(without)
    tables = []
    for path in sorted(RunPaths(Path(run)).artifacts.glob(f"*/{name}")):
        trial_id = known.get(path.parent.name)
        if trial_id is not None and trial_id not in skipped:
            table = _read(path, columns, list(columns))
            table.insert(0, "trial_id", trial_id)
            tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["trial_id", *columns])


def _read(path: Path, required: Iterable[str], columns: list[str] | None) -> pd.DataFrame:
    parquet: Any = import_module("pyarrow.parquet")  # untyped, and heavy: only reading needs it
    if not path.is_file():
        raise FaultsError([f"{path} does not exist; resume the study, which writes it from the ledger"])
    known = parquet.read_schema(path).names
    faults = [f"{path} has no column {name!r}; {nearest(name, known)}" for name in required if name not in known]
    if faults:
        raise FaultsError(faults)
    table: pd.DataFrame = parquet.read_table(path, columns=columns).to_pandas()
    return table


def _check_statuses(run: Path | str, statuses: pd.Series[str]) -> None:
    unknown = sorted(set(statuses) - set(STATUSES))
    if unknown:
        raise FaultsError([f"{run}: status {status!r} is unknown; {nearest(status, STATUSES)}" for status in unknown])
