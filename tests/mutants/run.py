"""Introduce the field's bugs, one at a time, and see whether the tests find each.

    python -m tests.mutants.run [--only GLOB] [--jobs N] [--mutations FILE.toml]

Exit codes: 0 every mutation was killed; 1 some survived, or could not be judged; 2 the list is stale or selects
nothing, or the tests fail without any mutation, so that kills would mean nothing.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

import typer

from tests.mutants.experiment import ROOT, Mutation, MutationList, Verdict, fork, judge, preload

LIST = Path(__file__).with_name("mutations.toml")


class Job(NamedTuple):
    """One experiment to be made: a mutation, or None for the code as it is, and the tests to run."""

    mutation: Mutation | None
    tests: tuple[str, ...]


class Running(NamedTuple):
    """An experiment in progress."""

    job: Job
    folder: Path
    began: float


def main(
    only: Annotated[str, typer.Option(help="Mutations whose name matches this pattern.")] = "*",
    jobs: Annotated[int, typer.Option(min=1, help="Experiments at a time.")] = 2,
    mutations: Annotated[Path, typer.Option(help="The list of mutations.")] = LIST,
) -> None:
    """Introduce the field's bugs, one at a time, and see whether the tests find each."""
    listed = MutationList.read(mutations)
    chosen = [mutation for mutation in listed.mutation if fnmatch(mutation.name, only)]
    faults = _stale(chosen) if chosen else [f"no mutation of {mutations} is called {only!r}"]
    if faults:
        _refuse(faults)
    preload(listed.libraries)
    with TemporaryDirectory(prefix="mutants-") as scratch:
        sound = list(_carry_out(_unmutated(chosen), jobs, Path(scratch)))
        if unsound := [(job, verdict) for job, verdict, _ in sound if verdict.outcome != "survived"]:
            _refuse([f"{' '.join(job.tests)} fails without any mutation: {verdict.why}" for job, verdict in unsound])
        killed = 0
        for job, verdict, elapsed_s in _carry_out([Job(each, each.tests) for each in chosen], jobs, Path(scratch)):
            assert job.mutation is not None
            killed += verdict.outcome == "killed"
            typer.echo(_line(job.mutation, verdict, elapsed_s))
    typer.echo(f"{len(chosen)} mutants, {killed} killed")
    raise typer.Exit(0 if killed == len(chosen) else 1)


def _stale(mutations: Sequence[Mutation]) -> list[str]:
    faults = []
    for mutation in mutations:
        try:
            mutation.mutated(ROOT)
        except ValueError as fault:
            faults.append(str(fault))
    return faults


def _refuse(faults: Sequence[str]) -> None:
    for fault in faults:
        typer.echo(fault, err=True)
    raise typer.Exit(2)


def _unmutated(mutations: Sequence[Mutation]) -> list[Job]:
    """Gather all tests that any mutation names, as one job a file."""
    by_file: dict[str, set[str]] = defaultdict(set)
    for test in (test for mutation in mutations for test in mutation.tests):
        by_file[test.partition("::")[0]].add(test)
    return [Job(None, (file,) if file in tests else tuple(sorted(tests))) for file, tests in by_file.items()]


def _carry_out(jobs: Sequence[Job], at_a_time: int, scratch: Path) -> Iterator[tuple[Job, Verdict, float]]:
    """Yield each job's verdict and wall time in seconds, in the order in which they end."""
    waiting, running = deque(jobs), dict[int, Running]()
    while waiting or running:
        while waiting and len(running) < at_a_time:
            job, folder = waiting.popleft(), scratch / f"{len(waiting)}"
            running[fork(folder, job.mutation, job.tests)] = Running(job, folder, time.monotonic())
        process, status = os.wait()
        ended = running.pop(process)
        verdict = judge(ended.folder, os.waitstatus_to_exitcode(status))
        shutil.rmtree(ended.folder)
        yield ended.job, verdict, time.monotonic() - ended.began


def _line(mutation: Mutation, verdict: Verdict, elapsed_s: float) -> str:
    reported = {"killed": "killed", "survived": "SURVIVED", "error": "ERROR"}[verdict.outcome]
    return f"{reported:<8} {elapsed_s:5.1f} s  {mutation.name}: {verdict.why}"


if __name__ == "__main__":
    typer.run(main)
