"""`from ablation import …`: the public names, lazily, and `run`, which is a function and a module in one."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import fields
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import pytest

import ablation
import ablation.run as run_module
from ablation.faults import FaultsError
from ablation.planning.request import Request

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "ray", "optuna", "pandas", "pydantic", "numpy", "pyarrow", "scipy", "typer")
IMPORTS = (
    "from ablation import run",
    "from ablation import run; from ablation import run",
    "import ablation.run; from ablation import run",
    "from ablation import run; import ablation.run; from ablation import run",
    "from ablation.run import run",
    "import ablation; run = ablation.run; run = ablation.run",
    "import ablation.run; run = ablation.run",
    "from ablation import *",
)


def printed(code: str) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def test_importing_ablation_loads_no_library() -> None:
    assert printed(f"import sys, ablation; print(sorted(set({HEAVY}) & set(sys.modules)))") == "[]"


def test_declaring_a_space_loads_neither_torch_nor_ray() -> None:
    heavy = HEAVY[:4]
    check = f"import sys; from ablation import Space, TrialContext; print(sorted(set({heavy}) & set(sys.modules)))"
    assert printed(check) == "[]"


def test_every_public_name_is_what_its_module_has() -> None:
    from ablation.reuse import load_best
    from ablation.trial import EpochRecord, TrialContext
    from search_spaces import space

    assert set(ablation.__all__) <= set(dir(ablation))
    assert all(getattr(ablation, name) is not None for name in ablation.__all__)
    assert (ablation.load_best, ablation.EpochRecord, ablation.TrialContext) == (load_best, EpochRecord, TrialContext)
    for name in ("Space", "Float", "Int", "Choice", "When", "Budget", "Metric"):
        assert getattr(ablation, name) is getattr(space, name)


def test_type_checkers_see_the_names_that_run() -> None:
    tree = ast.parse((ROOT / "ablation/__init__.py").read_text())
    seen = {
        (alias.asname, node.module)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == set(ablation._MODULES.items())


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Spaces'; it has .*Space"):
        ablation.Spaces  # type: ignore[attr-defined]  # noqa: B018


def test_run_can_be_called_whatever_was_imported_before() -> None:
    # Each in a namespace and with modules of its own. A name that is no study: a call gets as far as its checks.
    code = f"""
import sys
for imports in {IMPORTS}:
    for name in [name for name in sys.modules if name.partition(".")[0] == "ablation"]:
        del sys.modules[name]
    names = {{}}
    exec(imports, names)
    try:
        names["run"]("no such study")
    except ValueError as error:
        print(type(error).__name__, "no such study" in str(error))
"""
    assert printed(code).splitlines() == ["FaultsError True"] * len(IMPORTS)


def test_the_module_stays_a_module() -> None:
    assert ablation.run is run_module  # type: ignore[comparison-overlap]  # type checkers see the function
    assert run_module.main.__module__ == "ablation.run"


def test_the_command_starts_without_a_warning() -> None:
    command = [sys.executable, "-W", "error", "-m", "ablation.run", "--help"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--space" in ran.stdout
    assert ran.stderr == ""


def test_run_has_the_fields_of_a_request_as_keywords_with_the_same_defaults() -> None:
    parameters = signature(run_module.run).parameters
    asked = {field.name: field.default for field in fields(Request) if field.name != "space"}
    assert asked.items() <= {name: parameter.default for name, parameter in parameters.items()}.items()
    assert all(parameters[name].kind is Parameter.KEYWORD_ONLY for name in asked)
    assert all(f"{name}: " in str(run_module.run.__doc__) for name in parameters)
    assert signature(ablation.run) == signature(run_module.run)


def test_each_keyword_of_run_reaches_its_field(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []

    def refuse(request: Request, *rest: object, **options: object) -> Any:
        asked.append(request)
        raise FaultsError(["enough"])

    monkeypatch.setattr(run_module, "plan_run", refuse)
    # Every field but the space with a value of its own.
    given: dict[str, Any] = {field.name: f"my {field.name}" for field in fields(Request) if field.name != "space"}
    with pytest.raises(FaultsError):
        ablation.run("a space", **given)
    several = {name: (given[name],) for name in ("arms", "settings")}  # one text is not its letters
    assert asked == [Request("a space", **{**given, **several, "warm_start": Path("my warm_start")})]


def test_a_misspelt_keyword_is_refused() -> None:
    with pytest.raises(TypeError, match="replicate"):
        ablation.run("tcl", replicate=3)  # type: ignore[call-arg]
