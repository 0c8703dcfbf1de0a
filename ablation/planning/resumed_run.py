"""A run that goes on by its folder alone: what it was started with is read from the run itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import chdir, nullcontext
from pathlib import Path
from typing import Any

from ablation.engine.connecting import address_faults
from ablation.engine.slots import visible_gpus
from ablation.faults import FaultsError
from ablation.ledger.events import SessionOpened
from ablation.ledger.log import read_events
from ablation.paths import RunPaths, no_run
from ablation.planning.budget import package_faults
from ablation.planning.growth import larger
from ablation.planning.options import checked_options
from ablation.planning.planned_run import ExistingRun, PlannedRun, code_faults, executor_faults, existing_run, too_large
from ablation.planning.request import CheckedStudy, data_now
from ablation.resources import Resources
from ablation.spaces import find_space
from ablation.store import AnyPath
from ablation.trust import allow_code


def plan_resume(
    run: AnyPath,
    *,
    replicates: int | None = None,
    trials: int | None = None,
    space: str | None = None,
    arms: Sequence[str] = (),
    data: str | None = None,
    given: Mapping[str, Any] | None = None,
    faults: Iterable[str] = (),
    accept_changes: bool = False,
    trust: bool = False,
) -> PlannedRun:
    """Check a run that is to go on, and make its code importable; raise FaultsError listing all that is wrong.

    Args:
        run: the run directory.
        replicates: let it grow to so many; default: as many as it has.
        trials: let the search of a study without comparisons grow to so many trials a replicate.
        space: what ``--space`` takes: the run's space as it is now, which may have gained levels.
        arms: patterns of further arms to let it grow by.
        data: where its data is now, if it has moved, from the folder in which this is called.
        given: options of ``Resources`` that replace those of the last session; the address "local" is no cluster, but
            this machine.
        faults: what is wrong already.
        accept_changes: go on with other code or versions than it last ran with, which is recorded.
        trust: import code that the run names, if it is no shipped study.
    """
    found, paths = list(faults), RunPaths(run.resolve())
    if not paths.study.is_file():
        raise FaultsError([*found, no_run(run)])
    if space is not None and Path(space).is_file():
        space = str(Path(space).resolve())  # since the study's own folder is entered below
    existing = existing_run(paths, found)
    if existing is None:
        raise FaultsError(found)
    # What is imported is what the plan names as it stands, and a ``grown`` event may have replaced study.json's.
    standing = existing.file.model_copy(update={"plan": existing.plan})
    called_in = Path.cwd()
    folder = allow_code(standing, paths, trust=trust)
    if folder is not None and existing.file.user_code is not None:
        existing.file.user_code.enter()  # relative paths of its trials start there
    given_space = None if space is None else find_space(space)
    plan = larger(existing.file, existing.plan, replicates, trials, given_space, arms, found)
    resources = checked_options(Resources, _resources(paths, given or {}), found) or Resources()
    found += executor_faults(resources) + package_faults(plan.budget.sampler)
    checked: CheckedStudy | None = None
    try:
        if resources.address is None:
            found += too_large(resources, visible_gpus(None))
        elif not found:
            found += address_faults(resources.address)
        with nullcontext() if data is None else chdir(called_in):
            opened = data_now(plan, data or existing.file.data_uri, existing.file.planned_data)
        checked = CheckedStudy(plan, existing.file.budget_name, "the run's own", opened)
        found += _data_faults(existing, opened) + ([] if accept_changes else code_faults(existing, checked))
    except FaultsError as error:
        found += error.faults
    if found or checked is None:
        raise FaultsError(found)
    return PlannedRun(checked, paths, resources, resume=True, is_named=True, sessions_before=existing.sessions)


def _resources(paths: RunPaths, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the last session but its limit of time, with those in their place that are given."""
    last, given = _last_resources(paths), dict(given)
    if given.get("address") == "local" or (given.get("executor") == "in-process" and "address" not in given):
        given.pop("address", None)
        for of_a_cluster in ("address", "max_nodes"):
            last.pop(of_a_cluster, None)
    return {**last, **given}


def _last_resources(paths: RunPaths) -> dict[str, Any]:
    opened = [event.what.resources for event in read_events(paths.ledger) if isinstance(event.what, SessionOpened)]
    last = opened[-1] if opened else {}
    return {name: value for name, value in last.items() if name in Resources.model_fields and name != "max_hours"}


def _data_faults(existing: ExistingRun, data: Mapping[str, Any] | None) -> list[str]:
    if existing.file.data_fingerprint == (data or {}).get("fingerprint"):
        return []
    return ["the data differ from the run's own, or their content has changed; say where they are with --data"]
