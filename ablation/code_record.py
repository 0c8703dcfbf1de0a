"""The code that runs a trial, on record: a digest of each file of the user's project, and the versions beside it.

Bytes decide: a changed comment is a change. But the statement that declares SPACE is left out: what it declares is the
plan's, and compared there. What a trial imports by a computed name, or reads as data, is not seen.
"""

from __future__ import annotations

import ast
import hashlib
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from ablation.user_code import OUR_PACKAGES, UserCode, source_of, study_module
from ablation.version import VERSION
from search_spaces.space import Frozen

PACKAGES = ("torch", "ray", "optuna")
DIGEST_LETTERS = 12


class CodeRecord(Frozen):
    """What a session runs.

    Attributes:
        files: SHA-256 of each source file but for its SPACE, by its path from the folder on the import path that
            holds it.
        versions: of Python and of the packages on which results depend, if they are installed.
    """

    files: dict[str, str]
    versions: dict[str, str]

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that stand for all of it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:DIGEST_LETTERS]

    @classmethod
    def of_trial(cls, import_path: str, user_code: UserCode) -> CodeRecord:
        """Record the module of ``package.module:name`` and every module of the user's project that it imports.

        The module has been imported. Of this project's own packages, only a shipped trial's own package counts.
        """
        name = import_path.partition(":")[0]
        found = dict(sorted(_Project(name, user_code.import_path).files()))
        return cls(files=found, versions=dict(_versions()))


def source_digest(source: bytes, tree: ast.Module | None = None) -> str:
    """Return the SHA-256 by which a source file is on record; ``tree`` is what it parses to, if that is known."""
    return hashlib.sha256(_without_space(source, tree or ast.parse(source))).hexdigest()


def changes(before: CodeRecord, now: CodeRecord) -> list[str]:
    """Name each file and version in which two records differ, in words."""
    files = [
        f"{name} {_kind(name, before.files, now.files)}"
        for name in sorted(before.files.keys() | now.files.keys())
        if before.files.get(name) != now.files.get(name)
    ]
    # Before 0.2 this project's version was recorded only if it was installed.
    known = {"ablation": now.versions.get("ablation"), **before.versions}
    versions = [
        f"{name} is {now.versions.get(name, 'missing')}, but was {before.versions.get(name, 'missing')}"
        for name in sorted(known.keys() | now.versions.keys())
        if known.get(name) != now.versions.get(name)
    ]
    return files + versions


def last_recorded(by_sessions: Iterable[Mapping[str, Any] | None]) -> CodeRecord | None:
    """Return the newest record among those of sessions, some of which may have none."""
    recorded = [record for record in by_sessions if record is not None]
    return CodeRecord.model_validate(recorded[-1]) if recorded else None


def _kind(name: str, before: Mapping[str, str], now: Mapping[str, str]) -> str:
    return "was added" if name not in before else "is no longer imported" if name not in now else "has changed"


def _versions() -> Iterator[tuple[str, str]]:
    yield "python", platform.python_version()
    yield "ablation", VERSION
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue  # a study of another model need not have torch


class _Project:
    """The user's project as a trial's module sees it."""

    def __init__(self, trial_module: str, folders: tuple[str, ...]) -> None:
        self._trial_module = trial_module
        self._folders = [Path(folder) for folder in folders]
        self._files: dict[str, str] = {}
        self._seen: set[str] = set()

    def files(self) -> Iterator[tuple[str, str]]:
        """Follow the imports from the trial's module on."""
        self._follow(self._trial_module)
        yield from self._files.items()

    def _follow(self, name: str) -> None:
        waiting = [name]
        while waiting:
            name = waiting.pop()
            if name in self._seen:
                continue
            self._seen.add(name)
            file = self._file(name)
            if file is None or not self._counts(name):
                continue
            source = file.read_bytes()
            tree = ast.parse(source)
            self._files[self._named(file)] = source_digest(source, tree)
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            waiting += _imported(tree, package)

    def _counts(self, name: str) -> bool:
        """Return whether a module is the user's: not ours, unless it lies in the package of a shipped trial."""
        if name.partition(".")[0] not in OUR_PACKAGES or study_module(name) is not None:
            return True
        package = self._trial_module.rpartition(".")[0]
        return package.count(".") > 0 and f"{name}.".startswith(f"{package}.")

    def _file(self, name: str) -> Path | None:
        """Return a module's source file within the user's folders, imported or not; None if it is not there."""
        module = study_module(name) or sys.modules.get(name)
        found = getattr(module, "__file__", None) or source_of(name, [str(folder) for folder in self._folders])
        if found is None or not str(found).endswith(".py"):
            return None
        path = Path(found).resolve()
        inside = any(path.is_relative_to(folder) for folder in self._folders)
        return path if inside and "site-packages" not in path.parts else None

    def _named(self, file: Path) -> str:
        inside = [folder for folder in self._folders if file.is_relative_to(folder)]
        return file.relative_to(max(inside, key=lambda folder: len(folder.parts))).as_posix()


def _without_space(source: bytes, tree: ast.Module) -> bytes:
    """Return a source without the lines of the statement that declares SPACE, if it is alone on them.

    A study's file may gain a level, by which the study grows, while the code of its trials stays what it was.
    """
    lines = source.splitlines(keepends=True)
    spans = [(node.lineno - 1, node.end_lineno or node.lineno) for node in tree.body]
    for node, (first, end) in zip(tree.body, spans, strict=True):
        is_alone = sum(start < end and first < stop for start, stop in spans) == 1
        if is_alone and _declares_space(node):
            return b"".join((*lines[:first], *lines[end:]))
    return source


def _declares_space(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(target, ast.Name) and target.id == "SPACE" for target in targets)


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Yield the names that a source imports anywhere in it, as modules: packages around them included."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            base = resolve_name(relative, package) if node.level else relative
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))
