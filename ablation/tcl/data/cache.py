"""Decoded pictures on disk: built once per machine, whole or not at all, and mapped by every process after that.

One folder holds one data set at one size, named by content and size. It is built beside its place and renamed into it:
whoever sees the folder sees all of it. Arrays are plain ``.npy``; nothing is unpickled.

Shapes: N pictures, B of a block, H = W = size_px, C = 3 colours.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import shutil
import tempfile
import time
from collections import Counter
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ablation.faults import FaultsError
from ablation.tcl.data.source import Source, SourcePart

# Part of every folder's name: raise it when decoding, resizing or the layout below changes.
CACHE_VERSION = 2
# 1 knew nothing of orientation, ranges and transparency. A planned study whose source is gone goes on with it.
OLDER_VERSIONS = (1,)
LOCK = ".lock"
UNLOCKED_AGE_S = 3600.0


class DecodedPart(NamedTuple):
    """Pictures (uint8, NHWC, memory-mapped), their 0-based labels and their names."""

    images_NHWC: npt.NDArray[np.uint8]
    labels_N: npt.NDArray[np.int64]
    names: tuple[str, ...]


class Decoded(NamedTuple):
    """A data set as the cache holds it."""

    class_names: tuple[str, ...]
    fingerprint: str
    size_px: int
    train: DecodedPart
    test: DecodedPart
    remarks: dict[str, int]


def cache_folder() -> Path:
    """Say where this machine keeps decoded data: ABLATION_CACHE, else ``ablation`` in XDG_CACHE_HOME or ~/.cache."""
    if own := os.environ.get("ABLATION_CACHE"):
        return Path(own).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared).absolute() if shared else Path.home() / ".cache") / "ablation"


def holds(fingerprint: str, size_px: int, *, older: bool = False) -> bool:
    """Say whether the data of this fingerprint is decoded at this size; with ``older``, by older rules will do."""
    return any(place.is_dir() for place in _places(fingerprint, size_px, older))


def load(fingerprint: str, size_px: int) -> Decoded:
    """Map a decoded data set, by older rules if by no others; raise FaultsError where its files are damaged."""
    places = _places(fingerprint, size_px, older=True)
    return _load(next((place for place in places if place.is_dir()), places[0]), fingerprint, size_px)


def sweep_left(folder: Path) -> None:
    """Remove what killed decodes left in a cache folder; a living one holds the lock of its own."""
    for partial in folder.glob(".*.partial"):
        try:
            with (partial / LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(partial, ignore_errors=True)
        except FileNotFoundError:  # it has no lock yet, or is from before there were locks
            with suppress(OSError):
                if time.time() - partial.stat().st_mtime > UNLOCKED_AGE_S:
                    shutil.rmtree(partial, ignore_errors=True)
        except OSError:
            continue  # another process is at work on it, or the folder is another user's


def build(source: Source, size_px: int) -> None:
    """Decode a source into the cache, atomically.

    Another process that builds the same at the same time does no harm: the first to finish wins, and both hold the
    same bytes. Raises FaultsError with the source's faults and those of all its pictures, or where the disk is full or
    read-only; either way nothing half-written stays.
    """
    place = _place(source.fingerprint, size_px)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        sweep_left(place.parent)
        partial = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".partial", dir=place.parent))
        try:
            with (partial / LOCK).open("wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _write(partial, source, size_px)
                (partial / LOCK).unlink()
                _move(partial, place)
        finally:
            # After a successful move there is nothing left to remove.
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise FaultsError([*source.faults, _spell_refusal(error, source, size_px)]) from error


def _place(fingerprint: str, size_px: int, version: int = CACHE_VERSION) -> Path:
    return cache_folder() / f"v{version}-{fingerprint}-{size_px}px"


def _places(fingerprint: str, size_px: int, older: bool) -> list[Path]:
    versions = (CACHE_VERSION, *OLDER_VERSIONS) if older else (CACHE_VERSION,)
    return [_place(fingerprint, size_px, version) for version in versions]


def _write(folder: Path, source: Source, size_px: int) -> None:
    faults = list(source.faults)
    remarks: Counter[str] = Counter()
    for name, part in (("train", source.train), ("test", source.test)):
        try:
            _write_part(folder, name, part, size_px, remarks)
        except FaultsError as error:
            faults += error.faults
    if faults:
        raise FaultsError(faults)
    about = {
        "class_names": source.class_names,
        "train_names": source.train.names,
        "test_names": source.test.names,
        "remarks": dict(sorted(remarks.items())),
    }
    with (folder / "about.json").open("wb") as file:
        file.write(json.dumps(about).encode())
        _sync(file.fileno())
    # mkdtemp lets nobody else in, but a machine's cache may be shared.
    folder.chmod(0o755)
    _sync_folder(folder)


def _write_part(folder: Path, name: str, part: SourcePart, size_px: int, remarks: Counter[str]) -> None:
    shape = (len(part.labels_N), size_px, size_px, 3)
    # Written as a stream: a memory map would answer a full disk with SIGBUS, and a list would hold everything twice.
    with (folder / f"{name}_images.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        count = 0
        for images_BHWC in part.decode(size_px, remarks):
            file.write(np.ascontiguousarray(images_BHWC).data)
            count += len(images_BHWC)
        _sync(file.fileno())
    if count != len(part.labels_N):
        raise RuntimeError(f"the source decoded {count} {name} pictures, but labels {len(part.labels_N)}")
    with (folder / f"{name}_labels.npy").open("wb") as file:
        np.lib.format.write_array(file, part.labels_N.astype(np.int64), allow_pickle=False)
        _sync(file.fileno())


def _spell_refusal(error: OSError, source: Source, size_px: int) -> str:
    """Say why the cache could not be written and what to do about it."""
    folder, remedy = cache_folder(), "set ABLATION_CACHE to a folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        pictures = len(source.train.labels_N) + len(source.test.labels_N)
        needed_mib = math.ceil(pictures * size_px**2 * 3 / 2**20)
        return (
            f"the disk of the cache folder {folder} is full ({error.strerror}), but {pictures} pictures decoded at "
            f"{size_px} px take {needed_mib} MiB there; make room, or {remedy} on another disk"
        )
    return (
        f"the cache folder {folder} cannot be written ({error.strerror or error}), but decoded pictures are kept "
        f"there; allow writing, or {remedy} that can be written"
    )


def _move(partial: Path, place: Path) -> None:
    try:
        partial.rename(place)
    except OSError:
        # A folder cannot replace one that has files: another process was first, with the same content.
        if not place.is_dir():
            raise
        return
    _sync_folder(place.parent)


def _sync(descriptor: int) -> None:
    os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@lru_cache(maxsize=4)
def _load(place: Path, fingerprint: str, size_px: int) -> Decoded:
    try:
        about = json.loads((place / "about.json").read_bytes())
        train, test = (_load_part(place, name, about[f"{name}_names"], size_px) for name in ("train", "test"))
        remarks = {str(remark): int(count) for remark, count in about.get("remarks", {}).items()}
        return Decoded(tuple(about["class_names"]), fingerprint, size_px, train, test, remarks)
    except (OSError, ValueError, KeyError) as error:
        raise FaultsError(
            [f"the decoded data in {place} is damaged ({error}); delete that folder and start again"]
        ) from error


def _load_part(place: Path, name: str, names: list[str], size_px: int) -> DecodedPart:
    images_NHWC = np.load(place / f"{name}_images.npy", mmap_mode="r", allow_pickle=False)
    labels_N = np.load(place / f"{name}_labels.npy", mmap_mode="r", allow_pickle=False)
    if images_NHWC.shape != (len(names), size_px, size_px, 3) or labels_N.shape != (len(names),):
        raise ValueError(f"{name}: {len(names)} names, pictures {images_NHWC.shape}, labels {labels_N.shape}")
    return DecodedPart(images_NHWC, labels_N, tuple(names))
