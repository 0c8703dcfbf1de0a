"""The table of epochs, held against the ledger; and the ledger's own order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.audit.cells import columns, equal
from analysis.audit.source import AuditedRun


def sequence(run: AuditedRun) -> Iterator[str]:
    """Look for events that are missing, there twice or out of order."""
    seq = run.events["seq"].to_numpy()
    if not np.array_equal(seq, np.arange(len(seq))):
        gaps = sorted(set(range(int(seq.max(initial=-1)) + 1)) - set(seq.tolist()))
        yield f"ledger: events are not 0..{len(seq) - 1} once each; missing {gaps[:5]}"
    if (np.diff(run.events["session"].to_numpy()) < 0).any():
        yield "ledger: a session writes after a later one"


def epochs(run: AuditedRun) -> Iterator[str]:
    """Hold each epoch against the last that the ledger has of it."""
    reported = _newest(run.payloads("epoch"))
    metrics = pd.DataFrame(list(reported["metrics"]), index=reported.index).add_prefix("metric.")
    ledger = pd.concat([reported[["trial_id", "epoch", "seq", "epoch_s"]], metrics], axis=1)
    ledger = ledger.set_index(["trial_id", "epoch"]).sort_index()
    table = run.epochs.set_index(["trial_id", "epoch"]).sort_index()
    if table.index.duplicated().any():
        yield f"epochs: there twice: {table.index[table.index.duplicated()].tolist()[:3]}"
        return
    if not table.index.equals(ledger.index):
        differing = table.index.symmetric_difference(ledger.index).tolist()
        yield f"epochs: {len(differing)} rows in one of epochs and ledger only, such as {differing[:3]}"
        return
    for column in sorted(set(table.columns) | set(ledger.columns)):
        if column not in table or column not in ledger:
            yield f"epochs: {column} is in one of epochs and ledger only"
        elif not equal(table[column], ledger[column]).all():
            where = table.index[~equal(table[column], ledger[column])].tolist()
            yield f"epochs: {column} differs from the ledger at {where[:3]}"
    counts = table.reset_index().groupby("trial_id")["epoch"].agg(["min", "max", "size"])
    broken = counts[(counts["min"] != 1) | (counts["max"] != counts["size"])]
    yield from (f"epochs: {trial} does not count 1, 2, 3, …" for trial in broken.index)


def _newest(reported: pd.DataFrame) -> pd.DataFrame:
    """Leave out epochs that a later attempt reported again: when an epoch comes, nothing from it on counts any more."""
    counting: dict[str, list[int]] = {}
    for position, trial, epoch in zip(reported.index, reported["trial_id"], reported["epoch"], strict=True):
        rows = counting.setdefault(trial, [])
        del rows[epoch - 1 :]
        rows.append(position)
    return reported.loc[sorted(position for rows in counting.values() for position in rows)]


def test_scores(run: AuditedRun) -> Iterator[str]:
    """Look for test scores anywhere but in the last epoch of confirm trials."""
    positions = run.trials.set_index("trial_id")[["phase", "epochs_planned"]]
    placed = run.epochs.join(positions, on="trial_id")
    for column in columns(placed, "metric.test_"):
        early = (placed["phase"] == "search") | (placed["epoch"] < placed["epochs_planned"])
        for trial in placed["trial_id"][early & placed[column].notna()]:
            yield f"epochs: {trial} has {column} where test data must not be looked at"
