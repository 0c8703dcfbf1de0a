"""Command and function: plan a study, run it, account for every trial, and start its report."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from ablation import study_file, tables
from ablation.faults import FaultsError
from ablation.json_lines import print_json_line
from ablation.ledger import LedgerError, OvertakenError, read_events
from ablation.paths import RunPaths
from ablation.plan import Plan
from ablation.plan_text import header_facts, print_accounting, print_header, show_plan
from ablation.power import Spread, stated_spread
from ablation.power import spread_from as spread_from_run
from ablation.probe import visible_gpus
from ablation.records import ConflictError
from ablation.request import Prepared, Request, checked_options, name_faults, prepare
from ablation.resources import Resources
from ablation.storage import UnwritableError
from search_spaces.space import Space

FAILED_SHARE_TOLERATED = 0.1
INTERRUPTED = 130

console = Console(stderr=True, highlight=False, soft_wrap=True)


def main(
    space: Annotated[str, typer.Option(help="NAME, package.module:SPACE or FILE.py")],
    data: Annotated[
        str | None, typer.Option(help="tcl: synthetic, rafdb:DIR, folder:DIR or fer2013:CSV; default: the space's own")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; default: space, date and a counter.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    design: Annotated[str, typer.Option(help="one-at-a-time, factorial or joint")] = "one-at-a-time",
    arms: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only these arms; repeatable.")] = None,
    metric: Annotated[str | None, typer.Option(help="Primary metric; default: the space's first.")] = None,
    budget: Annotated[str, typer.Option(help="auto, quick, standard or full")] = "auto",
    replicates: Annotated[int | None, typer.Option(help="Repetitions of search and confirmation, per arm.")] = None,
    trials: Annotated[int | None, typer.Option(help="Search trials per arm and replicate.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Confirm runs per replicate.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Full training length.")] = None,
    address: Annotated[str | None, typer.Option(help="A Ray cluster's address, or auto.")] = None,
    cpus_per_trial: Annotated[float, typer.Option(help="CPUs a trial takes.")] = 1.0,
    gpus_per_trial: Annotated[str, typer.Option(help="GPUs a trial takes, a fraction is fine, or auto.")] = "auto",
    max_concurrent: Annotated[int | None, typer.Option(help="Trials at a time; default: what fits.")] = None,
    max_hours: Annotated[float | None, typer.Option(help="Stop after that long; --resume goes on.")] = None,
    seed: Annotated[int, typer.Option(help="The study's seed.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Fix a hyperparameter in all arms.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print the plan and its cost, and run nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --plan: as JSON.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with, or extend, the run of that --name.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --resume: run failed trials again.")
    ] = False,
    warm_start: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Start every search from what that run confirmed.")
    ] = None,
    watchdog_minutes: Annotated[float, typer.Option(help="Longest epoch; a trial that takes longer fails.")] = 60.0,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write the report at the end.")] = True,
    log_format: Annotated[str, typer.Option(help="text, or json: one object a line on stderr")] = "text",
    spread: Annotated[
        float | None, typer.Option(metavar="SD", help="With --plan: spread of differences between arms, a guess.")
    ] = None,
    spread_from: Annotated[
        Path | None, typer.Option(metavar="RUN", help="With --plan: the spread of that run.")
    ] = None,
) -> None:
    """Find out which parts of a model matter: plan → search → confirm → report."""
    request = Request(
        space, data, design, tuple(arms or ()), metric, budget, replicates, trials, seeds, epochs, seed,
        tuple(settings or ()), warm_start,
    )  # fmt: skip
    asked = {
        "cpus_per_trial": cpus_per_trial,
        "gpus_per_trial": gpus_per_trial,
        "max_concurrent": max_concurrent,
        "address": address,
        "max_hours": max_hours,
        "log_format": log_format,
        "watchdog_minutes": watchdog_minutes,
    }
    try:
        faults: list[str] = []
        resources = checked_options(Resources, asked, faults)
        faults += _spread_faults(plan, spread, spread_from)
        faults += ["--retry-failed is for --resume; add it"] if retry_failed and not resume else []
        study = prepare_run(request, name, out, resources or Resources(), resume, faults)
        if plan:
            show_plan(study.prepared, study.resources, as_json, _spread(spread, spread_from, study.prepared.plan))
            return
    except FaultsError as error:
        for fault in error.faults:
            if log_format == "json":
                print_json_line("fault", {"fault": fault})
            else:
                console.print(f"[red]error:[/red] {escape(fault)}")
        raise typer.Exit(2) from error
    code = run_prepared(study, report, retry_failed=retry_failed)
    if code == INTERRUPTED:
        command = [argument for argument in sys.argv[1:] if argument not in ("--resume", "--retry-failed")]
        named = [] if name is not None else ["--name", study.paths.root.name]
        go_on = shlex.join([sys.executable, "-m", "ablation.run", *command, *named, "--resume"])
        if log_format == "json":
            print_json_line("go_on", {"command": go_on})
        else:
            console.print(f"go on with: {go_on}")
    raise typer.Exit(code)


def _spread_faults(plan: bool, stated: float | None, run: Path | None) -> list[str]:
    faults = []
    if not plan and (stated is not None or run is not None):
        faults.append("--spread and --spread-from are for --plan; add it, or leave them out")
    if stated is not None and run is not None:
        faults.append("--spread and --spread-from both give a spread; keep one")
    try:
        _spread(stated, None, None)
    except FaultsError as error:
        faults += error.faults
    return faults


def _spread(stated: float | None, run: Path | None, plan: Plan | None) -> Spread | None:
    """Return the spread of differences between arms that --spread or --spread-from gives, if either is there."""
    if run is not None and plan is not None:
        return spread_from_run(run, plan)
    return None if stated is None else stated_spread(stated)


@dataclass(frozen=True)
class PreparedRun:
    """A study that can start now: checked, with its place on disk."""

    prepared: Prepared
    paths: RunPaths
    resources: Resources
    resume: bool


def run(
    space: str | Space,
    *,
    name: str | None = None,
    out: Path | str = "runs",
    resources: Resources | None = None,
    resume: bool = False,
    report: bool = True,
    **asked: Any,
) -> RunPaths:
    """Run a study from Python: what ``python -m ablation.run`` does, with ``Request``'s fields as keywords.

    Raises FaultsError, before anything starts, with all that is wrong; RuntimeError where the sweep did not account
    for every planned trial.
    """
    study = prepare_run(Request(space, **asked), name, Path(out), resources or Resources(), resume)
    code = run_prepared(study, report)
    if code != 0:
        raise RuntimeError(f"the sweep in {study.paths.root} ended with code {code}; its summary.json says more")
    return study.paths


def prepare_run(
    request: Request,
    name: str | None,
    out: Path,
    resources: Resources,
    resume: bool,
    faults: Iterable[str] = (),
) -> PreparedRun:
    """Check everything, the run's name included, before Ray starts; raise FaultsError listing all that is wrong."""
    found = list(faults)
    paths = RunPaths(out / name) if name is not None else _fresh_paths(out, request.space)
    if name is not None:
        found += name_faults(name)
    if re.match(r"[a-z0-9]+:/", str(out)):
        found.append(f"--out is {str(out)!r}, but must be a folder: checkpoints are plain files; mount the store first")
    if resume and not paths.study.is_file():
        found.append(f"--resume found no run in {paths.root}; give the --name of one, or leave --resume out")
    if not resume and paths.root.exists() and not paths.study.exists():
        found.append(f"{paths.root} exists, but holds no study; delete it, or choose another --name")
    elif not resume and paths.root.exists():
        found.append(f"the run {paths.root} exists; go on with it by --resume, or choose another --name")
    prepared: Prepared | None = None
    try:
        gpus = visible_gpus(resources.address)
        if resources.address is None:
            found += _too_large(resources, gpus)
        prepared = prepare(request, gpus)
    except FaultsError as error:
        found += error.faults
    if prepared is not None and resume and paths.study.is_file():
        try:
            file = study_file.read(paths)
            found += _changes(paths.root, file, study_file.plan_now(file, read_events(paths.ledger)), prepared)
        except (study_file.DamagedStudyError, LedgerError) as error:
            found.append(str(error))
    if found or prepared is None:
        raise FaultsError(found)
    return PreparedRun(prepared, paths, resources, resume)


def run_prepared(study: PreparedRun, report: bool = True, *, retry_failed: bool = False) -> int:
    """Sweep, account and report; return the exit code."""
    # Ray starts here and not before: whatever can be wrong with the input has been told.
    from ablation.engine.driver import NoStartError, sweep

    paths, plan, is_json = study.paths, study.prepared.plan, study.resources.log_format == "json"
    if not study.resume:
        described = study_file.describe(
            paths.root.name, plan, study.prepared.budget_name, study.prepared.data, sys.argv
        )
        try:
            paths.root.mkdir(parents=True, exist_ok=False)  # of two drivers that chose the same name, one goes on
            study_file.write(described, paths)
        except OSError as error:
            _tell_halt(UnwritableError(paths.root, f"it cannot be begun: {error}"), paths, is_json)
            return 1
    if is_json:
        print_json_line("study", {**header_facts(study.prepared), "run": str(paths.root), "resume": study.resume})
    else:
        print_header(console, study.prepared)
    try:
        ended = sweep(study_file.read(paths), paths, study.resources, plan, retry_failed=retry_failed)
        summary = tables.materialise(paths)
    except (LedgerError, UnwritableError, ConflictError, NoStartError) as error:
        _tell_halt(error, paths, is_json)
        return 1
    except OSError as error:
        _tell_halt(UnwritableError(paths.root, str(error)), paths, is_json)
        return 1
    # An interrupted driver has little time, and a study that had ended before has its report.
    is_due = report and ended != "interrupted" and not (ended == "nothing left" and paths.page.exists())
    page = write_report(paths, is_json) if is_due else None
    code = _exit_code(ended, summary, is_reported=page is not None or not is_due)
    _tell_end(study, ended, summary, page, code)
    return code


def _tell_halt(error: Exception, paths: RunPaths, is_json: bool) -> None:
    """Say what keeps the sweep from going on; what the ledger holds by then is put into the tables if possible."""
    if is_json:
        print_json_line("halted", {"error": str(error), "run": str(paths.root)})
    else:
        console.print(f"[red]error:[/red] {escape(str(error))}")
    if not isinstance(error, OvertakenError):
        try:
            tables.materialise(paths)
        except (OSError, LedgerError, ConflictError, study_file.DamagedStudyError) as also:
            console.print(f"the tables stay as they were: {escape(str(also))}") if not is_json else None


def _tell_end(study: PreparedRun, ended: str, summary: Mapping[str, int], page: Path | None, code: int) -> None:
    paths = study.paths
    if study.resources.log_format == "json":
        told = {"ended": ended, "exit_code": code, "run": str(paths.root), "report": page and str(page)}
        print_json_line("accounting", {**summary, **told})
        return
    if ended == "nothing left":
        console.print("every trial of this study has ended: nothing to do")
    print_accounting(console, summary)
    console.print(f"results: {paths.root}")
    if page is not None:
        console.print(f"report:  {page}")


def _exit_code(ended: str, summary: Mapping[str, int], is_reported: bool) -> int:
    if ended == "interrupted":
        return INTERRUPTED
    failed = summary["failed"] + summary["diverged"]
    is_accounted = summary["pending"] + summary["interrupted"] == 0
    is_whole = (
        is_accounted and ended in ("finished", "nothing left") and failed <= FAILED_SHARE_TOLERATED * summary["planned"]
    )
    return 0 if is_whole and is_reported else 1


def write_report(paths: RunPaths, is_json: bool = False) -> Path | None:
    """Build the page in a process of its own, which needs nothing of what the sweep has loaded; None if it failed."""
    command = [sys.executable, "-m", "analysis.report", str(paths.root)]
    built = subprocess.run(command, check=False, stderr=subprocess.PIPE if is_json else None, text=True)
    if built.returncode == 0:
        return paths.page
    again = f"python -m analysis.report {shlex.quote(str(paths.root))}"
    if is_json:
        print_json_line("report_failed", {"error": built.stderr, "again": again})
    else:
        console.print(f"[red]the report could not be built[/red]; the results are whole. Try: {again}")
    return None


def _fresh_paths(out: Path, space: str | Space) -> RunPaths:
    """Name a run by space, date and a counter."""
    label = space.name if isinstance(space, Space) else re.sub(r"[^A-Za-z0-9]+", "-", Path(space).stem).strip("-")
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    for counter in count(1):
        root = out / f"{label}-{today}-{counter}"
        if not root.exists():
            return RunPaths(root)
    raise AssertionError("a counter does not end")


def _too_large(resources: Resources, gpus: float) -> list[str]:
    """Say where one trial asks for more than this machine has."""
    asked_gpus = 0 if resources.gpus_per_trial == "auto" else resources.gpus_per_trial
    limits = (
        ("--cpus-per-trial", resources.cpus_per_trial, os.cpu_count() or 1, "CPUs"),
        ("--gpus-per-trial", asked_gpus, gpus, "GPUs"),
    )
    return [
        f"{option} is {asked:g}, but this machine has {there:g} {unit}; ask for less, or give a cluster's --address"
        for option, asked, there, unit in limits
        if asked > there
    ]


def _changes(root: Path, file: study_file.StudyFile, now: Plan, prepared: Prepared) -> list[str]:
    """Say what keeps a run from going on as asked: everything but more replicates and arms, by which a study grows."""
    asked = prepared.plan
    faults = [
        f"--resume: {key} differs from the run's own ({file.name}/study.json)"
        for key in ("space", "design", "metric", "seed")
        if getattr(now, key) != getattr(asked, key)
    ]
    replicates = now.budget.replicates
    if now.budget.model_copy(update={"replicates": asked.budget.replicates}) != asked.budget:
        faults.append(f"--resume: the budget differs from the run's own ({now.budget}) in more than replicates")
    if asked.budget.replicates < replicates:
        faults.append(f"--resume: the run has {replicates} replicates, {asked.budget.replicates} are asked for")
    missing = [arm.name for arm in now.arms if arm not in asked.arms]
    if missing:
        faults.append(f"--resume: the run's arms {', '.join(missing)} are not among those asked for")
    if file.data != prepared.data:
        faults.append("--resume: the data differ from the run's own, or their content has changed")
    remedy = (
        "a study grows by whole replicates and arms; give its other options as they were, or start a new study from "
        f"what this one confirmed: another --name with --warm-start {root}"
    )
    return [f"{fault}; {remedy}" for fault in faults]


if __name__ == "__main__":
    typer.run(main)
