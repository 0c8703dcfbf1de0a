"""Command and function: plan a study and carry it out."""

from __future__ import annotations

from ablation.interrupts import INTERRUPTED, NOTHING_BEGUN, as_keyboard_interrupts, quit_when_interrupted

if __name__ == "__main__":
    quit_when_interrupted()  # here, since the imports below take seconds

# isort: split
import sys
from collections.abc import Iterable
from functools import partial
from inspect import signature
from types import ModuleType
from typing import Annotated, Any

import typer

from ablation.console.go_on import go_on_after_interrupt
from ablation.console.messages import messages_for
from ablation.console.plan_text import show_plan
from ablation.execution import run_prepared
from ablation.faults import FaultsError
from ablation.planning.allocation import hours_faults
from ablation.planning.options import checked_options
from ablation.planning.planned_run import PlannedRun, plan_run
from ablation.planning.request import Request
from ablation.resources import Resources
from ablation.retry_option import kinds_asked, retry_option, run_command
from ablation.spread import SpreadAsked
from ablation.store import AnyPath, located
from ablation.study_result import StudyResult
from search_spaces.budget import EarlyStopping, Sampler
from search_spaces.space import Design, Space

# The groups in which --help lists them.
asked_option, effort_option, search_option, machine_option, plan_option, run_option = (
    partial(typer.Option, rich_help_panel=title)
    for title in ("What is asked", "Effort", "Search", "Machine", "Plan", "The run")
)


def main(
    space: Annotated[str, asked_option(help="NAME, package.module:SPACE, FILE.py, FILE.yaml or FILE.toml")],
    data: Annotated[
        str | None, asked_option(help="tcl: synthetic, rafdb:DIR, folder:DIR or fer2013:CSV; default: the space's own")
    ] = None,
    name: Annotated[str | None, run_option(help="Name of the run; default: space, date and a counter.")] = None,
    title: Annotated[str | None, run_option(metavar="TEXT", help="Heading of its report; default: its name.")] = None,
    out: Annotated[str, run_option(help="Folder of the runs, or an address such as s3://bucket/runs.")] = "runs",
    design: Annotated[str, asked_option(help="one-at-a-time, factorial or joint")] = "one-at-a-time",
    arms: Annotated[list[str] | None, asked_option(metavar="GLOB", help="Only these arms; repeatable.")] = None,
    metric: Annotated[str | None, asked_option(help="Primary metric; default: the space's first.")] = None,
    budget: Annotated[str, effort_option(help="auto, quick, standard or full")] = "auto",
    replicates: Annotated[int | None, effort_option(help="Repetitions of search and confirmation, per arm.")] = None,
    trials: Annotated[int | None, effort_option(help="Search trials per arm and replicate.")] = None,
    no_search: Annotated[
        bool, effort_option("--no-search", help="Confirm the defaults: one run per seed and arm, as --trials 0.")
    ] = False,
    seeds: Annotated[int | None, effort_option(help="Confirm runs per replicate.")] = None,
    epochs: Annotated[int | None, effort_option(help="Full training length.")] = None,
    sampler: Annotated[
        str | None,
        search_option(
            help="What proposes hyperparameters: tpe, random, gp, cmaes or grid; default: the budget's, tpe."
        ),
    ] = None,
    early_stopping: Annotated[str | None, search_option(help="asha, or none: every search trial in full.")] = None,
    eta: Annotated[int | None, search_option(help="ASHA: one in so many trials goes on at a rung.")] = None,
    grace: Annotated[int | None, search_option(help="ASHA: epochs before the first rung.")] = None,
    address: Annotated[str | None, machine_option(help="A Ray cluster's address, or auto.")] = None,
    executor: Annotated[
        str, machine_option(help="ray, or in-process: one trial after the other, here, where breakpoints work")
    ] = "ray",
    cpus_per_trial: Annotated[float, machine_option(help="CPUs a trial takes.")] = 1.0,
    gpus_per_trial: Annotated[str, machine_option(help="GPUs a trial takes, a fraction is fine, or auto.")] = "auto",
    max_concurrent: Annotated[int | None, machine_option(help="Trials at a time; default: what fits.")] = None,
    max_nodes: Annotated[
        int | None,
        machine_option(help="Wait for nodes of a cluster that grows, up to so many; default: those there are."),
    ] = None,
    max_hours: Annotated[float | None, machine_option(help="Stop after that long; --resume goes on.")] = None,
    seed: Annotated[int, asked_option(help="The study's seed.")] = 0,
    settings: Annotated[
        list[str] | None, asked_option("--set", metavar="KEY=VALUE", help="Fix a hyperparameter in all arms.")
    ] = None,
    plan: Annotated[bool, plan_option("--plan", help="Print the plan and its cost, and run nothing.")] = False,
    as_json: Annotated[bool, plan_option("--json", help="With --plan: as JSON.")] = False,
    resume: Annotated[bool, run_option("--resume", help="Go on with, or extend, the run of that --name.")] = False,
    retry_failed: Annotated[str | None, retry_option(rich_help_panel="The run")] = None,
    accept_changes: Annotated[
        bool, run_option("--accept-changes", help="With --resume: go on with other code or versions; marked.")
    ] = False,
    warm_start: Annotated[
        str | None, search_option(metavar="RUN", help="Start every search from what that run confirmed.")
    ] = None,
    init_from: Annotated[
        str | None, search_option(metavar="RUN[:ARM]", help="Start all weights at that run's best checkpoint.")
    ] = None,
    equivalence: Annotated[
        float | None,
        asked_option(metavar="D", help="Smallest difference that matters, in the metric's unit: within it is equal."),
    ] = None,
    watchdog_minutes: Annotated[float, machine_option(help="Longest epoch; a trial that takes longer fails.")] = 60.0,
    max_equal_failures: Annotated[
        int, machine_option(help="Pause when so many trials fail alike and none works; 0: never.")
    ] = 5,
    keep: Annotated[
        str | None, run_option(help="Checkpoints that stay: confirmed (the default), best-per-arm, or all.")
    ] = None,
    report: Annotated[bool, run_option("--report/--no-report", help="Write the report at the end.")] = True,
    log_format: Annotated[str, run_option(help="text, or json: one object a line on stderr")] = "text",
    spread: Annotated[
        float | None, plan_option(metavar="SD", help="With --plan: spread of differences between arms, a guess.")
    ] = None,
    spread_from: Annotated[str | None, plan_option(metavar="RUN", help="With --plan: the spread of that run.")] = None,
    hours: Annotated[
        float | None,
        plan_option(metavar="H", help="With --plan: what H hours detect, by replicates, seeds and trials."),
    ] = None,
) -> None:
    """Find out which parts of a model matter: plan → search → confirm → report."""
    asked = {
        "cpus_per_trial": cpus_per_trial, "gpus_per_trial": gpus_per_trial, "max_concurrent": max_concurrent,
        "max_nodes": max_nodes, "address": address, "max_hours": max_hours, "log_format": log_format,
        "watchdog_minutes": watchdog_minutes, "max_equal_failures": max_equal_failures, "executor": executor,
        "keep": keep,
    }  # fmt: skip
    spread_asked = SpreadAsked(spread, spread_from)
    say = messages_for(log_format)
    study: PlannedRun | None = None
    try:
        with as_keyboard_interrupts():
            say.step(f"checking {space}")
            faults: list[str] = []
            request = Request(
                space=space, data=data, design=design, arms=tuple(arms or ()), metric=metric, budget=budget,
                replicates=replicates, trials=0 if no_search else trials, seeds=seeds, epochs=epochs, sampler=sampler,
                early_stopping=early_stopping, eta=eta, grace=grace, seed=seed, settings=tuple(settings or ()),
                warm_start=None if warm_start is None else located(warm_start), init_from=init_from,
                equivalence=equivalence, title=title,
            )  # fmt: skip
            resources = checked_options(Resources, asked, faults)
            faults += spread_asked.faults(is_for_plan=plan)
            faults += hours_faults(hours, is_for_plan=plan)
            faults += ["--no-search and --trials exclude each other; drop one"] if no_search and trials else []
            faults += ["--retry-failed is for --resume; add it"] if retry_failed and not resume else []
            retry = kinds_asked(retry_failed, faults)
            faults += ["--accept-changes is for --resume; add it"] if accept_changes and not resume else []
            study = plan_run(
                request, name, located(out), resources or Resources(), resume, faults, accept_changes=accept_changes
            )
            if plan:
                say.step("trying the arms here")
                show_plan(study.checked, study.resources, as_json, spread_asked.spread(study.checked.plan), hours)
                return
            code = run_prepared(study, report, retry=retry)
    except FaultsError as error:
        say.faults(error.faults)
        raise typer.Exit(2) from error
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED and study is not None and study.paths.study.is_file():
        say.go_on(go_on_after_interrupt(study))
    elif code == INTERRUPTED:
        say.faults([NOTHING_BEGUN])
    raise typer.Exit(code)


def run(
    space: str | Space,
    *,
    data: str | None = None,
    design: Design = "one-at-a-time",
    arms: str | Iterable[str] = (),
    metric: str | None = None,
    budget: str = "auto",
    replicates: int | None = None,
    trials: int | None = None,
    seeds: int | None = None,
    epochs: int | None = None,
    sampler: Sampler | None = None,
    early_stopping: EarlyStopping | None = None,
    eta: int | None = None,
    grace: int | None = None,
    seed: int = 0,
    settings: str | Iterable[str] = (),
    warm_start: AnyPath | str | None = None,
    init_from: str | None = None,
    equivalence: float | None = None,
    name: str | None = None,
    title: str | None = None,
    out: AnyPath | str = "runs",
    resources: Resources | None = None,
    resume: bool = False,
    retry_failed: bool | str = False,
    accept_changes: bool = False,
    report: bool = True,
) -> StudyResult:
    """Run a study from Python, as ``python -m ablation.run`` does, and return its results, which a notebook shows.

    None means: as the space or the budget has it.

    Args:
        space: a Space, or what ``--space`` takes: a name, ``package.module:SPACE``, ``FILE.py``, ``FILE.yaml``
            or ``FILE.toml``.
        data: URI of the data; default: the space's own.
        design: ``one-at-a-time``, ``factorial`` or ``joint``.
        arms: patterns of the arms to run; the reference always runs.
        metric: the primary metric; default: the space's first.
        budget: one of the space's budgets, or ``auto``: ``quick`` without a GPU, ``standard`` with one.
        replicates: repetitions of search and confirmation, per arm.
        trials: search trials per arm and replicate; 0 confirms the defaults without search.
        seeds: confirm runs per replicate.
        epochs: full training length.
        sampler: what proposes hyperparameters: ``tpe``, ``random``, ``gp``, ``cmaes`` or ``grid``.
        early_stopping: ``asha``, or ``none``: every search trial is trained in full.
        eta: of so many trials one goes on at a rung.
        grace: epochs before the first rung.
        seed: the study's seed.
        settings: hyperparameters to fix in all arms, each ``"name=value"``.
        warm_start: an earlier run; every search starts at what it confirmed.
        init_from: an earlier run, or ``RUN:ARM``; all weights start at its best checkpoint.
        equivalence: the smallest difference that matters, in the metric's unit; default: the space's.
        name: name of the run; default: space, date and a counter.
        title: heading of its report; default: its name.
        out: folder of the runs, or an address such as ``s3://bucket/runs``.
        resources: what a trial may take, the limits of the whole, and the executor.
        resume: go on with the run of that name, or extend it.
        retry_failed: with ``resume``, run failed trials again: all, or of one kind, ``lost``, ``memory`` or ``error``.
        accept_changes: with ``resume``, go on with other code or versions.
        report: write the report at the end.

    Raises:
        FaultsError: with all that is wrong, before anything starts.
        RuntimeError: if the sweep did not account for every planned trial.
    """
    request = Request(
        space=space, data=data, design=design, arms=_listed(arms), metric=metric, budget=budget,
        replicates=replicates, trials=trials, seeds=seeds, epochs=epochs, sampler=sampler,
        early_stopping=early_stopping, eta=eta, grace=grace, seed=seed, settings=_listed(settings),
        warm_start=None if warm_start is None else located(warm_start), init_from=init_from,
        equivalence=equivalence, title=title,
    )  # fmt: skip
    faults: list[str] = []
    retry = kinds_asked(retry_failed, faults)
    study = plan_run(
        request, name, located(out), resources or Resources(), resume, faults, accept_changes=accept_changes
    )
    code = run_prepared(study, report, retry=retry)
    if code != 0:
        raise RuntimeError(f"the sweep in {study.paths.root} ended with code {code}; its summary.json says more")
    return StudyResult(study.paths.root)


def _listed(given: str | Iterable[str]) -> tuple[str, ...]:
    """Return one or several texts as several."""
    return (given,) if isinstance(given, str) else tuple(given)


class _CallableModule(ModuleType):
    """This module, which can be called: ``from ablation import run`` finds it under the function's name."""

    def __call__(self, *args: Any, **keywords: Any) -> StudyResult:
        """Call ``run``."""
        return run(*args, **keywords)


if __name__ == "__main__":
    run_command(main)
else:
    sys.modules[__name__].__class__ = _CallableModule
    __signature__ = signature(run)  # what editors and notebooks show of the call
