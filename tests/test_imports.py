"""The rooms keep their doors: who may import whom, and what a report does without."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for room in ("search_spaces", "ablation", "analysis") for path in (ROOT / room).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """List what a module imports anywhere, also inside functions, by full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def importers(package: str) -> set[str]:
    """List the modules that import a package, as paths from the root."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in MODULES
        if any(name == package or name.startswith(f"{package}.") for name in imports(path))
    }


def test_ray_is_imported_in_the_engine_only() -> None:
    assert importers("ray")
    assert all(path.startswith("ablation/engine/") for path in importers("ray"))


def test_optuna_is_imported_in_the_engine_and_for_importance_only() -> None:
    assert importers("optuna")
    allowed = ("ablation/engine/", "analysis/importance.py")
    assert all(path.startswith(allowed) for path in importers("optuna"))


def test_spaces_import_nothing_of_the_project_but_spaces() -> None:
    for package in ("ablation", "analysis", "torch", "ray", "optuna"):
        assert not any(path.startswith("search_spaces/") for path in importers(package)), package


def test_analysis_sees_of_ablation_only_ledger_paths_faults_and_console() -> None:
    allowed = {"ablation.ledger", "ablation.paths", "ablation.faults", "ablation.console"}
    for path in (path for path in MODULES if path.is_relative_to(ROOT / "analysis")):
        seen = {".".join(name.split(".")[:2]) for name in imports(path) if name.startswith("ablation.")}
        assert seen <= allowed, path
        assert not any(name.split(".")[0] in ("torch", "ray", "search_spaces") for name in imports(path)), path


def test_nothing_in_ablation_imports_analysis() -> None:
    assert not any(path.startswith("ablation/") for path in importers("analysis"))


def test_nothing_outside_a_model_under_study_imports_it_or_torch_at_the_top() -> None:
    for model in ("tcl", "sorting"):
        assert all(path.startswith(f"ablation/{model}/") for path in importers(f"ablation.{model}"))
    # checkpoint.py names tensors, probe.py asks for GPUs; neither needs torch to be imported.
    allowed = ("ablation/tcl/", "ablation/sorting/", "ablation/checkpoint.py", "ablation/probe.py")
    assert all(path.startswith(allowed) for path in importers("torch"))


@pytest.mark.parametrize("room", ["ablation/engine", "ablation/plan.py", "ablation/ledger.py", "analysis"])
def test_nothing_generic_names_the_model_under_study(room: str) -> None:
    paths = [ROOT / room] if room.endswith(".py") else (ROOT / room).rglob("*.py")
    for path in paths:
        text = path.read_text().lower()
        words = (
            "tcl",
            "triplet",
            "margin_",
            "loss.negatives",
            "loss.margin",
            "centers_",
            "ablation.sorting",
            "model.positions",
        )
        for word in words:
            assert word not in text, f"{path} names {word}"


@pytest.mark.parametrize("path", [path for path in MODULES if path.name == "__init__.py"], ids=str)
def test_packages_are_empty(path: Path) -> None:
    assert path.read_text() == ""


@pytest.mark.parametrize("module", ["analysis.report.__main__", "analysis.report.build", "analysis.audit.__main__"])
def test_analysis_leaves_torch_ray_and_optuna_out(module: str) -> None:
    check = f"import sys, {module}; print(sorted({{'torch', 'ray', 'optuna'}} & set(sys.modules)))"
    asked = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "[]"
