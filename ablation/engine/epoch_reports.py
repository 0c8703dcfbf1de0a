"""Epoch records as a model under study yields them: checked against the contract, made plain, compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from numbers import Real

from ablation.plan import PlannedTrial
from ablation.trial import EpochRecord

JUDGED = ("train_", "val_", "test_")


def fault_of(record: EpochRecord, planned: PlannedTrial, epochs_known: int, metric: str) -> str | None:
    """Say what in a record breaks the contract of ``ablation.trial``; None if nothing does."""
    return next(_faults(record, planned, epochs_known, metric), None)


def _faults(record: EpochRecord, planned: PlannedTrial, epochs_known: int, metric: str) -> Iterator[str]:
    """Yield what is wrong, in an order such that each rule may rely on those before it."""
    if not isinstance(record, EpochRecord) or not isinstance(record.metrics, Mapping):
        yield f"run_trial must yield EpochRecords with a mapping of metrics, but yielded {record!r}"
        return
    for name in record.metrics:
        if not isinstance(name, str):
            yield f"a metric's name must be text, but is {name!r}"
    values = {**record.metrics, "epoch": record.epoch, "epoch_s": record.epoch_s, "images": record.images}
    for name, value in values.items():
        if not isinstance(value, Real):
            yield f"a record holds numbers, but {name} is {value!r}"
    for name in ("epoch", "epoch_s", "images"):
        if not math.isfinite(values[name]):
            yield f"{name} is {values[name]}, but must be finite"
    if record.epoch < 1 or record.epoch > epochs_known + 1:
        yield f"epoch {record.epoch} was reported after epoch {epochs_known}; epochs must count up by one"
    is_tested = planned.phase == "confirm" and record.epoch == planned.epochs
    wanted = (f"val_{metric}", f"test_{metric}") if is_tested else (f"val_{metric}",)
    missing = [name for name in wanted if name not in record.metrics]
    if missing:
        yield f"the record of epoch {record.epoch} lacks {' and '.join(missing)}"
    early = [name for name in record.metrics if name.startswith("test_")]
    if early and not is_tested:
        yield f"{early[0]} in epoch {record.epoch}: test data are scored at the end of confirm trials only"


def plain(record: EpochRecord) -> EpochRecord:
    """Turn numbers of any library into Python's own, which JSON knows."""
    metrics = {name: float(value) for name, value in record.metrics.items()}
    return EpochRecord(int(record.epoch), float(record.epoch_s), metrics, int(record.images))


def not_finite(metrics: Mapping[str, float]) -> list[str]:
    """Name the metrics by which a trial has diverged."""
    return [name for name, value in metrics.items() if name.startswith(JUDGED) and not math.isfinite(value)]


def are_same(known: Mapping[str, float], repeated: Mapping[str, float]) -> bool:
    """Tell whether metrics are the same to the bit; NaN is the same as NaN."""
    return known.keys() == repeated.keys() and all(
        known[name] == value or (math.isnan(known[name]) and math.isnan(value)) for name, value in repeated.items()
    )
