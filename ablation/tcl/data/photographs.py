"""Read, fingerprint and decode photographs that lie in files, whatever the layout that lists them.

Shapes: B pictures of a block, H = W = size_px, C = 3 colours.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from ablation.arrays import UInt8
from ablation.faults import FaultsError
from ablation.machine import usable_cpus
from ablation.tcl.data.colours import in_colour
from ablation.tcl.data.named_warnings import about, kept_warnings
from ablation.tcl.data.source import SourcePart

BLOCK = 256
FAULTS_LISTED = 10
# What Pillow raises, beside OSError, for bytes that are no whole picture.
UNDECODABLE = (SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


@dataclass(frozen=True)
class Photograph:
    """One labelled file.

    Attributes:
        name: what its source calls it.
        path: where it lies.
        label: class index, 0-based.
    """

    name: str
    path: Path
    label: int


def decode(
    file: Path | BinaryIO, size_px: int, remarks: Counter[str] | None = None
) -> UInt8[npt.NDArray[np.uint8], "{size_px} {size_px} 3"]:
    """Decode one photograph to RGB of a size, bilinearly and antialiased; see ``colours.in_colour`` for ``remarks``.

    Returns uint8 (size_px, size_px, 3). Raises OSError if the file cannot be read or is no whole picture.
    """
    try:
        with Image.open(file) as image:
            return fit(image, size_px, remarks)
    except UNDECODABLE as error:
        raise OSError(str(error)) from error


def fit(
    image: Image.Image, size_px: int, remarks: Counter[str] | None = None
) -> UInt8[npt.NDArray[np.uint8], "{size_px} {size_px} 3"]:
    """Turn a picture of any kind into uint8 RGB (size_px, size_px, 3), bilinearly and antialiased."""
    coloured = in_colour(image, Counter() if remarks is None else remarks)
    if coloured.size != (size_px, size_px):
        # Pillow's bilinear filter widens with the reduction: that is the antialiasing.
        coloured = coloured.resize((size_px, size_px), Image.Resampling.BILINEAR)
    # Pillow's own buffer is read-only, which torch warns of.
    return np.array(coloured)


def existing_folder(scheme: str, argument: str, expected: str) -> Path:
    """Return the folder that follows a scheme's colon; raise FaultsError if it is none.

    ``expected`` says what such a folder has.
    """
    folder = Path(argument).expanduser()
    if not argument:
        raise FaultsError([f"data is '{scheme}:', but a folder must follow the colon: the one that has {expected}"])
    if not folder.is_dir():
        what = "is not a directory" if folder.exists() else "does not exist"
        raise FaultsError([f"data is '{scheme}:{argument}', but {folder} {what}; give the one that has {expected}"])
    return folder


def format_entries(folder: Path) -> str:
    """Format what a folder holds, abridged: what was there instead of what was looked for."""
    found = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    return ", ".join(abridge(found, "entries")) or "nothing"


def abridge(faults: Sequence[str], kind: str) -> list[str]:
    """Keep the first faults of one kind and say how many more there are; ``kind`` names them in the plural."""
    more = len(faults) - FAULTS_LISTED
    return [*faults[:FAULTS_LISTED], f"… and {more} more {kind}"] if more > 0 else list(faults)


def digest_photographs(photographs: Sequence[Photograph]) -> list[str]:
    """Hash each file's bytes, in order; a file that cannot be read is left to decoding to report."""
    with ThreadPoolExecutor(_threads()) as pool:
        return list(pool.map(_digest_file, [photograph.path for photograph in photographs]))


def fingerprint_photographs(parts: Iterable[tuple[str, Sequence[Photograph], Sequence[str]]]) -> str:
    """Hash parts of (name, photographs, their digests) to 32 hexadecimal digits; where the files lie does not count."""
    hasher = sha256()
    for part, photographs, digests in parts:
        for photograph, digest in zip(photographs, digests, strict=True):
            hasher.update(f"{part}\0{photograph.name}\0{photograph.label}\0{digest}\n".encode())
    return hasher.hexdigest()[:32]


def repeated_photographs(
    train: Sequence[str], test_photographs: Sequence[Photograph], test: Sequence[str]
) -> tuple[str, ...]:
    """Name the test photographs whose bytes are a train photograph's, too, by their digests."""
    known = set(train) - {"unreadable"}
    return tuple(one.name for one, digest in zip(test_photographs, test, strict=True) if digest in known)


def photograph_part(photographs: Sequence[Photograph], digests: Sequence[str]) -> SourcePart:
    """Turn photographs and the digests that were fingerprinted into a part that decodes them."""
    return SourcePart(
        labels_N=np.array([photograph.label for photograph in photographs], dtype=np.int64),
        names=tuple(photograph.name for photograph in photographs),
        decode=partial(_decode_photographs, photographs, digests),
    )


def _decode_photographs(
    photographs: Sequence[Photograph], digests: Sequence[str], size_px: int, remarks: Counter[str]
) -> Iterator[UInt8[npt.NDArray[np.uint8], "B {size_px} {size_px} 3"]]:
    faults: list[str] = []
    warned: set[str] = set()
    with ThreadPoolExecutor(_threads()) as pool:
        # In blocks, so that no more than one of them waits in memory for the disk.
        for start in range(0, len(photographs), BLOCK):
            block = zip(photographs[start : start + BLOCK], digests[start : start + BLOCK], strict=True)
            # Each picture has a count of its own, since threads would lose what they add to one.
            with kept_warnings() as kept:
                found = list(pool.map(partial(_decode_one, size_px=size_px), block))
            warned.update(kept)
            decoded = [result for result, _ in found]
            remarks.update(chain.from_iterable(counted.elements() for _, counted in found))
            faults += [result for result in decoded if isinstance(result, str)]
            if not faults:
                yield np.stack([result for result in decoded if not isinstance(result, str)])
    for warning in abridge(sorted(warned), "warnings of this kind"):
        warnings.warn(warning, stacklevel=2)
    if faults:
        raise FaultsError(abridge(faults, "photographs that cannot be decoded"))


def _decode_one(
    item: tuple[Photograph, str], size_px: int
) -> tuple[UInt8[npt.NDArray[np.uint8], "{size_px} {size_px} 3"] | str, Counter[str]]:
    """Decode, colour and resize one photograph, and note remarks; return a fault's words instead if that fails."""
    remarks: Counter[str] = Counter()
    return _decoded_or_fault(item, size_px, remarks), remarks


def _decoded_or_fault(
    item: tuple[Photograph, str], size_px: int, remarks: Counter[str]
) -> UInt8[npt.NDArray[np.uint8], "{size_px} {size_px} 3"] | str:
    photograph, digest = item
    try:
        content = photograph.path.read_bytes()
        if sha256(content).hexdigest() != digest:
            return f"{photograph.path} changed while it was being read; let nothing write there and start again"
        with about(photograph.path):
            return decode(io.BytesIO(content), size_px, remarks)
    except OSError as error:
        return (
            f"{photograph.path} cannot be decoded ({_first_line(error)}); restore that file from the original archive"
        )


def _first_line(error: BaseException) -> str:
    # Pillow names the buffer by its address, which says nothing and differs from run to run.
    return "no known picture format" if "cannot identify" in str(error) else str(error).partition("\n")[0]


def _digest_file(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError:
        # Decoding meets the same error and says it together with all others.
        return "unreadable"


def _threads() -> int:
    return min(8, usable_cpus().count)
