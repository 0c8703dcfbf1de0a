"""Whose code a run directory may have imported: shipped studies' always, a user's own only when it is trusted.

A run directory may come from anybody, and what it names would run with all that its reader may do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ablation.faults import FaultsError
from ablation.paths import RunPaths
from ablation.spaces import find_space, known_spaces
from ablation.store import AnyPath
from ablation.study_file import StudyFile
from ablation.user_code import UserCode, source_of


def allow_code(file: StudyFile, paths: RunPaths, *, trust: bool) -> Path | None:
    """Make the code that a run names importable here, as it was where the run began; shipped studies need nothing.

    Returns the folder in which trusted code was started, if this machine has it. Raises FaultsError if code is not
    trusted, and, trusted or not, if it lies inside the run directory.
    """
    if is_shipped(file):
        return None
    named, code = _named(file), file.user_code
    if not trust:
        where = "" if code is None else f" of {code.study_file or code.folder}"
        raise FaultsError(
            [f"{paths.root} names code of its own, {', '.join(named)}{where}; if you trust it, add --trust to run it"]
        )
    root = paths.root.resolve()
    folders = [str(Path(entry or ".").resolve()) for entry in ((*code.import_path, *sys.path) if code else sys.path)]
    inside = [str(location) for location in _locations(named, code, folders) if _is_inside(location, root)]
    if inside:
        raise FaultsError([f"{paths.root} names code inside itself, {inside[0]}, and nothing is imported from a run"])
    if code is None:
        return None
    code.make_importable()
    return Path(code.folder) if Path(code.folder).is_dir() else None


def is_shipped(file: StudyFile) -> bool:
    """Return whether all that a run names is a shipped study's."""
    return set(_named(file)) <= _shipped()


def shipped_predictors() -> set[str]:
    """Return the import paths of the predictors of shipped studies."""
    spaces = [find_space(name) for name in known_spaces()]
    return {space.predictor for space in spaces if space.predictor is not None}


def _is_inside(location: Path, root: AnyPath) -> bool:
    return isinstance(root, Path) and location.is_relative_to(root)  # nothing can be imported from a store


def _named(file: StudyFile) -> tuple[str, ...]:
    space = file.plan.space
    return tuple(name for name in (space.trial, space.predictor, space.dataset) if name is not None)


def _locations(named: Iterable[str], code: UserCode | None, folders: Sequence[str]) -> Iterator[Path]:
    """Yield where a run's code and its neighbours would be imported from, and where it would run."""
    yield Path.cwd()
    if code is not None:
        yield from (
            Path(location).resolve() for location in (*code.import_path, code.study_file or code.folder, code.folder)
        )
    for name in named:
        found = source_of(name.partition(":")[0], folders)
        if found is not None:
            yield found


def _shipped() -> set[str]:
    spaces = [find_space(name) for name in known_spaces()]
    return {name for space in spaces for name in (space.trial, space.predictor, space.dataset) if name is not None}
