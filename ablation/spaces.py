"""Find a space by name, import path or file."""

from __future__ import annotations

import importlib.util
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError

import search_spaces
from ablation.faults import FaultsError, nearest
from ablation.trial import load
from search_spaces.space import Space

LANGUAGE = ("domains", "space")  # what spaces are declared with


def known_spaces() -> tuple[str, ...]:
    """List the spaces that ship with the project."""
    modules = (module.name for module in pkgutil.iter_modules(search_spaces.__path__))
    return tuple(name for name in modules if name not in LANGUAGE)


def find_space(given: str) -> Space:
    """Return the space that NAME, package.module:SPACE or FILE.py (its SPACE) means; raise FaultsError if none is."""
    try:
        space = _load(given)
    except ValidationError as error:
        details = [f"space {given!r}: {fault['msg'].removeprefix('Value error, ')}" for fault in error.errors()]
        raise FaultsError(details) from error
    if not isinstance(space, Space):
        raise FaultsError([f"{given!r} is a {type(space).__name__}, but must be a search_spaces.space.Space"])
    return space


def _load(given: str) -> object:
    if given in known_spaces():
        return load(f"search_spaces.{given}:SPACE")
    if given.endswith(".py"):
        path = Path(given)
        if not path.is_file():
            raise FaultsError([f"space file {given} does not exist; give a file that defines SPACE"])
        module = _import_file(path)
        if not hasattr(module, "SPACE"):
            raise FaultsError([f"{given} defines no SPACE; name its space SPACE"])
        return module.SPACE
    if ":" in given:
        return load(given)
    raise FaultsError(
        [f"unknown space {given!r}; {nearest(given, known_spaces())}; or give package.module:SPACE or FILE.py"]
    )


def _import_file(path: Path) -> ModuleType:
    # Beside it lies what it names, such as its trial's module; workers get the same sys.path.
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise FaultsError([f"{path} cannot be imported: {type(error).__name__}: {error}"]) from error
    return module
