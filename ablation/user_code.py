"""Where a study's own code and files are: one answer for driver, probe, workers, ``rerun`` and ``predict``.

A study file's folder comes before every other folder of the user's, as it does for a script, and behind the standard
library: whatever people name their files, ``random`` stays Python's and ``ablation`` ours.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from ablation.faults import FaultsError
from search_spaces.space import Frozen

OUR_ROOT = Path(__file__).resolve().parents[1]
OUR_PACKAGES = ("ablation", "analysis", "search_spaces")

# Study files by the name that spaces use for them; beside sys.modules, where that name may be another's.
_study_modules: dict[str, ModuleType] = {}


class UserCode(Frozen):
    """What every process of a study enters before it imports the trial.

    Attributes:
        folder: the working folder, from which relative paths of a trial start.
        import_path: the user's folders on the import path, in order; without those of the Python installation.
        study_file: the space's file, if it is one.
    """

    folder: str
    import_path: tuple[str, ...]
    study_file: str | None = None

    @classmethod
    def here(cls) -> UserCode:
        """Describe this process, after it has found its space."""
        file = next((module.__file__ for module in reversed(_study_modules.values())), None)
        folders = dict.fromkeys(str(Path(entry or ".").resolve()) for entry in sys.path if _is_users(entry))
        return cls(folder=str(Path.cwd()), import_path=tuple(folders), study_file=file)

    def enter(self) -> None:
        """Make this process find what the described one finds; a folder that this machine lacks is passed over."""
        with suppress(OSError):
            os.chdir(self.folder)
        self.make_importable()

    def make_importable(self) -> None:
        """Let this process import what the described one can, from the folder where it is."""
        put_on_path(self.import_path)
        if self.study_file is not None and not _is_imported(self.study_file):
            import_study_file(Path(self.study_file))


def put_on_path(folders: tuple[str, ...]) -> None:
    """Put folders behind the standard library and before everything else on the import path."""
    others = [entry for entry in sys.path if str(Path(entry or ".").resolve()) not in folders]
    standard = [entry for entry in others if _is_standard(entry)]
    sys.path[:] = [*standard, *folders, *(entry for entry in others if entry not in standard)]


def make_first(folder: Path) -> None:
    """Put a folder before every other of the user's."""
    users = [str(Path(entry or ".").resolve()) for entry in sys.path if _is_users(entry)]
    put_on_path(tuple(dict.fromkeys([str(folder), *users])))


def import_study_file(path: Path) -> ModuleType:
    """Import a space's file with its folder first among the user's; raise FaultsError if that fails.

    It is registered under its own name, so that its neighbours can import it, unless that name is Python's or ours.
    """
    path = path.resolve()
    make_first(path.parent)
    is_free = path.stem not in (*sys.stdlib_module_names, *OUR_PACKAGES)
    name = path.stem if is_free else f"study_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _study_modules.pop(path.stem, None)
    _study_modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del _study_modules[path.stem], sys.modules[name]
        raise FaultsError([f"{path} cannot be imported: {type(error).__name__}: {error}"]) from error
    return module


def source_of(name: str, folders: Sequence[str]) -> Path | None:
    """Return the file that a module would be imported from, found without importing anything; None if there is none."""
    searched, spec = list(folders), None
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:end]), searched)
        if spec is None:
            return None
        searched = list(spec.submodule_search_locations or ())
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve()


def study_module(name: str) -> ModuleType | None:
    """Return the study file that spaces call by this module name, if one was imported."""
    return _study_modules.get(name)


@contextmanager
def left_for_ours() -> Iterator[None]:
    """Be in the folder that holds our packages: where Ray is started, its workers import from first."""
    before = Path.cwd()
    os.chdir(OUR_ROOT)
    try:
        yield
    finally:
        os.chdir(before)


def _is_imported(study_file: str) -> bool:
    return any(module.__file__ == study_file for module in _study_modules.values())


@cache
def _installed_in(scheme_path: str) -> Path:
    return Path(sysconfig.get_path(scheme_path)).resolve()


def _is_standard(entry: str) -> bool:
    """Return whether a folder is the standard library's: lib/python3.x, its zip, lib-dynload."""
    library = _installed_in("stdlib")
    path = Path(entry or ".").resolve()
    is_zip = path.parent == library.parent and path.suffix == ".zip"
    return path == library or is_zip or path == library / "lib-dynload"


def _is_users(entry: str) -> bool:
    """Return whether a folder is neither the standard library's nor where packages are installed."""
    installed = {_installed_in(name) for name in ("purelib", "platlib")}
    path = Path(entry or ".").resolve()
    names = ("site-packages", "dist-packages")
    return not (_is_standard(entry) or path in installed or any(name in path.parts for name in names))
