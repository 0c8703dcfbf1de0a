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
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ablation.arrays import Int, UInt8
from ablation.faults import FaultsError
from ablation.node_cache import cache_folder as cache_folder
from ablation.store import sync_folder
from ablation.tcl.data import partial
from ablation.tcl.data.colours import FLATTENED, ROUNDED, SCALED, TURNED
from ablation.tcl.data.source import Source, SourcePart

# Part of every folder's name, and recorded by studies: raise it when decoding, resizing or the layout below changes.
CACHE_VERSION = 3
# A planned study keeps the decoding that it was planned with.
OLDER_VERSIONS = (1, 2)
# Version → remarks on the pictures that it, and those after it, decode otherwise than those before it. All others are
# the same to the bit, so data without such remarks serve older studies too.
DIFFERING = {2: (TURNED, SCALED, ROUNDED, FLATTENED), 3: (SCALED, FLATTENED)}


@dataclass(frozen=True)
class Split:
    """The pictures of one part.

    Attributes:
        images_NHWC: uint8 RGB, memory-mapped and read-only.
        labels_N: class indices, int64, 0-based.
        names: what each picture is called in its source.
    """

    images_NHWC: UInt8[npt.NDArray[np.uint8], "N H W C"]
    labels_N: Int[npt.NDArray[np.int64], " N"]
    names: tuple[str, ...]


class Decoded(NamedTuple):
    """A data set as the cache holds it."""

    class_names: tuple[str, ...]
    fingerprint: str
    size_px: int
    train: Split
    test: Split
    remarks: dict[str, int]


def settle_folder() -> None:
    """Make a relative folder of the environment absolute, for processes that start from here in other folders."""
    for name in ("ABLATION_CACHE", "XDG_CACHE_HOME"):
        if given := os.environ.get(name):
            os.environ[name] = str(Path(given).expanduser().absolute())


def folder_of(fingerprint: str, size_px: int, version: int = CACHE_VERSION) -> Path:
    """Name the folder of a decoded data set."""
    return cache_folder() / f"v{version}-{fingerprint}-{size_px}px"


def has_any(fingerprint: str) -> bool:
    """Say whether the data of a fingerprint is decoded here, at whatever size and by whatever version."""
    return any(cache_folder().glob(f"v*-{fingerprint}-*px"))


def find(fingerprint: str, size_px: int, decoding: int = CACHE_VERSION) -> Decoded | None:
    """Map the data of a fingerprint at a size, as decoding of that version has it; None if it is not decoded here.

    Today's decoding serves for an older one if it had none of those pictures that the two decode differently.
    Raises FaultsError if files are damaged.
    """
    target = folder_of(fingerprint, size_px, decoding)
    if target.is_dir():
        return _load(target, fingerprint, size_px)
    today = folder_of(fingerprint, size_px)
    if decoding not in OLDER_VERSIONS or not today.is_dir():
        return None
    found = _load(today, fingerprint, size_px)
    differing = set().union(*(remarks for version, remarks in DIFFERING.items() if version > decoding))
    return None if differing & found.remarks.keys() else found


def build(source: Source, size_px: int) -> None:
    """Decode a source into the cache, atomically.

    Another process that builds the same at the same time does no harm: the first to finish wins, and both hold the
    same bytes. Raises FaultsError with the source's faults and those of all its pictures, or if the disk is full or
    read-only; either way nothing half-written stays.
    """
    target = folder_of(source.fingerprint, size_px)
    try:
        with partial.becoming(target) as folder:
            _write(folder, source, size_px)
    except OSError as error:
        raise FaultsError([*source.faults, _format_refusal(error, source, size_px)]) from error


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
        os.fsync(file.fileno())
    # mkdtemp lets nobody else in, but a machine's cache may be shared.
    folder.chmod(0o755)
    sync_folder(folder)


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
        os.fsync(file.fileno())
    if count != len(part.labels_N):
        raise RuntimeError(f"the source decoded {count} {name} pictures, but labels {len(part.labels_N)}")
    with (folder / f"{name}_labels.npy").open("wb") as file:
        np.lib.format.write_array(file, part.labels_N.astype(np.int64), allow_pickle=False)
        os.fsync(file.fileno())


def _format_refusal(error: OSError, source: Source, size_px: int) -> str:
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


@lru_cache(maxsize=4)
def _load(target: Path, fingerprint: str, size_px: int) -> Decoded:
    try:
        about = json.loads((target / "about.json").read_bytes())
        train, test = (_load_part(target, name, about[f"{name}_names"], size_px) for name in ("train", "test"))
        remarks = {str(remark): int(count) for remark, count in about.get("remarks", {}).items()}
        return Decoded(tuple(about["class_names"]), fingerprint, size_px, train, test, remarks)
    except (OSError, ValueError, KeyError) as error:
        raise FaultsError(
            [f"the decoded data in {target} is damaged ({error}); delete that folder and start again"]
        ) from error


def _load_part(target: Path, name: str, names: list[str], size_px: int) -> Split:
    images_NHWC = np.load(target / f"{name}_images.npy", mmap_mode="r", allow_pickle=False)
    labels_N = np.load(target / f"{name}_labels.npy", mmap_mode="r", allow_pickle=False)
    if images_NHWC.shape != (len(names), size_px, size_px, 3) or labels_N.shape != (len(names),):
        raise ValueError(f"{name}: {len(names)} names, pictures {images_NHWC.shape}, labels {labels_N.shape}")
    return Split(images_NHWC, labels_N, tuple(names))
