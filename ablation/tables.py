"""From the ledger to what people open: trials.parquet, epochs.parquet, summary.json.

As a command, ``python -m ablation.tables RUN_DIR`` writes them again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer

from ablation import study_file
from ablation.code_record import CodeRecord
from ablation.failures import Failures, by_reason
from ablation.ledger.events import Event, SessionOpened
from ablation.ledger.log import LedgerError, read_events
from ablation.ledger.records import ConflictError, Records, Status, TrialState, fold
from ablation.paths import RunPaths
from ablation.plan import Plan, PlannedTrial
from ablation.store import AnyPath, located, opened, put_whole
from ablation.terminal import exit_on_errors
from search_spaces.metrics import as_columns, is_column

STATUSES: tuple[Status, ...] = ("completed", "stopped", "diverged", "failed", "interrupted", "pending")

TRIAL_FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("trial_id", pa.string()),
    ("arm", pa.string()),
    ("replicate", pa.int32()),
    ("phase", pa.string()),
    ("index", pa.int32()),
    ("seed", pa.int64()),
    ("status", pa.string()),
    ("reason", pa.string()),
    ("epochs_planned", pa.int32()),
    ("epochs_trained", pa.int32()),
    ("stopped_at_rung", pa.int32()),
    ("attempts", pa.int32()),
    ("code", pa.string()),
    ("wall_s", pa.float64()),
    ("images_per_s", pa.float64()),
    ("checkpoint", pa.string()),
    ("removed_checkpoint", pa.string()),
)
EPOCH_FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("trial_id", pa.string()),
    ("epoch", pa.int32()),
    ("seq", pa.int64()),
    ("epoch_s", pa.float64()),
)


def materialise(paths: RunPaths) -> dict[str, Any]:
    """Write both tables and the summary again from study.json and the ledger, and return the summary.

    The summary comes last and holds the tables' digests, so that a table that is not the summary's is noticed.
    """
    events = read_events(paths.ledger)
    plan = study_file.plan_now(study_file.read(paths), events)
    records = fold(events)
    trials = trials_table(plan, records)
    digests = {
        path.name: _put_table(path, table)
        for path, table in ((paths.trials, trials), (paths.epochs, epochs_table(plan, records)))
    }
    counts: Counter[str] = Counter(trials["status"].to_pylist())
    summary: dict[str, Any] = {
        "planned": plan.trial_count,
        **{status: counts.get(status, 0) for status in STATUSES},
        "sessions": max((event.session for event in events), default=0),
        "retries": sum(event.kind == "retried" for event in events),
        "superseded_epochs": sum(state.superseded for state in records.values()),
        "code": _codes(events),
        "sweep_wall_s": round(sweep_wall_s(events), 3),
        "sha256": digests,
    }
    put_whole(paths.summary, (json.dumps(summary, indent=1) + "\n").encode())
    return summary


def failures(paths: RunPaths) -> tuple[Failures, ...]:
    """Group the failed and diverged trials of a run's table by their reasons."""
    columns = ["trial_id", "status", "reason"]
    with opened(paths.trials) as file:
        table = pq.ParquetFile(file).read(columns).select(columns)
    return tuple(by_reason(zip(*(column.to_pylist() for column in table.columns), strict=True)))


def trials_table(plan: Plan, records: Records) -> pa.Table:
    """Build the table with one row for every planned trial, in the plan's order, whatever became of it."""
    rows = [_trial_row(trial, records.get(trial.trial_id, TrialState(trial.trial_id))) for trial in plan.trials()]
    columns: dict[str, Any] = dict(TRIAL_FIELDS)
    searched = {name: plan.space.domain(name) for name in (*plan.space.factors, *plan.space.nuisance)}
    for name in sorted({key for row in rows for key in row if key.startswith("config.")}):
        values = [row.get(name) for row in rows]
        kinds = {type(value) for value in values if value is not None}
        if len(kinds) > 1 and not kinds <= {int, float}:
            for row in rows:  # levels of several kinds, such as False and "ema", share a column as text
                row[name] = None if row.get(name) is None else str(row[name])
            values = [row.get(name) for row in rows]
        is_real = getattr(searched.get(name.removeprefix("config.")), "kind", "") == "float"
        columns[name] = pa.float64() if is_real else _column_type(values)
    for name in sorted({key for row in rows for key in row if is_column(key)}):
        columns[name] = pa.float64()
    return pa.Table.from_pylist(rows, schema=pa.schema(columns.items(), metadata={"schema_version": "1"}))


def epochs_table(plan: Plan, records: Records) -> pa.Table:
    """Build the table with one row for every trial and epoch, in the order of trial_id and epoch."""
    rows = [
        {
            "trial_id": trial.trial_id,
            "epoch": row.epoch,
            "seq": row.seq,
            "epoch_s": row.epoch_s,
            **as_columns(row.metrics),
        }
        for trial in sorted(plan.trials(), key=lambda trial: trial.trial_id)
        if trial.trial_id in records
        for row in records[trial.trial_id].epochs
    ]
    metrics = sorted({key for row in rows for key in row if is_column(key)})
    columns = dict(EPOCH_FIELDS) | {name: pa.float64() for name in metrics}
    return pa.Table.from_pylist(rows, schema=pa.schema(columns.items(), metadata={"schema_version": "1"}))


def _trial_row(trial: PlannedTrial, state: TrialState) -> dict[str, Any]:
    trained_s = sum(row.epoch_s for row in state.epochs)
    images = sum(row.images for row in state.epochs)
    return {
        "trial_id": trial.trial_id,
        "arm": trial.arm,
        "replicate": trial.replicate,
        "phase": trial.phase,
        "index": trial.index,
        "seed": trial.seed,
        "status": status(state),
        "reason": state.reason,
        "epochs_planned": trial.epochs,
        "epochs_trained": len(state.epochs),
        "stopped_at_rung": state.stopped_at_rung,
        "attempts": state.attempts,
        "code": state.code,
        "wall_s": state.wall_s,
        "images_per_s": images / trained_s if images and trained_s else None,
        "checkpoint": state.checkpoint,
        "removed_checkpoint": state.removed_checkpoint,
        **{f"config.{name}": value for name, value in state.config.items()},
        **(as_columns(state.epochs[-1].metrics) if state.epochs else {}),
    }


def status(state: TrialState) -> Status:
    """Name where a trial stands while no driver is at work on it."""
    if state.outcome is not None:
        return state.outcome
    return "interrupted" if state.attempts else "pending"


def _column_type(values: Iterable[object]) -> pa.DataType:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool}:
        return pa.bool_()
    if kinds <= {int}:
        return pa.int64()
    return pa.float64() if kinds <= {int, float} else pa.string()


def _codes(events: list[Event]) -> list[dict[str, Any]]:
    """List the code of each session that changed it: digest, session, files and versions."""
    found: dict[str, dict[str, Any]] = {}
    for event in events:
        if isinstance(event.what, SessionOpened) and event.what.code is not None:
            record = CodeRecord.model_validate(event.what.code)
            found.setdefault(record.digest, {"code": record.digest, "session": event.session, **record.model_dump()})
    return list(found.values())


def sweep_wall_s(events: list[Event]) -> float:
    """Return how long drivers were at work, all sessions together."""
    first: dict[int, float] = {}
    last: dict[int, float] = {}
    for event in events:
        first.setdefault(event.session, event.unix_s)
        last[event.session] = event.unix_s
    # A clock that was set back must not shorten the rest.
    return sum(max(0.0, last[session] - first[session]) for session in first)


def _put_table(path: AnyPath, table: pa.Table) -> str:
    """Write a table and return its digest."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    put_whole(path, content)
    return hashlib.sha256(content).hexdigest()


def main(run: Annotated[str, typer.Argument(help="A run directory, or its address.")]) -> None:
    """Write a run's tables and summary again from its ledger."""
    with exit_on_errors(FileNotFoundError, LedgerError, ConflictError, study_file.DamagedStudyError):
        summary = materialise(RunPaths(located(run)))
    typer.echo(f"{run}: {summary['planned']} trials")


if __name__ == "__main__":
    typer.run(main)
