"""Find a space by name, import path or file."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

import search_spaces
from ablation.faults import FaultsError, nearest
from ablation.trial import import_object
from ablation.user_code import import_study_file
from search_spaces import space as space_module
from search_spaces.space import Space

LANGUAGE = ("conditions", "domains", "metrics", "names", "space", "wording")  # what spaces are declared with


def known_spaces() -> tuple[str, ...]:
    """List the spaces that ship with the project."""
    modules = (module.name for module in pkgutil.iter_modules(search_spaces.__path__))
    return tuple(name for name in modules if name not in LANGUAGE)


def find_space(given: str) -> Space:
    """Return the space that NAME, package.module:SPACE or FILE.py (its SPACE) means; raise FaultsError if none is."""
    try:
        space = _load(given)
    except FaultsError as error:
        cause = error.__cause__
        if isinstance(cause, ValidationError) and cause.title in space_module.__all__:  # in the space's own words
            raise FaultsError(_space_faults(given, cause)) from error
        raise
    if not isinstance(space, Space):
        raise FaultsError([f"{given!r} is a {type(space).__name__}, but must be a search_spaces.space.Space"])
    return space


def _space_faults(given: str, error: ValidationError) -> Iterator[str]:
    for fault in error.errors():
        where = ".".join(map(str, fault["loc"]))
        for text in str(fault["msg"]).removeprefix("Value error, ").splitlines():
            yield f"space {given!r}: {where}{': ' if where else ''}{text}"


def _load(given: str) -> object:
    if given in known_spaces():
        return import_object(f"search_spaces.{given}:SPACE")
    if given.endswith(".py"):
        path = Path(given)
        if not path.is_file():
            raise FaultsError([f"space file {given} does not exist; give a file that defines SPACE"])
        module = import_study_file(path)
        if not hasattr(module, "SPACE"):
            raise FaultsError([f"{given} defines no SPACE; name its space SPACE"])
        return module.SPACE
    if ":" in given:
        return import_object(given)
    raise FaultsError(
        [f"unknown space {given!r}; {nearest(given, known_spaces())}; or give package.module:SPACE or FILE.py"]
    )
