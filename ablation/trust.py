"""Whose code a run directory may have imported: shipped studies' always, a user's own only when it is trusted.

A run directory may come from anybody, and what it names would run with all that its reader may do.
"""

from __future__ import annotations

from pathlib import Path

from ablation.faults import FaultsError
from ablation.paths import RunPaths
from ablation.spaces import find_space, known_spaces
from ablation.study_file import StudyFile


def allow_code(file: StudyFile, paths: RunPaths, *, trust: bool) -> None:
    """Make the code that a run names importable here, as it was where the run began; shipped studies need nothing.

    Raises FaultsError if it is not trusted, and, trusted or not, if it lies inside the run directory.
    """
    named = tuple(name for name in (file.plan.space.trial, file.plan.space.predictor) if name is not None)
    if set(named) <= _shipped():
        return
    if not trust:
        where = "" if file.user_code is None else f" of {file.user_code.study_file or file.user_code.folder}"
        raise FaultsError(
            [f"{paths.root} names code of its own, {', '.join(named)}{where}; if you trust it, add --trust to run it"]
        )
    if file.user_code is None:
        return
    root = paths.root.resolve()
    code = file.user_code
    places = [*code.import_path, code.study_file or code.folder, str(Path.cwd())]
    inside = [place for place in places if Path(place).resolve().is_relative_to(root)]
    if inside:
        raise FaultsError([f"{paths.root} names code inside itself, {inside[0]}, and nothing is imported from a run"])
    code.make_importable()


def _shipped() -> set[str]:
    spaces = [find_space(name) for name in known_spaces()]
    return {name for space in spaces for name in (space.trial, space.predictor) if name is not None}
