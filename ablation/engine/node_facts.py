"""What a machine says of itself before it gets trials: asked the same way of the driver's, which the others must match.

Nothing is trained, torch is not imported, and the process is left as it was: it may become a worker's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ablation.code_record import CodeRecord
from ablation.faults import FaultsError
from ablation.node_cache import cache_folder
from ablation.paths import RunPaths
from ablation.store import AnyPath, put_whole
from ablation.user_code import UserCode

# What of this project a worker runs, and what a trial's results may depend on beside the code record's packages.
PACKAGES_OF_WORKERS = ("ablation", "search_spaces")
ALSO_VERSIONS = ("numpy",)
DIGEST_LETTERS = 12


@dataclass(frozen=True)
class Needs:
    """What trials need of a machine.

    Attributes:
        run_dir: the run directory, where the driver has left a marker.
        marker: what is in it.
        run_trial: import path of the trial.
        user_code: where its code is.
        dataset: import path of the function that opens the data, if the study has data.
        data: what that function reported when the study was planned.
    """

    run_dir: AnyPath
    marker: str
    run_trial: str
    user_code: UserCode
    dataset: str | None = None
    data: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class NodeFacts:
    """What a machine says of itself.

    Attributes:
        host: its name.
        code: the trial's code, and the versions on which results depend.
        also_versions: of packages that the code record leaves out.
        project: digest of this project's packages.
        marker: what it reads where the driver has left the marker; None if there is nothing.
        unwritable: why it cannot write there, if it was tried and failed.
        data_faults: why it cannot have the data, as far as that can be asked cheaply.
        writes_in: where trials write there: the run, or the machine's cache if the run lies in a store.
        free_bytes: space left in that.
        gpus: how many its drivers show.
        unix_s: its clock.
    """

    host: str
    code: CodeRecord
    also_versions: Mapping[str, str]
    project: str
    marker: str | None
    unwritable: str | None
    data_faults: tuple[str, ...]
    writes_in: str
    free_bytes: int
    gpus: int
    unix_s: float = field(default_factory=time.time)


def look_around(needs: Needs, name: str, count_gpus: Callable[[], int]) -> NodeFacts:
    """Collect this machine's facts; ``name`` is what it calls itself in the run directory."""
    paths = RunPaths(needs.run_dir)
    marker, unwritable = _leave_mark(paths, needs.marker, name)
    writes_in = needs.run_dir if isinstance(needs.run_dir, Path) else cache_folder()
    return NodeFacts(
        host=socket.gethostname(),
        code=CodeRecord.of_trial(needs.run_trial, needs.user_code),
        also_versions={package: _version(package) for package in ALSO_VERSIONS},
        project=project_digest(),
        marker=marker,
        unwritable=unwritable,
        data_faults=() if needs.data is None or needs.dataset is None else _data_faults(needs),
        writes_in=str(writes_in),
        free_bytes=_free_bytes(writes_in) if marker is not None else 0,
        gpus=count_gpus(),
    )


def _leave_mark(paths: RunPaths, marker: str, name: str) -> tuple[str | None, str | None]:
    """Read the driver's marker; if it is there, write it again under an own name, else write nothing anywhere."""
    try:
        found = paths.preflight_marker.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None, None
    try:
        put_whole(paths.preflight / name, marker.encode())
    except OSError as error:
        return found, str(error.strerror or error)
    return found, None


def _free_bytes(folder: Path) -> int:
    there = next(found for found in (folder, *folder.parents) if found.exists())  # a cache need not be made yet
    return shutil.disk_usage(there).free


def project_digest() -> str:
    """Return a digest of this project's packages as this process imports them."""
    digest = hashlib.sha256()
    for package in PACKAGES_OF_WORKERS:
        file = import_module(package).__file__
        assert file is not None, "our packages have files"
        root = Path(file).parent
        for path in sorted(root.rglob("*.py")):
            digest.update(path.relative_to(root.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:DIGEST_LETTERS]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _data_faults(needs: Needs) -> tuple[str, ...]:
    """Ask for the data if that is cheap: by ``look_for_data`` beside the function that opens it, if it is there."""
    assert needs.dataset is not None and needs.data is not None
    with _as_it_was():
        needs.user_code.enter()
        try:
            module = import_module(needs.dataset.partition(":")[0])
            look = getattr(module, "look_for_data", None)
            if look is not None:
                partial(look, str(needs.data["uri"]))(needs.data)
        except FaultsError as error:
            return error.faults
        # A user's module and function: whatever they raise, this machine cannot have the data.
        except Exception as error:
            return (f"{type(error).__name__}: {error}",)
    return ()


@contextmanager
def _as_it_was() -> Iterator[None]:
    folder, path = Path.cwd(), list(sys.path)
    try:
        yield
    finally:
        os.chdir(folder)
        sys.path[:] = path
