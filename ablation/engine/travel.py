"""The code that a driver was started with, on its way to every node of a cluster: a Ray runtime environment.

This project's packages, the study's file, the trial's module and what they import from the user's folders: source files
only, each known by its digest. On a node they come before what lies there under the driver's paths.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from ablation.code_record import CodeRecord, source_digest
from ablation.engine.node_facts import PACKAGES_OF_WORKERS, Needs
from ablation.user_code import OUR_ROOT, UserCode

CARRIER = "ablation_travelled"  # the package that carries a user's files
MANIFEST = (
    '"""The code of an ablation study, brought here by its driver."""\n\nFOLDERS = {folders!r}\nOUR_ROOT = {root!r}\n'
)


@contextmanager
def travelling(needs: Needs) -> Iterator[dict[str, Any]]:
    """Yield the runtime environment that brings a study's code to every node; its files are there until the end."""
    with tempfile.TemporaryDirectory(prefix="ablation-travel-") as staging:
        carrier = Path(staging) / CARRIER
        pack(needs, carrier)
        yield {"py_modules": [*(str(OUR_ROOT / package) for package in PACKAGES_OF_WORKERS), str(carrier)]}


def pack(needs: Needs, carrier: Path) -> None:
    """Make the package that carries the user's files: a folder for each of those on the import path that has some."""
    code, folders = needs.user_code, dict[str, str]()
    for folder, inside in _files(needs):
        number = folders.setdefault(folder, f"from_{code.import_path.index(folder)}")
        target = carrier / number / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((Path(folder) / inside).read_bytes())
    carrier.mkdir(exist_ok=True)
    (carrier / "__init__.py").write_text(MANIFEST.format(folders=folders, root=str(OUR_ROOT)))


def arrived(code: UserCode) -> UserCode:
    """Return where a driver's code is in this process: where it was brought to, else under the driver's own paths."""
    try:
        carrier: Any = import_module(CARRIER)
    except ImportError:
        return code
    root = Path(carrier.__file__).resolve().parent
    brought = {folder: str(root / number) for folder, number in carrier.FOLDERS.items()}
    first = [brought[folder] for folder in code.import_path if folder in brought]
    ours = [str(OUR_ROOT)] if carrier.OUR_ROOT in code.import_path else []
    study_file = code.study_file
    for folder, place in brought.items():
        if study_file is not None and Path(study_file).is_relative_to(folder):
            here = Path(place) / Path(study_file).relative_to(folder)
            study_file = str(here) if here.is_file() else study_file
    path = tuple(dict.fromkeys((*first, *ours, *code.import_path)))
    return code.model_copy(update={"import_path": path, "study_file": study_file})


def _files(needs: Needs) -> Iterator[tuple[str, str]]:
    """Yield each file that travels: a folder on the import path, and the file's path from there."""
    code = needs.user_code
    named = [needs.run_trial, *([needs.dataset] if needs.dataset else ())]
    named += [f"{Path(code.study_file).stem}:SPACE"] if code.study_file else []
    digests = {name: digest for start in named for name, digest in CodeRecord.of_trial(start, code).files.items()}
    for name, digest in digests.items():
        folder = _folder_of(name, digest, code.import_path)
        is_ours = folder == str(OUR_ROOT) and name.partition("/")[0] in PACKAGES_OF_WORKERS
        if folder is not None and not is_ours:
            yield folder, name


def _folder_of(name: str, digest: str, folders: Sequence[str]) -> str | None:
    """Return the folder in which a file of the code record lies."""
    for folder in folders:
        path = Path(folder) / name
        if path.is_file() and source_digest(path.read_bytes()) == digest:
            return folder
    return None
