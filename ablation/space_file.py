"""A space as YAML or TOML: the fields of ``Space`` by name, code as ``module:function`` or ``file.py:function``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from ablation.faults import FaultsError
from ablation.user_code import import_study_file, make_first
from search_spaces.space import Space

SUFFIXES = (".yaml", ".yml", ".toml")
CODE = ("dataset", "predictor", "trial")  # fields that name code; the trial's file last, by which workers find it


def read_space(path: Path) -> Space:
    """Read a space's file and import the code that it names by file, which is looked for beside it.

    Raises FaultsError if it cannot be read or its code cannot be imported, pydantic's ValidationError if what it holds
    is no space.
    """
    space = Space.model_validate(_read(path))
    make_first(path.resolve().parent)
    named = {field: _import_path(given, path, field) for field in CODE if (given := getattr(space, field)) is not None}
    return space.model_copy(update=named)


def _read(path: Path) -> Any:
    """Return what a file holds; which names and values it may have is for ``Space`` to say."""
    try:
        text = path.read_text("utf-8")
        return tomllib.loads(text) if path.suffix == ".toml" else yaml.load(text, _Loader)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise FaultsError([f"space file {path} cannot be read: {error}"]) from error


def _import_path(given: str, path: Path, field: str) -> str:
    """Import the file of ``file.py:function`` and return how spaces call it; ``module:function`` stays as it is."""
    file, _, function = given.rpartition(":")
    if not file.endswith(".py"):
        return given
    code = path.parent / file
    if not code.is_file():
        raise FaultsError(
            [f"{field} of {path} is {given!r}, but {code} does not exist; name a file relative to {path}"]
        )
    import_study_file(code)
    return f"{code.stem}:{function}"


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core schema, in which ``no`` is a word and ``1e-4`` a number; PyYAML reads 1.1."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # as its class has it

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping; a key that is there twice would silently replace the first."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for place, key in enumerate(keys) if key in keys[:place]), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"{twice!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)

    def construct_whole_number(self, node: yaml.ScalarNode) -> int:
        """Read decimal, 0o and 0x; 1.1 took 010 for eight."""
        text = str(self.construct_scalar(node))
        return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


for tag, pattern, first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"(?:{pattern})$"), list(first))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_whole_number)
