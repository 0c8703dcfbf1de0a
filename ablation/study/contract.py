"""Epoch records as a model under study yields them: checked against the contract, made plain, compared."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from numbers import Real

from ablation.ledger.records import TrialState
from ablation.plan import PlannedTrial
from ablation.trial import EpochRecord
from search_spaces.metrics import Metric, is_judged, is_test

SHOWN_LETTERS = 200  # of what a model yields in place of a record


def fault_of(
    record: EpochRecord, planned: PlannedTrial, epochs_known: int, metric: Metric, rungs: Collection[int]
) -> str | None:
    """Say what in a record breaks the contract of ``ablation.trial``, and what to change; None if nothing does.

    ``rungs`` are the plan's: validation is needed there in search trials, and in every last epoch.
    """
    return next(_faults(record, planned, epochs_known, metric, rungs), None)


def _faults(
    record: EpochRecord, planned: PlannedTrial, epochs_known: int, metric: Metric, rungs: Collection[int]
) -> Iterator[str]:
    """Yield what is wrong, in an order such that each rule may rely on those before it."""
    if not isinstance(record, EpochRecord) or not isinstance(record.metrics, Mapping):
        yield f"run_trial must yield EpochRecords with a mapping of metrics, but yielded {_cut(record)}"
        return
    for name in record.metrics:
        if not isinstance(name, str):
            yield f"a metric's name must be text, but is {_cut(name)}"
    values = {**record.metrics, "epoch": record.epoch, "epoch_s": record.epoch_s, "images": record.images}
    for name, value in values.items():
        if not isinstance(value, Real):
            remedy = f"; give float(…) of it, such as {name}.item()" if hasattr(value, "item") else ""
            yield f"a record holds numbers, but {name} is {_cut(value)}{remedy}"
    for name in ("epoch", "epoch_s", "images"):
        if not math.isfinite(values[name]):
            yield f"{name} is {values[name]}, but must be finite"
    if record.epoch < 1 or record.epoch > epochs_known + 1:
        yield (
            f"epoch {record.epoch} was reported after epoch {epochs_known}; epochs must count up by one, from 1 to "
            "context.epochs"
        )
    yield from _name_faults(record, planned, metric, rungs)


def _name_faults(record: EpochRecord, planned: PlannedTrial, metric: Metric, rungs: Collection[int]) -> Iterator[str]:
    is_last = record.epoch == planned.epochs
    is_tested = planned.phase == "confirm" and is_last
    is_decided = planned.phase == "search" and record.epoch in rungs
    wanted = {metric.validation: is_last or is_decided, metric.test: is_tested}
    missing = [name for name, is_wanted in wanted.items() if is_wanted and name not in record.metrics]
    if missing:
        there = ", ".join(map(repr, record.metrics)) or "no metric"
        when = " in the last epoch of a confirm trial" if missing == [metric.test] else ""
        why = f"; {_where_needed(rungs)}" if is_decided and not is_last else ""
        yield (
            f"the record of epoch {record.epoch} lacks {' and '.join(missing)}; its metrics must have "
            f"{'that name' if len(missing) == 1 else 'those names'}{when}, but it has {_cut_text(there)}{why}"
        )
    early = [name for name in record.metrics if is_test(name)]
    if early and not is_tested:
        yield f"{early[0]} in epoch {record.epoch}: test data are scored at the end of confirm trials only"


def _where_needed(rungs: Collection[int]) -> str:
    epochs = ", ".join(map(str, sorted(rungs)))
    return (
        f"early stopping decides after epochs {epochs} (context.checkpoint_epochs): validate there, too, or choose a "
        "budget whose grace_epochs is an epoch in which you do"
    )


def _cut(value: object) -> str:
    return _cut_text(repr(value))


def _cut_text(text: str) -> str:
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}… ({len(text)} letters)"


def refusal_of(
    record: EpochRecord, planned: PlannedTrial, state: TrialState, metric: Metric, rungs: Collection[int]
) -> str | None:
    """Say why a record is refused that a trial yields in ``state``; None if it is taken.

    One of an epoch already known must be the same, unless a newer attempt yields it.
    """
    fault = fault_of(record, planned, len(state.epochs), metric, rungs)
    if fault is not None:
        return fault
    known = state.at(record.epoch)
    if known is None or known.attempt < state.attempts or are_same(known.metrics, plain(record).metrics):
        return None
    return f"epoch {record.epoch} was reported twice, with other metrics"


def plain(record: EpochRecord) -> EpochRecord:
    """Turn numbers of any library into Python's own, which JSON knows."""
    metrics = {name: float(value) for name, value in record.metrics.items()}
    return EpochRecord(int(record.epoch), float(record.epoch_s), metrics, int(record.images))


def not_finite(metrics: Mapping[str, float]) -> list[str]:
    """Name the metrics by which a trial has diverged."""
    return [name for name, value in metrics.items() if is_judged(name) and not math.isfinite(value)]


def are_same(known: Mapping[str, float], repeated: Mapping[str, float]) -> bool:
    """Return whether metrics are the same to the bit; NaN is the same as NaN."""
    return known.keys() == repeated.keys() and all(
        known[name] == value or (math.isnan(known[name]) and math.isnan(value)) for name, value in repeated.items()
    )
