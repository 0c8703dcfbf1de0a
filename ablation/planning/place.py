"""Where a run is to lie: a name that is free, a folder that can be written into, and taking it for one driver."""

from __future__ import annotations

import errno
import re
import secrets
import shutil
import tempfile
import unicodedata
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from ablation.paths import RunPaths
from ablation.store import AnyPath, StorePath, files_below, put_whole
from search_spaces.space import Space

RUNS_SHOWN = 5
LEAST_FREE_BYTES = 2**20
CLAIM = "starting-"  # in a store, beside nothing else
LONGEST_LABEL = 80
SHOWN_LETTERS = 60


def fresh_root(out: AnyPath, space: str | Space) -> AnyPath:
    """Name a run by space, date and a counter."""
    given = space.name if isinstance(space, Space) else Path(space).stem
    # Letters without their accents, and no others: the name becomes a folder, and --name takes it again.
    plain = unicodedata.normalize("NFKD", given).encode("ascii", "ignore").decode()
    label = re.sub(r"[^A-Za-z0-9]+", "-", plain)[:LONGEST_LABEL].strip("-") or "study"
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    for counter in count(1):
        root = out / f"{label}-{today}-{counter}"
        if not root.exists():
            return root
    raise AssertionError("a counter does not end")


def place_faults(name: str | None, out: AnyPath, paths: RunPaths, resume: bool) -> list[str]:
    """Say where a run cannot lie as asked: its name becomes a folder, which is there already or is not."""
    faults = []
    if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        rule = "must start with a letter or digit and hold only letters, digits, '.', '_', '-', at most 100"
        faults.append(f"--name is {name!r}, but {rule}")
    unusable = folder_faults(out) if isinstance(out, Path) else _store_faults(out)
    if unusable:
        return faults + unusable
    if resume and isinstance(paths.root, Path) and paths.root.is_dir():
        faults += folder_faults(paths.root)
    if resume and not paths.study.is_file():
        looked = f"found no run in {paths.root}" if name is not None else "goes on with a run, but none is named"
        faults.append(f"--resume {looked}; give the --name of one{_runs_in(out)}, or leave --resume out")
    if not resume and paths.root.exists() and not paths.study.exists():
        faults.append(f"{paths.root} exists, but holds no study; delete it, or choose another --name")
    elif not resume and paths.root.exists():
        faults.append(f"the run {paths.root} exists; go on with it by --resume, or choose another --name")
    return faults


def folder_faults(out: Path) -> list[str]:
    """Say what keeps runs from being written into a folder, which need not be there yet."""
    asked, remedy = f"--out is {str(out)!r}, but", "give another folder"
    try:
        there = next(folder for folder in (out, *out.absolute().parents) if folder.exists() or folder.is_symlink())
        if not there.exists():
            return [f"{asked} {there} is a link to {there.readlink()}, which is not there; {remedy}"]
        if not there.is_dir():
            return [f"{asked} {there} is a file; {remedy}"]
        # Permissions, quotas, inodes, file systems that take no files: only trying shows.
        with tempfile.NamedTemporaryFile(dir=there, prefix=".ablation-") as file:
            file.write(bytes(512))
        if shutil.disk_usage(there).free < LEAST_FREE_BYTES:
            return [f"{asked} its disk is full; make room, or {remedy}"]
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return [f"{asked} its disk is full ({error.strerror}); make room, or {remedy}"]
        if error.errno == errno.ENAMETOOLONG:
            return [f"--out is {str(out)[:SHOWN_LETTERS]!r}…, but no folder can have so long a name; {remedy}"]
        return [f"{asked} nothing can be written there ({error.strerror or error}); allow it, or {remedy}"]
    return []


def _store_faults(out: StorePath) -> list[str]:
    """Say what keeps runs from being written into a store; only trying shows."""
    trial = out / f".ablation-{secrets.token_hex(8)}"
    try:
        put_whole(trial, bytes(512))
        trial.unlink()
    except OSError as error:
        why = " ".join(str(error).split())
        return [f"--out is {str(out)!r}, but nothing can be written there ({why}); allow it, or give another address"]
    return []


def _runs_in(out: AnyPath) -> str:
    """Name the newest runs in a folder, for a fault's remedy."""
    if isinstance(out, StorePath):
        return ""  # to list all that lies in a store may take minutes
    newest = sorted(out.glob("*/study.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    names = ", ".join(path.parent.name for path in newest[:RUNS_SHOWN])
    return f" ({out} has {names})" if names else ""


def take(root: AnyPath) -> bool:
    """Take a new folder for this driver; False if another has it."""
    if isinstance(root, Path):
        try:
            root.mkdir()
        except FileExistsError:
            return False
        return True
    # A store makes no folder and refuses no second writer. Of two that ask at once one at least sees the other.
    claim = root / f"{CLAIM}{secrets.token_hex(8)}"
    if files_below(root, deep=True):
        return False
    put_whole(claim, b"")
    is_alone = files_below(root) == [claim]
    claim.unlink()
    return is_alone
