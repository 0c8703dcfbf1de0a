"""Rehearse a study: a confirm trial of two epochs and each arm's first epoch, held to the contract of a trial."""

from __future__ import annotations

import io
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ablation.engine.process_state import ProcessState
from ablation.plan import Plan, PlannedTrial
from ablation.planning.rehearsed_trial import BrokenContractError, records_of
from ablation.planning.sparse_validation import fits_the_last, is_sparse, until_validated, validated_every
from ablation.trial import EpochRecord
from search_spaces.space import Arm

FIRST_EPOCHS_MOST_S = 20.0  # for all arms together: an epoch of a large network may take minutes
CONFIRM_EPOCHS = 2  # the first comes with start-up
ARMS_NAMED = 3
SHOWN_LETTERS = 500

Around = Callable[[str, int], AbstractContextManager[None]]


@dataclass
class Rehearsal:
    """What a rehearsal found.

    Attributes:
        epochs: records of the first arm's confirm trial, as far as it came.
        arms: names of the arms whose first epoch was trained.
        confirm_faults: what went wrong in the confirm trial.
        sparse_faults: what went wrong in a trial up to its first validation, if that is not after the first epoch.
        arm_faults: names of arms by what went wrong in their first epoch.
        broken: those faults that break the contract, so that they are in every such trial; others were raised.
        validated_every: in how many epochs the first arm is validated once.
    """

    epochs: list[EpochRecord] = field(default_factory=list)
    arms: list[str] = field(default_factory=list)
    confirm_faults: list[str] = field(default_factory=list)
    sparse_faults: list[str] = field(default_factory=list)
    arm_faults: dict[str, list[str]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    validated_every: int = 1


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
        found.epochs.extend(records_of(plan, short, first, scratch / "confirm", surroundings))
    state.restore()
    if is_sparse(plan, found.epochs):
        _rehearse_sparse(found, plan, short, scratch, around, reported, surroundings)
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
        records = records_of(plan, trial, arm, scratch / f"search-{index}", surroundings)
        state.seed(trial.seed)
        with around(f"the first epoch of {arm.name}", 1), _noting(found, faults, reported), closing(records):
            next(records)
        state.restore()
        for fault in faults:
            found.arm_faults.setdefault(fault, []).append(arm.name)
    return found


def _rehearse_sparse(
    found: Rehearsal,
    plan: Plan,
    confirm: PlannedTrial,
    scratch: Path,
    around: Around,
    reported: set[str],
    surroundings: dict[str, Any],
) -> None:
    """Find in which epochs a trial is validated, and whether the last is one; two epochs were too few to say."""
    first, state = plan.arms[0], ProcessState()
    found.confirm_faults.clear()
    found.epochs.clear()
    state.seed(confirm.seed)
    with around(_until_validated(plan), plan.budget.epochs), _noting(found, found.sparse_faults, reported):
        found.epochs.extend(until_validated(plan, first, scratch / "sparse", surroundings))
    state.restore()
    if found.sparse_faults:
        return
    found.validated_every = validated_every(plan, found.epochs)
    state.seed(confirm.seed)
    with around(_confirm_of(plan), found.validated_every + 1), _noting(found, found.confirm_faults, reported):
        fits_the_last(plan, confirm, first, found.validated_every, scratch / "last", surroundings)
    state.restore()


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
    for fault in dict.fromkeys((*found.confirm_faults, *found.sparse_faults, *found.arm_faults)):
        if only_broken and fault not in found.broken:
            continue
        where = [_confirm_of(plan)] if fault in found.confirm_faults else []
        where += [_until_validated(plan)] if fault in found.sparse_faults else []
        names = found.arm_faults.get(fault, [])
        if names:
            more = f" and {len(names) - ARMS_NAMED} more arms" if len(names) > ARMS_NAMED else ""
            is_all = len(names) == len(plan.arms) > 1
            which = f"all {len(names)} arms" if is_all else f"{', '.join(names[:ARMS_NAMED])}{more}"
            where.append(f"the first epoch of {which}, at the defaults")
        lines.append(f"{' and '.join(where)}: {fault}; mend {plan.space.trial} (docs/own_model.md has the contract)")
    return lines


def _until_validated(plan: Plan) -> str:
    return f"a trial of {plan.arms[0].name} up to its first validation"


def _confirm_of(plan: Plan) -> str:
    return f"a confirm trial of {plan.arms[0].name}"


@contextmanager
def _noting(found: Rehearsal, faults: list[str], reported: set[str]) -> Iterator[None]:
    """Take what a trial raises as a fault; ``reported`` are those whose output has been shown."""
    said = io.StringIO()  # a plan for programs is JSON and nothing else
    try:
        with redirect_stdout(said):
            yield
    except BrokenContractError as error:
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
