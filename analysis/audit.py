"""Check a run directory against itself: ``python -m analysis.audit RUN_DIR``.

Reads nothing but study.json and the Parquet files, and shares no code with what wrote them: the plan is spelled out,
the ledger replayed and ASHA recomputed here a second time, so that a fault in either place shows.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from ablation.paths import RunPaths

KEY = ["arm", "replicate"]
PAYLOAD_KEYS = {
    "epoch": ["epoch", "epoch_s", "metrics"],
    "ended": ["outcome"],
    "proposed": ["config"],
    "decided": ["rung"],
}


@dataclass(frozen=True)
class Run:
    """What a run directory says, read independently of its writer."""

    plan: dict[str, Any]
    events: pd.DataFrame
    trials: pd.DataFrame
    epochs: pd.DataFrame

    @property
    def sign(self) -> float:
        """1 where larger is better, −1 where smaller is."""
        return 1.0 if self.plan["space"]["direction"] == "maximize" else -1.0

    @property
    def validation(self) -> str:
        """Column of the metric that guides the search."""
        return f"metric.val_{self.plan['metric']}"

    def payloads(self, kind: str) -> pd.DataFrame:
        """Return one kind's events with the keys of PAYLOAD_KEYS as columns."""
        chosen = self.events[self.events["kind"] == kind]
        parsed = [json.loads(text) for text in chosen["payload"]]
        payload = pd.DataFrame(parsed, index=chosen.index, columns=PAYLOAD_KEYS[kind])
        return pd.concat([chosen[["seq", "trial_id"]], payload], axis=1)


def audit(run: Path) -> list[str]:
    """Return everything in which plan, ledger, trials and epochs disagree; nothing where all is well."""
    paths = RunPaths(run)
    missing = [path for path in (paths.study, paths.trials, paths.epochs, paths.ledger) if not path.exists()]
    if missing:
        return [f"{path} is missing" for path in missing]
    try:
        events, faults = _read_ledger(paths.ledger)
        grown = [json.loads(text)["plan"] for text in events["payload"][events["kind"] == "grown"]]
        found = Run(
            plan=[json.loads(paths.study.read_text())["plan"], *grown][-1],
            events=events,
            trials=pd.read_parquet(paths.trials),
            epochs=pd.read_parquet(paths.epochs),
        )
    except (OSError, ValueError, KeyError) as error:
        return [f"{run} cannot be read: {error}"]
    checks = (_plan, _sequence, _outcomes, _epochs, _last_metrics, _proposals, _rungs, _confirmed, _test_scores)
    for check in checks:
        try:
            faults += check(found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            faults.append(f"{check.__name__.strip('_')}: not even readable ({type(error).__name__}: {error})")
    return faults


def _read_ledger(directory: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read the parts session by session; what a later one tells from its first event on replaces what was before."""
    faults: list[str] = []
    columns = ["seq", "session", "kind", "trial_id", "unix_s", "payload"]
    events, last_session = pd.DataFrame(columns=columns), -1
    paths = sorted(directory.glob("*.parquet"), key=_session_and_place)
    for path in paths:
        digest = path.stem.rpartition("-")[2]
        if hashlib.sha256(path.read_bytes()).hexdigest()[: len(digest)] != digest:
            if not any(_replaces(later, path) for later in paths):
                faults.append(f"ledger: {path.name} is not what its digest says")
            continue
        part = pd.read_parquet(path)
        session, first, _ = _session_and_place(path)
        if session == last_session and part["seq"].max() <= events["seq"].max():
            continue  # left beside its merger
        kept = events[events["seq"] < first]
        events, last_session = (pd.concat([kept, part]) if len(kept) else part), session
    return events.reset_index(drop=True), faults


def _replaces(later: Path, path: Path) -> bool:
    """Tell whether a later session began where this part begins or before: then the part does not count."""
    (session, first, _), (own_session, own_first, _) = _session_and_place(later), _session_and_place(path)
    return session > own_session and first <= own_first


def _session_and_place(path: Path) -> tuple[int, int, int]:
    session, first, last = (int(text) for text in path.stem.split("-")[:3])
    return session, first, -last


def _sequence(run: Run) -> Iterator[str]:
    seq = run.events["seq"].to_numpy()
    if not np.array_equal(seq, np.arange(len(seq))):
        gaps = sorted(set(range(int(seq.max(initial=-1)) + 1)) - set(seq.tolist()))
        yield f"ledger: events are not 0..{len(seq) - 1} once each; missing {gaps[:5]}"
    if (np.diff(run.events["session"].to_numpy()) < 0).any():
        yield "ledger: a session writes after a later one"


def _plan(run: Run) -> Iterator[str]:
    budget = run.plan["budget"]
    planned = {
        f"{arm['name']}/{replicate}/{phase}/{index}"
        for arm in run.plan["arms"]
        for replicate in range(budget["replicates"])
        for phase, count in (("search", budget["trials"]), ("confirm", budget["seeds"]))
        for index in range(count)
    }
    listed = run.trials["trial_id"].tolist()
    yield from (f"trials: {trial} is planned, but not listed" for trial in sorted(planned - set(listed)))
    yield from (f"trials: {trial} is listed, but not planned" for trial in sorted(set(listed) - planned))
    if len(listed) != len(set(listed)):
        yield f"trials: {len(listed) - len(set(listed))} rows are there twice"
    told = set(run.events["trial_id"].dropna())
    yield from (f"ledger: tells of {trial}, which is not planned" for trial in sorted(told - planned))
    spelled = run.trials.apply(lambda row: f"{row['arm']}/{row['replicate']}/{row['phase']}/{row['index']}", axis=1)
    yield from (f"trials: {row} does not stand where its id says" for row in run.trials["trial_id"][spelled != listed])
    seeds = run.trials.groupby(["replicate", "phase", "index"])["seed"].nunique()
    if (seeds > 1).any():
        yield f"trials: arms do not share seeds at {seeds[seeds > 1].index.tolist()[:3]}"
    wrong_length = run.trials[run.trials["epochs_planned"] != budget["epochs"]]["trial_id"]
    yield from (f"trials: {trial} is planned for another length" for trial in wrong_length)


def _outcomes(run: Run) -> Iterator[str]:
    outcome: dict[str, str] = {}
    started: Counter[str] = Counter()
    for kind, trial, payload in run.events[["kind", "trial_id", "payload"]].itertuples(index=False):
        if kind == "ended" and trial in outcome:
            yield f"ledger: ended twice: {trial}"
        elif kind == "ended":
            outcome[trial] = json.loads(payload)["outcome"]
        elif kind == "reopened":
            outcome.pop(trial, None)
        started[trial] += kind == "started"
    for row in run.trials.to_dict("records"):
        trial = row["trial_id"]
        expected = outcome.get(trial, "interrupted" if started[trial] else "pending")
        if row["status"] != expected:
            yield f"trials: {trial} is {row['status']}, but the ledger says {expected}"
        if row["attempts"] != started[trial]:
            yield f"trials: {trial} has {row['attempts']} attempts, but the ledger {started[trial]}"


def _epochs(run: Run) -> Iterator[str]:
    told = _newest(run.payloads("epoch"))
    metrics = pd.DataFrame(list(told["metrics"]), index=told.index).add_prefix("metric.")
    ledger = pd.concat([told[["trial_id", "epoch", "seq", "epoch_s"]], metrics], axis=1)
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
        elif not _equal(table[column], ledger[column]).all():
            where = table.index[~_equal(table[column], ledger[column])].tolist()
            yield f"epochs: {column} differs from the ledger at {where[:3]}"
    counts = table.reset_index().groupby("trial_id")["epoch"].agg(["min", "max", "size"])
    broken = counts[(counts["min"] != 1) | (counts["max"] != counts["size"])]
    yield from (f"epochs: {trial} does not count 1, 2, 3, …" for trial in broken.index)


def _newest(told: pd.DataFrame) -> pd.DataFrame:
    """Leave out epochs that a later attempt told again: when an epoch comes, nothing from it on counts any more."""
    counting: dict[str, list[int]] = {}
    for position, trial, epoch in zip(told.index, told["trial_id"], told["epoch"], strict=True):
        rows = counting.setdefault(trial, [])
        del rows[epoch - 1 :]
        rows.append(position)
    return told.loc[sorted(position for rows in counting.values() for position in rows)]


def _last_metrics(run: Run) -> Iterator[str]:
    last = run.epochs.sort_values("epoch").groupby("trial_id").tail(1).set_index("trial_id")
    trained = last["epoch"].reindex(run.trials["trial_id"]).fillna(0).to_numpy()
    differing = run.trials["trial_id"][run.trials["epochs_trained"].to_numpy() != trained]
    yield from (f"trials: {trial}'s epochs_trained is not what epochs has" for trial in differing)
    for column in _columns(run.trials, "metric."):
        expected = last[column].reindex(run.trials["trial_id"]).set_axis(run.trials.index)
        for trial in run.trials["trial_id"][~_equal(run.trials[column], expected)]:
            yield f"trials: {trial}'s {column} is not its last epoch's"


def _proposals(run: Run) -> Iterator[str]:
    proposed = run.payloads("proposed").set_index("trial_id")
    if proposed.index.duplicated().any():
        yield f"ledger: proposed twice: {proposed.index[proposed.index.duplicated()].tolist()[:3]}"
        return
    for row in run.trials.to_dict("records"):
        config = proposed["config"].get(row["trial_id"], {})
        for column in _columns(run.trials, "config."):
            if not _same(row[column], config.get(column.removeprefix("config."))):
                yield f"trials: {row['trial_id']}'s {column} is not what was proposed"
    if set(run.trials["status"]).isdisjoint({"pending", "interrupted"}):
        effort = run.trials[run.trials["phase"] == "search"].groupby(KEY).size()
        if effort.nunique() > 1:
            yield f"trials: effort differs between arms: {effort.to_dict()}"


def _rungs(run: Run) -> Iterator[str]:
    """Recompute ASHA from epochs alone: at a rung, in order of seq, a trial stays among the best max(1, n // η)."""
    budget = run.plan["budget"]
    # A trial that diverged in an epoch is not judged there, and one that is still open may not have been yet.
    decided = run.payloads("decided")
    judged = set(zip(decided["trial_id"], decided["rung"], strict=True))
    broken = run.trials[run.trials["status"].isin(["diverged", "interrupted"])]
    unjudged = set(zip(broken["trial_id"], broken["epochs_trained"], strict=True)) - judged
    places = run.trials.set_index("trial_id")[[*KEY, "phase"]]
    epochs = _first_told(run).join(places, on="trial_id").sort_values("seq")
    epochs = epochs[epochs["phase"] == "search"]
    expected: dict[str, int] = {}
    rung = budget["grace_epochs"]
    while rung < budget["epochs"]:
        for _, arrivals in epochs[epochs["epoch"] == rung].groupby(KEY):
            values: list[float] = []
            for trial, value in zip(arrivals["trial_id"], run.sign * arrivals[run.validation], strict=True):
                if not math.isfinite(value) or (trial, rung) in unjudged:
                    continue
                values.append(value)
                if sum(other > value for other in values) >= max(1, len(values) // budget["reduction_factor"]):
                    expected[trial] = rung
        rung *= budget["reduction_factor"]
    for row in run.trials.to_dict("records"):
        stopped = None if pd.isna(row["stopped_at_rung"]) else int(row["stopped_at_rung"])
        trial, status = row["trial_id"], row["status"]
        if status in ("completed", "stopped") and stopped != expected.get(trial):
            yield f"trials: {trial} stopped at {stopped}, but the rungs say {expected.get(trial)}"
        if (status == "stopped") != (stopped is not None) and status in ("stopped", "completed"):
            yield f"trials: {trial} is {status}, with stopped_at_rung {stopped}"
        if status == "completed" and row["epochs_trained"] != row["epochs_planned"]:
            yield f"trials: {trial} is completed after {row['epochs_trained']} of {row['epochs_planned']} epochs"


def _first_told(run: Run) -> pd.DataFrame:
    """Return epochs as they were when they were judged: where attempts differ, the first one's values and places."""
    told = run.payloads("epoch")
    first = told.drop_duplicates(["trial_id", "epoch"])
    again = first[first["seq"].isin(set(first["seq"]) - set(run.epochs["seq"]))]
    metric = run.validation.removeprefix("metric.")
    earlier = again[["trial_id", "epoch", "seq"]].assign(
        **{run.validation: [row.get(metric) for row in again["metrics"]]}
    )
    both = pd.concat([earlier, run.epochs]) if len(earlier) else run.epochs
    return both.drop_duplicates(["trial_id", "epoch"])


def _confirmed(run: Run) -> Iterator[str]:
    """Choose each replicate's best again and compare it with what was confirmed."""
    configs = _columns(run.trials, "config.")
    for (arm, replicate), members in run.trials.groupby(KEY):
        search = members[(members["phase"] == "search") & (members["status"] == "completed")].sort_values("index")
        confirm = members[(members["phase"] == "confirm") & members["status"].isin(["completed", "diverged"])]
        if search.empty:
            yield from (f"trials: {trial} confirms a search without survivor" for trial in confirm["trial_id"])
            continue
        best = search.to_dict("records")[int(np.argmax(run.sign * search[run.validation].to_numpy()))]
        for row in confirm.to_dict("records"):
            if not all(_same(row[name], best[name]) for name in configs):
                yield f"trials: {row['trial_id']} does not confirm {best['trial_id']}, the best of {arm}/{replicate}"


def _test_scores(run: Run) -> Iterator[str]:
    places = run.trials.set_index("trial_id")[["phase", "epochs_planned"]]
    epochs = run.epochs.join(places, on="trial_id")
    for column in _columns(epochs, "metric.test_"):
        early = (epochs["phase"] == "search") | (epochs["epoch"] < epochs["epochs_planned"])
        for trial in epochs["trial_id"][early & epochs[column].notna()]:
            yield f"epochs: {trial} has {column} where test data must not be looked at"


def _equal(left: pd.Series, right: pd.Series) -> np.ndarray:
    """Compare values by position; nothing equals nothing."""
    return np.asarray((left.to_numpy() == right.to_numpy()) | (left.isna().to_numpy() & right.isna().to_numpy()))


def _columns(table: pd.DataFrame, prefix: str) -> list[str]:
    return [str(name) for name in table.columns if str(name).startswith(prefix)]


def _same(left: Any, right: Any) -> bool:
    absent = [value is None or (isinstance(value, float) and math.isnan(value)) for value in (left, right)]
    return all(absent) if any(absent) else bool(left == right)


def main(run: Annotated[Path, typer.Argument(help="A run directory.")]) -> None:
    """Check plan, ledger, trials and epochs of a run against each other; exit 1 with every disagreement."""
    faults = audit(run)
    for fault in faults:
        typer.echo(fault)
    typer.echo(f"{run}: {f'{len(faults)} disagreements' if faults else 'plan, ledger, trials and epochs agree'}")
    raise typer.Exit(1 if faults else 0)


if __name__ == "__main__":
    typer.run(main)
