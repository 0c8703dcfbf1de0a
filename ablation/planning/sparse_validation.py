"""Rehearse a study that is not validated after every epoch: it must be where early stopping decides, and at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ablation.plan import Plan, PlannedTrial
from ablation.planning.rehearsed_trial import BrokenContractError, records_of
from ablation.trial import EpochRecord
from search_spaces.space import Arm


def is_sparse(plan: Plan, epochs: Sequence[EpochRecord]) -> bool:
    """Return whether a trial's first epoch goes without validation, and there are others."""
    return plan.budget.epochs > 1 and bool(epochs) and not _is_validated(plan, epochs[0])


def until_validated(plan: Plan, arm: Arm, folder: Path, surroundings: dict[str, Any]) -> Iterator[EpochRecord]:
    """Yield the records of an arm's first trial up to the first with validation, by the first rung at the latest.

    If the first rung is no multiple of that epoch, they go up to the rung: only a trial that knows the rungs has
    validation there, and the contract asks for it. Later rungs are multiples of the first.
    """
    trial = next(trial for trial in plan.trials() if trial.arm == arm.name)
    rung = plan.rungs[0] if plan.rungs and trial.phase == "search" else 0
    records = records_of(plan, trial.model_copy(update={"trial_id": "probe/sparse"}), arm, folder, surroundings)
    with closing(records):
        for record in records:
            yield record
            if _is_validated(plan, record) and (rung % record.epoch == 0):
                return


def validated_every(plan: Plan, records: Sequence[EpochRecord]) -> int:
    """Return the first epoch with validation; those who validate now and then do so at its multiples."""
    return next(record.epoch for record in records if _is_validated(plan, record))


def fits_the_last(
    plan: Plan, confirm: PlannedTrial, arm: Arm, every: int, folder: Path, surroundings: dict[str, Any]
) -> None:
    """Rehearse a short confirm trial that ends as the planned one does: validated in its turn, or not.

    Raises BrokenContractError, with the lengths that fit, if validation comes ``every`` so many epochs and the last is
    left out.
    """
    last = plan.budget.epochs
    fits = last % every == 0
    short = confirm.model_copy(update={"epochs": every if fits else every + 1})
    try:
        for _ in records_of(plan, short, arm, folder, surroundings):
            pass
    except BrokenContractError as error:
        if fits or not any(metric.validation in str(error) for metric in plan.space.metrics):
            raise
        before = last - last % every
        raise BrokenContractError(
            f"validation comes every {every} epochs, and the last, epoch {last}, has none; validate after epoch "
            f"context.epochs, too, or give --epochs {before} or {before + every}"
        ) from error


def _is_validated(plan: Plan, record: EpochRecord) -> bool:
    return all(metric.validation in record.metrics for metric in (plan.primary, *plan.space.metrics))
