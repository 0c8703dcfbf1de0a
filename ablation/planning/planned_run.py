"""A study that can start or go on: checked, with its folder. Ray has not been started by then."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ablation import own_runs, study_file
from ablation.code_record import CodeRecord, changes, last_recorded
from ablation.engine.slots import visible_gpus
from ablation.faults import FaultsError
from ablation.ledger.events import SessionOpened
from ablation.ledger.log import LedgerError, read_events
from ablation.ledger.records import ConflictError, fold
from ablation.ledger.storage import UnwritableError
from ablation.machine import usable_cpus
from ablation.paths import RunPaths
from ablation.plan import Plan
from ablation.planning.growth import changes as changes_asked
from ablation.planning.place import fresh_root, place_faults, take
from ablation.planning.request import CheckedStudy, Request, check_request
from ablation.planning.warm_start import source_faults
from ablation.resources import Resources
from ablation.store import AnyPath, located, make_folder, put_all
from ablation.study_file import DamagedStudyError, StudyFile
from ablation.typed_command import typed_command
from ablation.user_code import UserCode


@dataclass
class PlannedRun:
    """A study that can start now: checked, with its folder, which ``create_run`` moves if nobody named it.

    ``sessions_before`` are those that its ledger had when it was checked: one more, and what was asked for is recorded.
    """

    checked: CheckedStudy
    paths: RunPaths
    resources: Resources
    resume: bool
    is_named: bool
    sessions_before: int = 0


@dataclass(frozen=True)
class ExistingRun:
    """A run that is to go on: as it was started, the plan as it stands, and the code whose results it has, if any."""

    file: StudyFile
    plan: Plan
    code: CodeRecord | None
    sessions: int


def plan_run(
    request: Request,
    name: str | None,
    out: AnyPath,
    resources: Resources,
    resume: bool,
    faults: Iterable[str] = (),
    *,
    accept_changes: bool = False,
) -> PlannedRun:
    """Check everything, the run's name included, before Ray starts; raise FaultsError listing all that is wrong.

    A name that is taken is refused at once, with what is wrong with resources alone: other checks may take long.
    ``accept_changes`` lets a run go on with other code or versions than it last ran with, which is recorded.
    """
    found = list(faults)
    paths = RunPaths(out / name if name is not None else fresh_root(out, request.space))
    found += place_faults(name, out, paths, resume)
    if paths.root.exists() and not resume:
        raise FaultsError(found)  # what else is checked imports the model and opens its data
    existing = existing_run(paths, found) if resume and paths.study.is_file() else None
    asked = request
    if resume:  # the run has its warm start in its own plan, so what it came from need not be there any more
        asked = replace(request, warm_start=None, init_from=None)
        found += ["--init-from is for a new run; leave it out to go on with one"] if request.init_from else []
    if existing is not None and request.trials is None:
        # A study without search stays so; one that searched nothing, as was planned once, keeps what it had, and so
        # does one whose search has grown.
        trials = existing.plan.budget.trials
        if trials == 0 or existing.plan.searched_before or not any(arm.searched for arm in existing.plan.arms):
            asked = replace(asked, trials=trials)
    if existing is not None:
        found += source_faults(existing.plan, request.warm_start)
    checked: CheckedStudy | None = None
    try:
        misfits = executor_faults(resources)
        if misfits:  # and no cluster is asked what it has
            raise FaultsError(misfits)
        gpus = visible_gpus(resources.address)
        if resources.address is None:
            found += too_large(resources, gpus)
        known = (None, None) if existing is None else (existing.plan, existing.file.planned_data)
        checked = check_request(asked, gpus, *known)
    except FaultsError as error:
        found += error.faults
    if checked is not None and existing is not None:
        found += changes_asked(paths.root, existing.file, existing.plan, checked)
        found += [] if accept_changes else code_faults(existing, checked)
    if found or checked is None:
        raise FaultsError(found)
    sessions = 0 if existing is None else existing.sessions
    return PlannedRun(checked, paths, resources, resume, is_named=name is not None, sessions_before=sessions)


def create_run(study: PlannedRun) -> None:
    """Make the run directory with its study.json; a run that nobody named takes the next name that is free.

    Raises FaultsError if another driver has started a run of that name since this one was prepared, UnwritableError
    if nothing can be written.
    """
    checked = study.checked
    try:
        _make_folder(study)
        root = study.paths.root
        described = study_file.describe(
            root.name, checked.plan, checked.budget_name, checked.data, typed_command(), checked.settings, checked.title
        )
        study_file.write(described, study.paths)
        own_runs.note(study.paths.study.read_bytes())
        if checked.plan.init_from is not None:
            start = checked.plan.init_from
            # A study goes on though the run that it was started from is gone.
            put_all({study.paths.initial(start.name): located(start.checkpoint).read_bytes()})
    except OSError as error:
        raise UnwritableError(study.paths.root, f"it cannot be started: {error}") from error


def _make_folder(study: PlannedRun) -> None:
    """Make the run directory; of drivers that chose the same name, one gets it."""
    make_folder(study.paths.root.parent)
    while not take(study.paths.root):
        root = study.paths.root
        if study.is_named:
            raise FaultsError([f"another driver has just started {root}; choose another --name"])
        label, _, counter = root.name.rpartition("-")
        study.paths = RunPaths(root.with_name(f"{label}-{int(counter) + 1}"))


def existing_run(paths: RunPaths, faults: list[str]) -> ExistingRun | None:
    """Read the run that is to go on; if it is damaged, add that to the faults."""
    try:
        file, events = study_file.read(paths), read_events(paths.ledger)
        opened = [event.what for event in events if isinstance(event.what, SessionOpened)]
        # Where nothing but failures came of it, whoever mends the code mixes nothing.
        has_results = any(state.epochs and state.outcome != "failed" for state in fold(events).values())
        code = last_recorded(session.code for session in opened) if has_results else None
        return ExistingRun(file, study_file.plan_now(file, events), code, len(opened))
    except (DamagedStudyError, LedgerError, ConflictError) as error:
        faults.append(str(error))
    except OSError as error:
        faults.append(f"--resume cannot read the run {paths.root} ({error}); make that possible and try again")
    return None


def executor_faults(resources: Resources) -> list[str]:
    """Say what the executor that was asked for cannot do."""
    faults = []
    if resources.address is not None and resources.executor == "in-process":
        faults.append("--executor in-process runs here, but --address names a cluster; drop one of them")
    if resources.max_nodes is not None and resources.address is None:
        faults.append("--max-nodes is for a cluster that grows; give its --address, or leave it out")
    elif resources.max_nodes is not None and resources.gpus_per_trial == "auto":
        faults.append(
            "--gpus-per-trial is auto, but nodes that --max-nodes waits for cannot be asked what they have; give a "
            "number: 0, or such as 0.25"
        )
    return faults


def too_large(resources: Resources, gpus: float) -> list[str]:
    """Say where one trial asks for more than this machine has."""
    asked_gpus = 0 if resources.gpus_per_trial == "auto" else resources.gpus_per_trial
    limits = (
        ("--cpus-per-trial", resources.cpus_per_trial, usable_cpus().count, "CPUs"),
        ("--gpus-per-trial", asked_gpus, gpus, "GPUs"),
    )
    return [
        f"{option} is {asked:g}, but this machine has {there:g} {unit}; ask for less, or give a cluster's --address"
        for option, asked, there, unit in limits
        if asked > there
    ]


def code_faults(existing: ExistingRun, checked: CheckedStudy) -> list[str]:
    """Name what is not the code that the run last ran with."""
    if existing.code is None:
        return []
    now = CodeRecord.of_trial(checked.plan.space.trial, UserCode.here())
    remedy = "restore it, or go on with --accept-changes, which marks the trials that run with it"
    return [f"--resume: {change}; {remedy}" for change in changes(existing.code, now)]
