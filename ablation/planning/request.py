"""What was asked for on the command line → a checked plan, or every fault at once. Nothing expensive starts here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from inspect import signature
from typing import Any

from pydantic import BaseModel

from ablation.faults import FaultsError, nearest
from ablation.plan import InitFrom, Plan, WarmStart
from ablation.planning.budget import BUDGET_OPTIONS, asked_budget, fit_to_sampler
from ablation.planning.init_from import init_from
from ablation.planning.settings import read_settings, with_fixed
from ablation.planning.warm_start import keep_warm_start, warm_start_from, with_defaults
from ablation.spaces import find_space
from ablation.store import AnyPath
from ablation.study_file import title_faults
from ablation.trial import RunTrial, build_config, config_type, import_object
from search_spaces.metrics import effect_faults
from search_spaces.points import known_points
from search_spaces.space import DESIGNS, Arm, Budget, Levels, Space


@dataclass(frozen=True)
class Request:
    """A study as asked for; None means: as the space or the budget has it."""

    space: str | Space
    data: str | None = None
    design: str = "one-at-a-time"
    arms: tuple[str, ...] = ()
    metric: str | None = None
    budget: str = "auto"
    replicates: int | None = None
    trials: int | None = None
    seeds: int | None = None
    epochs: int | None = None
    sampler: str | None = None
    early_stopping: str | None = None
    eta: int | None = None
    grace: int | None = None
    seed: int = 0
    settings: tuple[str, ...] = ()
    warm_start: AnyPath | None = None
    init_from: str | None = None
    equivalence: float | None = None
    title: str | None = None


@dataclass(frozen=True)
class CheckedStudy:
    """A study ready to run: the plan, and the data as its dataset function found it."""

    plan: Plan
    budget_name: str
    budget_reason: str
    data: dict[str, Any] | None
    settings: Levels = field(default_factory=dict)  # what --set fixed
    title: str | None = None  # of its report; None: the run's name


def check_request(
    request: Request, gpus: float, existing: Plan | None = None, planned_data: Mapping[str, Any] | None = None
) -> CheckedStudy:
    """Check everything about a request and open its data; raise FaultsError listing all that is wrong.

    ``gpus`` is how many GPUs trials could use: ``--budget auto`` is quick without any, standard with one. ``existing``
    is the plan of the study that is to go on, if one is: it keeps the warm start that it had. ``planned_data`` is that
    study's record of its data, which need not be where it was if this machine has it decoded.
    """
    space = request.space if isinstance(request.space, Space) else find_space(request.space)
    run_trial: RunTrial = import_object(space.trial)
    faults: list[str] = []
    name, reason = request.budget, "as asked for"
    if name == "auto":
        name, reason = ("standard", f"{gpus:g} GPUs seen") if gpus else ("quick", "no GPU seen")
    given = {option: getattr(request, option) for option in BUDGET_OPTIONS}
    budget = asked_budget(given, space, name, faults)
    settings = read_settings(request.settings, space, run_trial, faults)
    metrics = [metric.name for metric in space.metrics]
    metric = request.metric or metrics[0]
    if metric not in metrics:
        faults.append(f"--metric is {metric!r}; {nearest(metric, metrics)}")
    if request.design not in DESIGNS:
        faults.append(f"--design is {request.design!r}; {nearest(request.design, DESIGNS)}")
    elif not space.factors and request.design != DESIGNS[0]:
        faults.append(f"--design is {request.design!r}, but the space has no factors to combine; leave it out")
    if request.seed < 0:
        faults.append(f"--seed is {request.seed}, but must be >= 0")
    faults += title_faults(request.title)
    effective = with_fixed(space, {**budget.fixed, **settings})
    effective = _with_smallest_effect(effective, request.equivalence, metric, faults)
    warm_start = None if existing is None else existing.warm_start
    if existing is not None:
        effective = keep_warm_start(effective, existing)
    elif request.warm_start is not None:
        warm_start = _warm_start(request.warm_start, effective, faults)
        effective = with_defaults(effective, {} if warm_start is None else warm_start.defaults)
    arms = _arms(effective, request, budget, faults)
    budget = _without_search(request, budget, arms, faults)
    budget = fit_to_sampler(budget, request.trials, effective, arms, faults)
    comparisons = effective.declared(arms)
    faults += replicates_faults(budget, comparisons)
    faults += config_faults(effective, arms, run_trial)
    faults += _points_of_factors(effective) if request.design != "joint" else []
    start = None if existing is None else existing.init_from
    if existing is None and request.init_from is not None and not faults:
        start = _init_from(request.init_from, effective, arms, run_trial, faults)
    data = _data(request.data, effective, arms, run_trial, faults, planned_data)
    if faults:
        raise FaultsError(dict.fromkeys(faults))
    plan = Plan(
        space=effective,
        design=request.design,
        metric=metric,
        budget=budget,
        seed=request.seed,
        arms=arms,
        comparisons=comparisons,
        warm_start=warm_start,
        init_from=start,
        searched_before=() if existing is None else existing.searched_before,
    )
    return CheckedStudy(plan, name, reason, data, settings, request.title)


def _with_smallest_effect(space: Space, asked: float | None, metric: str, faults: list[str]) -> Space:
    """Return the space with the difference that --equivalence gives; its own is of its first metric alone."""
    named = {known.name: known for known in space.metrics}
    if asked is not None and metric in named:
        faults += effect_faults("--equivalence", asked, named[metric])
    if asked is None and metric != space.metrics[0].name:
        return space.model_copy(update={"smallest_effect": None})
    return space if asked is None else space.model_copy(update={"smallest_effect": asked})


def _without_search(request: Request, budget: Budget, arms: Sequence[Arm], faults: list[str]) -> Budget:
    """Leave the search out if that is asked for, or if no arm has anything to search."""
    is_idle = request.trials is None and not any(arm.searched for arm in arms)
    if budget.trials and not is_idle:
        return budget
    if request.design == "joint":
        faults.append("--design joint is a search of all factors, and cannot go without one; give another --design")
    return budget.model_copy(update={"trials": 0})


def replicates_faults(budget: Budget, comparisons: Collection[tuple[str, str]]) -> list[str]:
    """Say that there are too few replicates for comparisons, if there are."""
    if not comparisons or budget.replicates > 1:
        return []
    rule = "but differences between arms have a spread from 2 on; give more, or --arms reference to compare nothing"
    return [f"--replicates is {budget.replicates}, {rule}"]


def _warm_start(run: AnyPath, space: Space, faults: list[str]) -> WarmStart | None:
    try:
        return warm_start_from(space, run)
    except FaultsError as error:
        faults += error.faults
        return None


def _init_from(
    asked: str, space: Space, arms: Iterable[Arm], run_trial: RunTrial, faults: list[str]
) -> InitFrom | None:
    try:
        return init_from(asked, space, arms, run_trial)
    except FaultsError as error:
        faults += error.faults
        return None


def _arms(space: Space, request: Request, budget: Budget, faults: list[str]) -> tuple[Arm, ...]:
    """Return the design's arms, or those that --arms or else the budget asks for.

    The reference always stays, to be compared with.
    """
    arms = space.arms(request.design if request.design in DESIGNS else "one-at-a-time")
    asked, whose = request.arms, "--arms"
    if not asked and request.design == "one-at-a-time":
        asked, whose = budget.arms, f"the space {space.name}: in one of its budgets, arms"
    names = [arm.name for arm in arms]
    chosen = {names[0]} if arms[0].name == "reference" else set[str]()
    for pattern in asked:
        chosen |= matching(pattern, names, whose, faults)
    return tuple(arm for arm in arms if arm.name in chosen) if asked else arms


def matching(pattern: str, names: Collection[str], whose: str, faults: list[str]) -> set[str]:
    """Return the names of arms that a pattern means; if there is none, say so, and ``whose`` it is, in ``faults``."""
    # A name stands for itself first: brackets in it would be a set of letters.
    matched = {pattern} if pattern in names else {name for name in names if fnmatchcase(name, pattern)}
    if not matched:
        faults.append(f"{whose} {pattern!r} matches no arm; {nearest(pattern, names)}")
    return matched


def config_faults(space: Space, arms: Iterable[Arm], run_trial: RunTrial) -> list[str]:
    """Build every arm's configuration at the known points and at both ends of all ranges."""
    faults: list[str] = []
    for arm in arms:
        domains = {name: space.domain(name) for name in arm.searched}
        for proposal in (
            *known_points(space, arm),
            {name: domain.ends()[0] for name, domain in domains.items()},
            {name: domain.ends()[-1] for name, domain in domains.items()},
        ):
            try:
                build_config(run_trial, space.configuration(arm, proposal))
            except FaultsError as error:
                faults += error.faults
    return faults


def _points_of_factors(space: Space) -> list[str]:
    """Say which first points set what is no hyperparameter unless the design is joint."""
    return [
        f"first_points[{place}] sets {name}, a factor, whose level is the arm's; leave it out, or give --design joint"
        for place, point in enumerate(space.first_points)
        for name in sorted(point.keys() & space.factors.keys())
    ]


def data_now(plan: Plan, uri: str | None, planned: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Open a planned study's data where it is now; raises FaultsError with all that is wrong with it."""
    faults: list[str] = []
    data = _data(uri, plan.space, plan.arms, import_object(plan.space.trial), faults, planned)
    if faults:
        raise FaultsError(faults)
    return data


def _data(
    uri: str | None,
    space: Space,
    arms: tuple[Arm, ...],
    run_trial: RunTrial,
    faults: list[str],
    planned: Mapping[str, Any] | None,
) -> dict[str, Any] | None:
    if space.dataset is None:
        if uri is not None:
            faults.append(f"--data is {uri!r}, but the study {space.name} takes no data; leave it out")
        return None
    uri = uri or space.default_data
    if uri is None:
        faults.append(f"the study {space.name} needs --data")
        return None
    schema = config_type(run_trial)
    try:
        if faults:
            config: Any = schema() if schema is not None else {}  # the data's own faults are worth telling all the same
        else:
            defaults = {name: space.domain(name).default for name in arms[0].searched}
            config = build_config(run_trial, space.configuration(arms[0], defaults))
        dataset = import_object(space.dataset)
        going_on = {"planned": planned} if "planned" in signature(dataset).parameters else {}
        summary: BaseModel = dataset(uri, config, **going_on)
    except FaultsError as error:
        faults += error.faults
        return None
    except OSError as error:
        faults.append(f"--data {uri!r} cannot be prepared: {error}; make room, or allow reading and writing there")
        return None
    return summary.model_dump(mode="json")
