"""README and docs stay true: the tree, links, commands and options exist, and the examples run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import typer.main

import ablation.predict
import ablation.rerun
import ablation.run as run_module
import analysis.report.__main__
from ablation.planning.request import Request, check_request
from ablation.spaces import find_space
from tests.support.plain_loop import run_study

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", *DOCS)
# What README says is planned must not exist; what it says elsewhere must.
PRESENT, _, PLANNED = README.partition("## Not there yet")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def tree_paths(tree: str) -> list[str]:
    """Read the paths of an indented tree, whose folders end in a slash."""
    folders: list[tuple[int, str]] = []
    paths = []
    for line in filter(str.strip, tree.splitlines()):
        indent, name = len(line) - len(line.lstrip()), line.split()[0]
        while folders and folders[-1][0] >= indent:
            folders.pop()
        path = "".join(folder for _, folder in folders) + name
        paths.append(path)
        if name.endswith("/"):
            folders.append((indent, name))
    return paths


def command_lines(text: str) -> list[list[str]]:
    """Split what is typed in console and shell blocks into words, without comments."""
    typed = "\n".join(blocks(text, "console") + blocks(text, "sh")).replace("\\\n", " ")
    return [shlex.split(line.removeprefix("$ "), comments=True) for line in typed.splitlines()]


def run_arguments(text: str) -> list[list[str]]:
    """Return the arguments of every ablation.run that is typed, also inside a quoted command."""
    found = []
    for words in command_lines(text):
        inner = [part for word in words for part in (shlex.split(word) if " -m " in word else [word])]
        if "ablation.run" in inner:
            found.append(inner[inner.index("ablation.run") + 1 :])
    return found


def run_options() -> set[str]:
    return options_of_command(run_module.main)


def options_of_command(command: Callable[..., object]) -> set[str]:
    app = typer.Typer()
    app.command()(command)
    return options_of(app)


def options_of(app: typer.Typer) -> set[str]:
    parameters = typer.main.get_command(app).params
    return {"--help", *(option for parameter in parameters for option in (*parameter.opts, *parameter.secondary_opts))}


def written_out(page: str) -> str:
    """Return a page with what README says is planned left out."""
    return PRESENT if page == "README.md" else (ROOT / page).read_text()


TREE = tree_paths(blocks(README, "text")[0])


def test_tree_lists_what_exists() -> None:
    assert [path for path in TREE if not (ROOT / path).exists()] == []
    assert [path for path in TREE if path.endswith("/") != (ROOT / path).is_dir()] == []
    assert len(TREE) == len(set(TREE))


def test_tree_lists_every_room_at_the_top() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rooms = {line.split("/")[0] + "/" for line in tracked.splitlines() if "/" in line and not line.startswith(".")}
    assert rooms - set(TREE) == set(), "give these a line in README's tree"


def test_every_line_of_the_tree_has_a_comment() -> None:
    lines = [line for line in blocks(README, "text")[0].splitlines() if line.strip()]
    assert [line for line in lines if len(line.split()) < 2 and line.strip() != "docs/"] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / page).read_text())
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (ROOT / page).parent.joinpath(target).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_modules_that_are_run_exist(page: str) -> None:
    modules = set(re.findall(r"python -m ([\w.]*\w)", written_out(page)))
    assert {module for module in modules if find_spec(module) is None} == set()
    packages = {module for module in modules if getattr(find_spec(module), "submodule_search_locations", None)}
    assert {module for module in packages if find_spec(f"{module}.__main__") is None} == set()


@pytest.mark.parametrize("page", ("README.md", "docs/cluster.md"))
def test_options_of_run_exist(page: str) -> None:
    typed = run_arguments(written_out(page))
    assert typed, "no command line found; has the blocks' language changed?"
    used = {word.partition("=")[0] for words in typed for word in words if word.startswith("--")}
    assert used - run_options() == set()


def test_options_in_the_text_exist() -> None:
    prose = re.sub(r"^```.*?^```", "", PRESENT, flags=re.DOTALL | re.MULTILINE)
    known = {
        "analysis.report": options_of(analysis.report.__main__.app),
        "ablation.rerun": options_of_command(ablation.rerun.show),
        "ablation.predict": options_of_command(ablation.predict.predict),
        "ablation.run": run_options(),
    }
    used = [
        (next((command for command in known if command in code), "ablation.run"), option)
        for code in re.findall(r"`([^`]+)`", prose)
        for option in re.findall(r"--[a-z][a-z-]+", code)
    ]
    assert {command for command, _ in used} == set(known)
    assert [(command, option) for command, option in used if option not in known[command]] == []


def test_what_is_planned_is_not_there_yet() -> None:
    named = set(re.findall(r"`(--[a-z-]+)`", PLANNED)) - {"--data"}
    assert named & run_options() == set(), "these options are there now: move them up in README"
    planned = re.findall(r"`python -m (ablation\.(?:export|rerun))`", PLANNED)
    assert [module for module in planned if find_spec(module)] == [], "these are there now: move them up in README"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in ("README.md", "CONTRIBUTING.md"):
        used = set(re.findall(r"(?:`|^\$ )make ([a-z-]+)", (ROOT / page).read_text(), re.MULTILINE))
        assert {"sweep", "test"} <= used <= targets


def test_settings_and_arms_of_the_examples_are_accepted() -> None:
    typed = [words for words in run_arguments(PRESENT) if "--set" in words]
    assert typed
    tcl = find_space("tcl")
    for words in typed:
        options = dict(pairwise(words))
        assert options["--set"].partition("=")[0] in tcl.fixed
        arms = [arm.name for arm in tcl.arms(options["--design"])]  # type: ignore[arg-type]  # any text
        assert any(arm.startswith(options["--arms"].rstrip("*")) for arm in arms)


def test_own_model_and_reading_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = blocks(README, "python")
    model = next(block for block in python if block.startswith('"""my_study.py'))
    reading = next(block for block in python if "trials.parquet" in block)
    (tmp_path / "my_study.py").write_text(model)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_study", raising=False)
    try:
        plan = check_request(Request("my_study.py", budget="quick"), gpus=0).plan
        run_study(plan, tmp_path / "runs" / "NAME")
    finally:
        sys.modules.pop("my_study", None)
    trials = pd.read_parquet(tmp_path / "runs" / "NAME" / "trials.parquet")
    assert set(trials["status"]) <= {"completed", "stopped"}
    mean = trials.groupby("arm")["metric.test_accuracy"].mean()
    assert mean["reference"] > mean["baseline"]
    exec(compile(reading, "README.md", "exec"), {})


def test_pages_name_no_machine() -> None:
    for page in (*PAGES, "cluster.yaml"):
        assert re.findall(r"/(?:root|work|tmp)/|\b\d{12}\b", (ROOT / page).read_text()) == []
