"""The rooms keep their doors: who may import whom, and what a report does without."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ABLATION = ROOT / "ablation"
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


# From the ground up: who stands on a floor imports from it and from below, never from above.
FLOORS = (
    "paths store node_cache faults terminal seeds machine git interrupts resources trial reporting spaces "
    "space_file user_code code_record version plan_versions arrays tensor_file torch_state typed_command",
    "ledger",
    "plan study_file study_result run_dir power spread moderation mean_interval variance_components tables failures "
    "checkpoint best_trial reuse exportable trust how_to_load own_runs at_work reruns agreement retry_option",
    "study",
    "engine",
    "planning",
    "console",
    "run status rerun predict best resume export export_formats model_card execution report_process cli",
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms.split()}
MODELS = ("tcl", "sorting")


def room_of(path: Path) -> str:
    """Return the room of a module of ablation: its folder, or itself."""
    return path.relative_to(ABLATION).parts[0].removesuffix(".py")


def arrows_up(path: Path, names: set[str]) -> list[str]:
    """List what a module of ablation imports from a floor above its own."""
    rooms = {name.split(".")[1] for name in names if name.startswith("ablation.")}
    return sorted(room for room in rooms & FLOOR.keys() if FLOOR[room] > FLOOR[room_of(path)])


def test_no_arrow_runs_against_the_floors() -> None:
    modules = [path for path in MODULES if ABLATION in path.parents and room_of(path) not in (*MODELS, "__init__")]
    assert {room_of(path) for path in modules} == set(FLOOR), "give each room its floor"
    for path in modules:
        assert arrows_up(path, imports(path)) == [], path


def test_an_arrow_against_the_floors_is_found() -> None:
    planted = {"ablation.engine.driver", "ablation.engine.driver.sweep", "ablation.ledger.log", "ablation.paths"}
    assert arrows_up(ROOT / "ablation/study/study.py", planted) == ["engine"]
    assert arrows_up(ROOT / "ablation/run.py", planted) == []


def test_ray_is_imported_in_the_engine_only() -> None:
    assert importers("ray")
    assert all(path.startswith("ablation/engine/") for path in importers("ray"))


def test_optuna_is_imported_in_the_searcher_and_for_importance_only() -> None:
    assert importers("optuna")
    allowed = ("ablation/study/searcher.py", "ablation/study/samplers.py", "analysis/importance.py")
    assert all(path.startswith(allowed) for path in importers("optuna"))


def test_spaces_import_nothing_of_the_project_but_spaces() -> None:
    for package in ("ablation", "analysis", "torch", "ray", "optuna"):
        assert not any(path.startswith("search_spaces/") for path in importers(package)), package


def test_analysis_sees_of_ablation_what_a_study_is_and_nothing_of_how_it_runs() -> None:
    unseen = {"study", "engine", "planning", "run", "rerun", "predict", "best_trial", "reuse", "trust", *MODELS}
    for path in (path for path in MODULES if path.is_relative_to(ROOT / "analysis")):
        seen = {name.split(".")[1] for name in imports(path) if name.startswith("ablation.")}
        assert not seen & unseen, path
        assert not any(name.split(".")[0] in ("torch", "ray") for name in imports(path)), path


def test_the_audit_shares_no_code_with_what_wrote_the_run() -> None:
    for path in (ROOT / "analysis/audit").glob("*.py"):
        seen = {name.split(".")[1] for name in imports(path) if name.startswith("ablation.")}
        assert seen <= {"paths", "store", "terminal", "faults"}, path
        assert not any(name.startswith(("search_spaces", "analysis.study", "analysis.load")) for name in imports(path))


def test_nothing_in_ablation_imports_analysis() -> None:
    assert not any(path.startswith("ablation/") for path in importers("analysis"))


def test_nothing_outside_a_model_under_study_imports_it_or_torch_at_the_top() -> None:
    for model in ("tcl", "sorting"):
        assert all(path.startswith(f"ablation/{model}/") for path in importers(f"ablation.{model}"))
    # checkpoint.py names tensors, slots.py asks for GPUs; neither needs torch to be imported. torch_state.py is for
    # those who hand over a torch module; export_formats.py is imported once one is to be written.
    exporting = ("ablation/exportable.py", "ablation/export_formats.py")
    generic = ("ablation/checkpoint.py", "ablation/torch_state.py", "ablation/engine/slots.py", *exporting)
    allowed = ("ablation/tcl/", "ablation/sorting/", *generic)
    assert all(path.startswith(allowed) for path in importers("torch"))


GENERIC = ("ledger", "study", "engine", "planning", "console", "plan.py")


@pytest.mark.parametrize("room", [*(f"ablation/{room}" for room in GENERIC), "analysis"])
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


PACKAGES = [path for path in MODULES if path.name == "__init__.py" and path != ABLATION / "__init__.py"]


@pytest.mark.parametrize("path", PACKAGES, ids=str)
def test_packages_are_empty_but_for_the_public_names_of_ablation(path: Path) -> None:
    assert path.read_text() == ""


@pytest.mark.parametrize("module", ["analysis.report.__main__", "analysis.report.build", "analysis.audit.__main__"])
def test_analysis_leaves_torch_ray_and_optuna_out(module: str) -> None:
    check = f"import sys, {module}; print(sorted({{'torch', 'ray', 'optuna'}} & set(sys.modules)))"
    asked = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "[]"
