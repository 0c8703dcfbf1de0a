"""Find a space by name, import path or file, and say in words what is wrong with it."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

import search_spaces
from ablation.faults import FaultsError, nearest
from ablation.space_file import SUFFIXES, read_space
from ablation.trial import import_object
from ablation.user_code import import_study_file
from search_spaces import space as space_module
from search_spaces.space import Budget, Choice, Comparison, Float, Int, Metric, Space, When

DOMAINS: dict[str, type[BaseModel]] = {"float": Float, "int": Int, "choice": Choice}
# What a space's fields hold, by field.
PARTS: dict[str, type[BaseModel]] = {
    "factors": Choice,
    "conditions": When,
    "comparisons": Comparison,
    "metrics": Metric,
    "budgets": Budget,
}
LEVEL_TYPES = ("bool", "int", "float", "str")
# What spaces are declared with.
LANGUAGE = ("budget", "conditions", "domains", "metrics", "names", "points", "space", "wording")


def known_spaces() -> tuple[str, ...]:
    """List the spaces that ship with the project."""
    modules = (module.name for module in pkgutil.iter_modules(search_spaces.__path__))
    return tuple(name for name in modules if name not in LANGUAGE)


def find_space(given: str) -> Space:
    """Return the space that NAME, package.module:SPACE, FILE.py (its SPACE), FILE.yaml or FILE.toml means.

    Raises FaultsError if there is none, with all that is wrong with one.
    """
    try:
        space = _load(given)
    except ValidationError as error:
        raise FaultsError(_space_faults(given, error)) from error
    except FaultsError as error:
        cause = error.__cause__
        if isinstance(cause, ValidationError) and cause.title in space_module.__all__:  # in the space's own words
            raise FaultsError(_space_faults(given, cause)) from error
        raise
    if not isinstance(space, Space):
        raise FaultsError([f"{given!r} is a {type(space).__name__}, but must be a search_spaces.space.Space"])
    return space


def _space_faults(given: str, error: ValidationError) -> list[str]:
    """Put each fault that pydantic found into a line or more; a level's is one, not one for each type."""
    lines = [f"space {given!r}: {text}" for fault in error.errors() for text in _in_words(fault, error.title)]
    return list(dict.fromkeys(lines))


def _in_words(fault: Any, title: str) -> list[str]:
    """Say where a fault is, what was given and what must be."""
    kind, rule = fault["type"], str(fault["msg"]).removeprefix("Value error, ")
    path = list(fault["loc"])
    if path[0:1] == ["nuisance"]:
        del path[2:3]  # pydantic's name of the variant
    if path and path[-1] in LEVEL_TYPES and len(path) > 1:
        path, kind, rule = path[:-1], "level", "Input should be a number, a text, true or false"
    where = ".".join(map(str, path)) or "it"
    match kind:
        case "extra_forbidden":
            dotted = isinstance(fault["input"], dict) and len(path) > 1
            remedy = "quote a name that has dots; " if dotted else ""
            return [f"{where} is no key; {remedy}{nearest(str(path[-1]), _known(title, fault['loc']))}"]
        case "model_type":
            return [f"{where} is {fault['input']!r}, but must be a mapping; {rule.rpartition(' ')[2]} has its keys"]
        case "missing":
            return [f"{where} is missing; give it"]
        case "union_tag_not_found":
            return [f"{where}.kind is missing; give float, int or choice"]
        case "union_tag_invalid":
            return [f"{where}.kind is {fault['ctx']['tag']!r}; {nearest(fault['ctx']['tag'], DOMAINS)}"]
        case _ if rule.startswith("Input should be "):
            return [f"{where} is {fault['input']!r}, but must be {rule.removeprefix('Input should be ')}"]
    return [f"{where}: {text}" if path else text for text in rule.splitlines()]


def _known(title: str, path: tuple[str | int, ...]) -> Iterable[str]:
    """List the keys that may stand where a fault is: those of the model that was built, or of one inside a space."""
    domain = next((DOMAINS[str(part)] for part in path[2:3] if part in DOMAINS), None)
    model = domain or PARTS.get(str(path[0]) if len(path) > 1 else "", getattr(space_module, title))
    return model.model_fields.keys()


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
    if given.endswith(SUFFIXES):
        return read_space(Path(given))
    if ":" in given:
        return import_object(given)
    others = "package.module:SPACE, FILE.py, FILE.yaml or FILE.toml"
    raise FaultsError([f"unknown space {given!r}; {nearest(given, known_spaces())}; or give {others}"])
