"""One experiment: a copy of the project with one line changed, and whether a test of it fails.

An experiment is a forked child of a process that has imported torch, pytest and the rest already (``preload``), which
saves each of them those seconds; the project itself is imported again, from the copy.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, Self

import hypothesis
import pytest
from pydantic import BaseModel, ConfigDict

ROOT = Path(__file__).parent.parent.parent
ROOMS = ("ablation", "search_spaces", "analysis", "tests")
# Far longer than any selection of tests takes: a mutation may have made a loop endless.
LIMIT_S = 600
# What a mutation that cannot run at all raises: that says nothing about the tests.
BROKEN = ("NameError", "UnboundLocalError", "ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError")


class Mutation(BaseModel):
    """A bug of one line.

    Attributes:
        name: the bug in words.
        file: path from the root, with slashes.
        original: text that occurs exactly once in the file.
        replacement: what stands there instead.
        tests: ids of the tests, at least one of which must fail.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    file: str
    original: str
    replacement: str
    tests: tuple[str, ...]

    def mutated(self, root: Path) -> str:
        """Return the file's text with the bug; raises ValueError if the original is not there exactly once."""
        text = (root / self.file).read_text(encoding="utf-8")
        if (count := text.count(self.original)) != 1:
            where = f"{self.file} has it {count} times, but must have it once; bring the mutation up to date"
            raise ValueError(f"the mutation {self.name!r} is stale: of {self.original!r}, {where}")
        return text.replace(self.original, self.replacement)


class MutationList(BaseModel):
    """A file of mutations.

    Attributes:
        libraries: what the tests import that takes long, none of it the project's.
        mutation: the mutations.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    libraries: tuple[str, ...] = ()
    mutation: tuple[Mutation, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a TOML file; raises pydantic's ValidationError naming every entry that is at fault."""
        return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Verdict:
    """What an experiment showed; ``why`` is the test that failed, or what kept the experiment from showing anything."""

    outcome: Literal["killed", "survived", "error"]
    why: str


def preload(libraries: Sequence[str]) -> None:
    """Import what experiments share, and nothing of the project."""
    # Children must not inherit threads; and experiments run side by side.
    os.environ["OMP_NUM_THREADS"] = "1"
    for library in libraries:
        importlib.import_module(library)
    if "torch" in libraries:
        import torch

        # The first comparison and the first optimiser import much more of torch, each time in each child otherwise.
        torch.testing.assert_close(torch.zeros(1), torch.zeros(1))
        torch.optim.SGD([torch.zeros(1)], lr=1.0)
    hypothesis.settings.register_profile(
        "mutants",
        derandomize=True,
        database=None,
        deadline=None,
        # A failure is all that is asked for, not the smallest one.
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        suppress_health_check=(hypothesis.HealthCheck.too_slow,),
    )
    hypothesis.settings.load_profile("mutants")


def fork(folder: Path, mutation: Mutation | None, tests: tuple[str, ...]) -> int:
    """Start an experiment in ``folder``, which must not exist; return its process id. None changes nothing.

    Raises: ValueError for a stale mutation.
    """
    copy = folder / "copy"
    for room in ROOMS:
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    if mutation is not None:
        (copy / mutation.file).write_text(mutation.mutated(copy), encoding="utf-8")
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        _experiment(folder, tests)
    return process


def judge(folder: Path, exit_code: int) -> Verdict:
    """Say what an ended experiment showed; only a test that ran and failed is a kill."""
    first_failure = folder / "failure.txt"
    reported = first_failure.read_text(encoding="utf-8") if first_failure.is_file() else ""
    when, _, rest = reported.partition("\n")
    exception, _, test = rest.partition("\n")
    if exit_code == pytest.ExitCode.OK:
        return Verdict("survived", "no test failed")
    if exit_code == -signal.SIGALRM:
        return Verdict("error", f"the tests did not end within {LIMIT_S} s")
    if exit_code == pytest.ExitCode.TESTS_FAILED and when == "call" and exception not in BROKEN:
        return Verdict("killed", test)
    output = (folder / "output.txt").read_text(encoding="utf-8", errors="replace").splitlines()[-25:]
    where = f"{exception} in {when} of {test}" if reported else "no test ran"
    return Verdict("error", "\n    ".join([f"{where} (pytest's exit code {exit_code})", *output]))


class _FirstFailure:
    """Note the first failure: when it was, which exception, and in which test."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pytest_exception_interact(
        self, node: pytest.Item | pytest.Collector, call: pytest.CallInfo[object], report: object
    ) -> None:
        if not self.path.exists() and call.excinfo is not None:
            reported = (getattr(report, "when", "collection"), call.excinfo.typename, node.nodeid)
            self.path.write_text("\n".join(reported), encoding="utf-8")


def _experiment(folder: Path, tests: tuple[str, ...]) -> NoReturn:
    exit_code = int(pytest.ExitCode.INTERNAL_ERROR)
    try:
        signal.alarm(LIMIT_S)
        output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        _enter(folder / "copy")
        # The project's own options are those of a plugin, and no plugin is loaded here.
        own = ("-o", "addopts=", "-p", "no:cacheprovider", "--no-header", f"--basetemp={folder / 'tmp'}")
        options = ("-x", "-q", *own)
        exit_code = int(pytest.main([*options, *tests], plugins=[_FirstFailure(folder / "failure.txt")]))
        sys.stdout.flush()
    finally:
        # Not sys.exit: what the parent would do at its end is not the child's to do.
        os._exit(exit_code)


def _enter(copy: Path) -> None:
    """Make this process one that was started in the copy."""
    os.chdir(copy)
    sys.path[:] = [str(copy), *(folder for folder in sys.path if folder and Path(folder).resolve() != ROOT)]
    sys.dont_write_bytecode = True
    # Plugins of libraries that are imported already could not be rewritten any more, which pytest takes amiss.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for module in [name for name in sys.modules if name.partition(".")[0] in ROOMS]:
        del sys.modules[module]
    importlib.invalidate_caches()
