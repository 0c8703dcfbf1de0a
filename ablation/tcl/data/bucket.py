"""Data in an object store: copied once to each machine, into its cache, and opened there as any folder or file."""

from __future__ import annotations

import fcntl
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyarrow import fs

from ablation.faults import FaultsError
from ablation.store import AT_A_TIME, StorePath, located, name_in
from ablation.tcl.data import cache, partial

Listing = dict[str, StorePath]  # by path below the folder


def copied(address: str) -> Path:
    """Return this machine's copy of a folder or file in a store, which is made if there is none of this content.

    Equal names, sizes and times of change are taken for equal content. Raises FaultsError if there is nothing, or it
    cannot be read or kept.
    """
    source = located(address)
    if not isinstance(source, StorePath):
        return source
    try:
        listing, digest = _listed(source)
        if not listing:
            raise FaultsError([f"data {address!r} holds no files; give the address of a folder or file that is there"])
        target = cache.cache_folder() / f"copy-{digest}"
        target.parent.mkdir(parents=True, exist_ok=True)
        with (target.parent / "copy.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of a machine's workers one copies, and the others wait
            if not target.is_dir():
                with partial.becoming(target) as folder:
                    _copy(listing, folder)
    except OSError as error:
        reported = " ".join(str(error).split())
        raise FaultsError([f"data {address!r} cannot be copied ({reported}); check that it is there"]) from error
    return target / source.name if list(listing) == [source.name] else target


def _listed(source: StorePath) -> tuple[Listing, str]:
    """List what is at an address, and digest names, sizes and times of change."""
    selector = fs.FileSelector(source.as_posix(), recursive=True, allow_not_found=True)
    infos = source.filesystem.get_file_info(selector) or [source.filesystem.get_file_info(source.as_posix())]
    listing, about = {}, []
    for info in sorted(infos, key=lambda info: info.path):
        if info.type == fs.FileType.File:
            path = StorePath(source.address, type(source.path)(info.path))
            name = source.name if path == source else name_in(source, path)
            if ".." in path.path.parts:
                raise FaultsError([f"data {str(path)!r} has '..' in its name; rename it"])
            listing[name] = path
            about.append((name, info.size, info.mtime_ns))
    return listing, hashlib.sha256(repr((str(source), about)).encode()).hexdigest()[:32]


def _copy(listing: Listing, folder: Path) -> None:
    for parent in {(folder / name).parent for name in listing}:
        parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        for _ in threads.map(lambda name: (folder / name).write_bytes(listing[name].read_bytes()), listing):
            pass
