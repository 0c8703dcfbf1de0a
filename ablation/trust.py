"""Whose code a run directory may have imported: shipped studies', and that of runs that this user has started here.

A run directory may come from anybody, and what it names would run with all that its reader may do: any other code needs
to be trusted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ablation import own_runs
from ablation.faults import FaultsError
from ablation.paths import RunPaths
from ablation.spaces import find_space, known_spaces
from ablation.store import AnyPath
from ablation.study_file import StudyFile, parse
from ablation.user_code import UserCode, source_of


def allow_code(file: StudyFile, paths: RunPaths, *, trust: bool) -> Path | None:
    """Make the code that a run names importable here, as it was where the run began; shipped studies need nothing.

    ``file`` is the run's study as it stands. Returns the folder in which its code was started, if this machine has it.
    Raises FaultsError if it needs trust and has none, and, trusted or not, if it lies inside the run directory.
    """
    if is_shipped(file):
        return None
    named, code = _named(file), file.user_code
    if not trust and needs_trust(file, paths):
        where = "" if code is None else f" of {code.study_file or code.folder}"
        whose = "and it was not you who started it on this machine"
        raise FaultsError(
            [
                f"{paths.root} names code of its own, {', '.join(named)}{where}, {whose}; "
                "if you trust it, add --trust to run it"
            ]
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


def needs_trust(file: StudyFile, paths: RunPaths) -> bool:
    """Return whether a run's code is neither a shipped study's nor that of a run that this user has started here.

    What is held against the user's own record are the bytes of study.json: whoever can write into the run later, as by
    a ``grown`` event, still names no other code.
    """
    if is_shipped(file):
        return False
    try:
        study = paths.study.read_bytes()
    except OSError:
        return True
    if not own_runs.is_known(study):
        return True
    started = parse(study)
    return (_named(started), started.user_code) != (_named(file), file.user_code)


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
