"""One trial of a rehearsal: its records, each held to the contract of ``ablation.trial``."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from ablation.plan import Plan, PlannedTrial
from ablation.study.contract import fault_of, plain
from ablation.trial import EpochRecord, build_config, import_object
from search_spaces.space import Arm


class BrokenContractError(ValueError):
    """What a sweep would count as the trial's failure."""


def records_of(
    plan: Plan, trial: PlannedTrial, arm: Arm, folder: Path, surroundings: dict[str, Any]
) -> Generator[EpochRecord, None, None]:
    """Yield a trial's records one by one, each held to the contract."""
    for name in ("checkpoints", "artifacts"):
        (folder / name).mkdir(parents=True)
    context = trial.context(folder / "checkpoints", folder / "artifacts", checkpoint_epochs=plan.rungs, **surroundings)
    run_trial = import_object(plan.space.trial)
    defaults = {name: plan.space.domain(name).default for name in arm.searched}
    records: Any = run_trial(build_config(run_trial, plan.space.configuration(arm, defaults)), context)
    if not isinstance(records, Iterator):
        raise BrokenContractError(
            f"run_trial must be a generator that yields EpochRecords, but returned a {type(records).__name__}"
        )
    try:
        for known in range(trial.epochs):
            yield plain(_next_record(records, trial, known, plan))
    finally:
        close = getattr(records, "close", None)
        if close is not None:
            close()


def _next_record(records: Iterator[EpochRecord], trial: PlannedTrial, known: int, plan: Plan) -> EpochRecord:
    """Return the record that follows ``known`` epochs; raises BrokenContractError if it is not as the contract says.

    A sweep would refuse it for lack of the primary metric; that another one is misspelt would show in the report only.
    """
    try:
        record = next(records)
    except StopIteration:
        planned = f"{trial.epochs} epoch{'s' * (trial.epochs > 1)} (context.epochs)"
        raise BrokenContractError(f"run_trial ended after {known} of {planned}; yield a record of each") from None
    metrics, rungs = (plan.primary, *plan.space.metrics), plan.rungs if plan.budget.trials else ()
    fault = next(filter(None, (fault_of(record, trial, known, metric, rungs) for metric in metrics)), None)
    if fault is None and record.epoch <= known:
        fault = f"epoch {record.epoch} was reported twice; epochs must count up by one"
    if fault is not None:
        raise BrokenContractError(fault)
    return record
