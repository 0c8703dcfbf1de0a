"""Rehearse a study: a confirm trial of two epochs and each arm's first epoch, held to the contract of a trial."""

from __future__ import annotations

import io
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ablation.engine.process_state import ProcessState
from ablation.plan import Plan, PlannedTrial
from ablation.study.contract import fault_of, plain
from ablation.trial import EpochRecord, build_config, import_object
from search_spaces.metrics import Metric
from search_spaces.space import Arm

FIRST_EPOCHS_MOST_S = 20.0  # for all arms together: an epoch of a large network may take minutes
CONFIRM_EPOCHS = 2  # the first comes with start-up
ARMS_NAMED = 3
SHOWN_LETTERS = 500

Around = Callable[[str, int], AbstractContextManager[None]]


class _BrokenContractError(ValueError):
    """What a sweep would count as the trial's failure."""


@dataclass
class Rehearsal:
    """What a rehearsal found.

    Attributes:
        epochs: records of the first arm's confirm trial, as far as it came.
        arms: names of the arms whose first epoch was trained.
        confirm_faults: what went wrong in the confirm trial.
        arm_faults: names of arms by what went wrong in their first epoch.
        broken: those faults that break the contract, so that they are in every such trial; others were raised.
    """

    epochs: list[EpochRecord] = field(default_factory=list)
    arms: list[str] = field(default_factory=list)
    confirm_faults: list[str] = field(default_factory=list)
    arm_faults: dict[str, list[str]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)


def alone(what: str, epochs: int) -> AbstractContextManager[None]:
    """Put nothing around a trial."""
    return nullcontext()


def rehearse(
    plan: Plan, scratch: Path, around: Around = alone, *, only_confirm: bool = False, **surroundings: Any
) -> Rehearsal:
    """Train a confirm trial and, unless ``only_confirm``, as far as time allows each arm's first epoch at its defaults.

    ``around`` is entered for each trial, with its name in words and its epochs. Trials write below ``scratch``;
    ``surroundings`` are what TrialContext has beside a planned trial's fields. What they print goes to standard error
    if they fail, with the traceback, once for each fault.
    """
    found = Rehearsal()
    first, reported = plan.arms[0], set[str]()
    confirm = next(trial for trial in plan.trials() if trial.phase == "confirm" and trial.arm == first.name)
    short = confirm.model_copy(update={"trial_id": "probe", "epochs": min(CONFIRM_EPOCHS, plan.budget.epochs)})
    state = ProcessState()  # each trial finds the process as a worker's first one does
    state.seed(short.seed)
    with around(_confirm_of(plan), short.epochs), _noting(found, found.confirm_faults, reported):
        found.epochs.extend(_records(plan, short, first, scratch / "confirm", surroundings))
    state.restore()
    if only_confirm:
        return found
    trials = {trial.arm: trial for trial in islice(plan.trials(), len(plan.arms))}
    began = time.monotonic()
    for index, arm in enumerate(by_novelty(plan.arms)):
        spent_s = time.monotonic() - began
        if index and spent_s + spent_s / index > FIRST_EPOCHS_MOST_S:
            break
        found.arms.append(arm.name)
        trial = trials[arm.name].model_copy(update={"trial_id": f"probe/{index}", "phase": "search"})
        faults: list[str] = []
        records = _records(plan, trial, arm, scratch / f"search-{index}", surroundings)
        state.seed(trial.seed)
        with around(f"the first epoch of {arm.name}", 1), _noting(found, faults, reported), closing(records):
            next(records)
        state.restore()
        for fault in faults:
            found.arm_faults.setdefault(fault, []).append(arm.name)
    return found


def confirm_checkpoints(scratch: Path) -> Path:
    """Return where the confirm trial of a rehearsal leaves its checkpoints."""
    return scratch / "confirm" / "checkpoints"


def by_novelty(arms: Sequence[Arm]) -> Iterator[Arm]:
    """Yield at each turn the arm with the most levels that none before it had; last the first, which is confirmed."""
    first, *left = arms
    seen = set(first.levels.items())
    while left:
        arm = max(left, key=lambda arm: len(arm.levels.items() - seen))
        left.remove(arm)
        seen |= arm.levels.items()
        yield arm
    yield first


def faults_in_words(found: Rehearsal, plan: Plan, *, only_broken: bool = False) -> list[str]:
    """Say each fault once, or those that break the contract, with where it was met and what to mend."""
    lines = []
    for fault in dict.fromkeys((*found.confirm_faults, *found.arm_faults)):
        if only_broken and fault not in found.broken:
            continue
        where = [_confirm_of(plan)] if fault in found.confirm_faults else []
        names = found.arm_faults.get(fault, [])
        if names:
            more = f" and {len(names) - ARMS_NAMED} more arms" if len(names) > ARMS_NAMED else ""
            is_all = len(names) == len(plan.arms) > 1
            which = f"all {len(names)} arms" if is_all else f"{', '.join(names[:ARMS_NAMED])}{more}"
            where.append(f"the first epoch of {which}, at the defaults")
        lines.append(f"{' and '.join(where)}: {fault}; mend {plan.space.trial} (docs/own_model.md has the contract)")
    return lines


def _confirm_of(plan: Plan) -> str:
    return f"a confirm trial of {plan.arms[0].name}"


def _records(
    plan: Plan, trial: PlannedTrial, arm: Arm, folder: Path, surroundings: dict[str, Any]
) -> Generator[EpochRecord, None, None]:
    """Yield a trial's records one by one, each held to the contract."""
    for name in ("checkpoints", "artifacts"):
        (folder / name).mkdir(parents=True)
    context = trial.context(folder / "checkpoints", folder / "artifacts", **surroundings)
    run_trial = import_object(plan.space.trial)
    defaults = {name: plan.space.domain(name).default for name in arm.searched}
    records: Any = run_trial(build_config(run_trial, plan.space.configuration(arm, defaults)), context)
    if not isinstance(records, Iterator):
        raise _BrokenContractError(
            f"run_trial must be a generator that yields EpochRecords, but returned a {type(records).__name__}"
        )
    try:
        for known in range(trial.epochs):
            yield plain(_next_record(records, trial, known, (plan.primary, *plan.space.metrics)))
    finally:
        close = getattr(records, "close", None)
        if close is not None:
            close()


def _next_record(
    records: Iterator[EpochRecord], trial: PlannedTrial, known: int, metrics: Iterable[Metric]
) -> EpochRecord:
    """Return the record that follows ``known`` epochs; raises _BrokenContractError if it is not as the contract says.

    A sweep would refuse it for lack of the primary metric; that another one is misspelt would show in the report only.
    """
    try:
        record = next(records)
    except StopIteration:
        planned = f"{trial.epochs} epoch{'s' * (trial.epochs > 1)} (context.epochs)"
        raise _BrokenContractError(f"run_trial ended after {known} of {planned}; yield a record of each") from None
    fault = next(filter(None, (fault_of(record, trial, known, metric) for metric in metrics)), None)
    if fault is None and record.epoch <= known:
        fault = f"epoch {record.epoch} was reported twice; epochs must count up by one"
    if fault is not None:
        raise _BrokenContractError(fault)
    return record


@contextmanager
def _noting(found: Rehearsal, faults: list[str], reported: set[str]) -> Iterator[None]:
    """Take what a trial raises as a fault; ``reported`` are those whose output has been shown."""
    said = io.StringIO()  # a plan for programs is JSON and nothing else
    try:
        with redirect_stdout(said):
            yield
    except _BrokenContractError as error:
        faults.append(str(error))
        found.broken.add(str(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a model under study does
        text = f"{type(error).__name__}: {error}"
        fault = text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}… ({len(text)} letters)"
        faults.append(f"it raised {fault}")
        if fault not in reported:
            reported.add(fault)
            print(said.getvalue(), file=sys.stderr, end="")
            traceback.print_exc()
