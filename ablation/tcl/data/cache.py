"""Decoded pictures on disk: built once per machine, whole or not at all, and mapped by every process after that.

One folder holds one data set at one size, named by content and size. It is built beside its place and renamed into it:
whoever sees the folder sees all of it. Arrays are plain ``.npy``; nothing is unpickled.

Shapes: N pictures, B of a block, H = W = size_px, C = 3 colours.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ablation.faults import FaultsError
from ablation.tcl.data.source import Source, SourcePart

# Part of every folder's name: raise it when decoding, resizing or the layout below changes.
CACHE_VERSION = 1


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


def cache_folder() -> Path:
    """Say where this machine keeps decoded data: ABLATION_CACHE, else ``ablation`` in XDG_CACHE_HOME or ~/.cache."""
    if own := os.environ.get("ABLATION_CACHE"):
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "ablation"


def holds(fingerprint: str, size_px: int) -> bool:
    """Say whether the data of this fingerprint is decoded at this size."""
    return _place(fingerprint, size_px).is_dir()


def load(fingerprint: str, size_px: int) -> Decoded:
    """Map a decoded data set; raise FaultsError where its files are damaged."""
    return _load(_place(fingerprint, size_px), fingerprint, size_px)


def build(source: Source, size_px: int) -> None:
    """Decode a source into the cache, atomically.

    Another process that builds the same at the same time does no harm: the first to finish wins, and both hold the
    same bytes. Raises FaultsError with the source's faults and those of all its pictures, or where the disk is full or
    read-only; either way nothing half-written stays.
    """
    place = _place(source.fingerprint, size_px)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".partial", dir=place.parent))
        try:
            _write(partial, source, size_px)
            _move(partial, place)
        finally:
            # After a successful move there is nothing left to remove.
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise FaultsError([*source.faults, _spell_refusal(error, source, size_px)]) from error


def _place(fingerprint: str, size_px: int) -> Path:
    return cache_folder() / f"v{CACHE_VERSION}-{fingerprint}-{size_px}px"


def _write(folder: Path, source: Source, size_px: int) -> None:
    faults = list(source.faults)
    for name, part in (("train", source.train), ("test", source.test)):
        try:
            _write_part(folder, name, part, size_px)
        except FaultsError as error:
            faults += error.faults
    if faults:
        raise FaultsError(faults)
    about = {
        "class_names": source.class_names,
        "train_names": source.train.names,
        "test_names": source.test.names,
    }
    with (folder / "about.json").open("wb") as file:
        file.write(json.dumps(about).encode())
        _sync(file.fileno())
    # mkdtemp lets nobody else in, but a machine's cache may be shared.
    folder.chmod(0o755)
    _sync_folder(folder)


def _write_part(folder: Path, name: str, part: SourcePart, size_px: int) -> None:
    shape = (len(part.labels_N), size_px, size_px, 3)
    # Written as a stream: a memory map would answer a full disk with SIGBUS, and a list would hold everything twice.
    with (folder / f"{name}_images.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        count = 0
        for images_BHWC in part.decode(size_px):
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
        return Decoded(tuple(about["class_names"]), fingerprint, size_px, train, test)
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
