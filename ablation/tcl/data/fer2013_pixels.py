"""The pixels of FER-2013's lines, which are text: read block by block, and every fault with its line.

Shapes: B pictures of a block, N of a part; sides are 48 pixels as read and size_px as decoded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from ablation.arrays import UInt8
from ablation.faults import FaultsError
from ablation.machine import usable_cpus
from ablation.tcl.data.photographs import abridge, fit
from ablation.tcl.data.source import SourcePart

SIDE_PX = 48
PIXELS = SIDE_PX**2
BLOCK = 256


class Line(NamedTuple):
    """A picture as the file has it: the number of its line from 1, its label, and its pixels in digits."""

    number: int
    label: int
    pixels: bytes


def part_of_lines(path: Path, lines: Sequence[Line]) -> SourcePart:
    """Turn the lines of a part into what decodes them."""
    return SourcePart(
        labels_N=np.array([line.label for line in lines], dtype=np.int64),
        names=tuple(f"line_{line.number}" for line in lines),
        decode=partial(_decode_lines, path, lines),
    )


def show(field: bytes) -> str:
    """Quote what a file has, cut to a size that can be read."""
    text = field.decode("utf-8", errors="replace")
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


def _decode_lines(
    path: Path, lines: Sequence[Line], size_px: int, remarks: Counter[str]
) -> Iterator[UInt8[npt.NDArray[np.uint8], "B {size_px} {size_px} 3"]]:
    faults: list[str] = []
    with ThreadPoolExecutor(min(8, usable_cpus().count)) as pool:
        for start in range(0, len(lines), BLOCK):
            block = lines[start : start + BLOCK]
            try:
                grey_BHW = _parse([line.pixels for line in block])
            except ValueError:
                found = [fault for line in block if (fault := _find_fault(path, line))]
                if not found:
                    raise
                faults += found
                continue
            if not faults:
                pictures = map(Image.fromarray, grey_BHW)
                yield np.stack(list(pool.map(partial(fit, size_px=size_px), pictures)))
    if faults:
        raise FaultsError(abridge(faults, "lines with pixels at fault"))


def _parse(rows: Sequence[bytes]) -> UInt8[npt.NDArray[np.uint8], "B 48 48"]:
    """Turn B rows of digits into uint8 (B, 48, 48); raise ValueError if a row is not 2304 numbers in 0–255."""
    # numpy would take signs, fractions and exponents for numbers too, and pass over an empty row.
    if not all(rows) or b"".join(rows).translate(None, b"0123456789 "):
        raise ValueError("a row is empty or has other signs than digits and spaces")
    values = np.loadtxt([row.decode() for row in rows], dtype=np.int64, delimiter=" ", comments=None, ndmin=2)
    if values.shape != (len(rows), PIXELS) or values.min() < 0 or values.max() > 255:
        raise ValueError("a row has another number of pixels, or a pixel above 255")
    return values.astype(np.uint8).reshape(-1, SIDE_PX, SIDE_PX)


def _find_fault(path: Path, line: Line) -> str | None:
    """Look for what ``_parse`` refused in one line."""
    must = f"but must have {PIXELS} whole numbers in 0–255 with single spaces between; restore that line"
    pixels = line.pixels.split(b" ") if line.pixels else []
    if len(pixels) != PIXELS:
        return f"{path} line {line.number} has {len(pixels)} pixels, {must}"
    for pixel in pixels:
        # int() of thousands of digits is refused by Python itself, and leading zeros are harmless.
        if not pixel.isdigit() or len(pixel.lstrip(b"0")) > 3 or int(pixel) > 255:
            return f"{path} line {line.number} has the pixel {show(pixel)}, {must}"
    return None
