"""The list of the field's bugs is up to date, and the command that introduces them says kills from survivors."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.experiment import ROOT, Mutation, MutationList
from tests.mutants.run import LIST

MUTATIONS = MutationList.read(LIST).mutation
every_mutation = pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)


def test_there_are_twenty_or_more_of_different_names_and_none_is_another() -> None:
    assert len(MUTATIONS) >= 20
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)
    changes = Counter((mutation.file, mutation.original, mutation.replacement) for mutation in MUTATIONS)
    assert set(changes.values()) == {1}


@every_mutation
def test_a_mutation_changes_one_line_that_is_there_once_into_code(mutation: Mutation) -> None:
    before, after = (ROOT / mutation.file).read_text(), mutation.mutated(ROOT)
    changed = [new for old, new in zip(before.splitlines(), after.splitlines(), strict=True) if old != new]
    assert len(changed) == 1
    assert ast.dump(ast.parse(before)) != ast.dump(ast.parse(after))


@every_mutation
def test_the_tests_of_a_mutation_exist(mutation: Mutation) -> None:
    assert mutation.tests
    for test in mutation.tests:
        file, _, name = test.partition("::")
        defined = [node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)]
        assert name in defined


def entry(name: str, original: str, replacement: str) -> str:
    test = "tests/study/test_rungs.py::test_one_in_eta_goes_on"
    where = f'file = "ablation/study/rungs.py"\noriginal = """{original}"""\nreplacement = """{replacement}"""'
    return f'[[mutation]]\nname = "{name}"\n{where}\ntests = ["{test}"]\n'


ENTRIES = (
    entry("worse goes on", "other > value", "other < value"),
    entry("other words", "Decide at a rung", "Make up one's mind at a rung"),
    entry("not code that runs", "other > value", "other > vallue"),
)
STALE = entry("outdated", "other >= value", "other < value")


def run(folder: Path, entries: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    path = folder / "mutations.toml"
    path.write_text("".join(entries))
    command = [sys.executable, "-m", "tests.mutants.run", "--mutations", str(path), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_survivors_and_mutations_that_cannot_run_fail_the_command(tmp_path: Path) -> None:
    done = run(tmp_path, ENTRIES)
    assert done.returncode == 1, done.stderr
    reported = {line.split("  ")[-1]: line.split()[0] for line in done.stdout.splitlines() if " s  " in line}
    assert reported == {
        "worse goes on: tests/study/test_rungs.py::test_one_in_eta_goes_on": "killed",
        "other words: no test failed": "SURVIVED",
        "not code that runs: NameError in call of tests/study/test_rungs.py::test_one_in_eta_goes_on "
        "(pytest's exit code 1)": "ERROR",
    }
    assert done.stdout.splitlines()[-1] == "3 mutants, 1 killed"


def test_killing_all_that_were_chosen_is_success(tmp_path: Path) -> None:
    done = run(tmp_path, ENTRIES, "--only", "worse*", "--jobs", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "1 mutants, 1 killed"


def test_a_stale_list_is_refused_before_anything_runs(tmp_path: Path) -> None:
    done = run(tmp_path, (*ENTRIES, STALE))
    assert (done.returncode, done.stdout) == (2, "")
    assert "'outdated' is stale" in done.stderr and "has it 0 times" in done.stderr


def test_tests_that_fail_without_a_mutation_are_an_error_of_their_own(tmp_path: Path) -> None:
    missing = ENTRIES[0].replace("test_one_in_eta_goes_on", "test_that_is_not_there")
    done = run(tmp_path, (missing,))
    assert (done.returncode, done.stdout) == (2, "")
    assert "test_that_is_not_there fails without any mutation" in done.stderr
