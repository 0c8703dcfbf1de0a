"""FER-2013 in the CSV of its challenge: ``emotion,pixels,Usage``, a grey picture of 48 × 48 pixels a line.

Columns may stand in any order, with blanks around names and values and quotes around pixels: Kaggle's
``icml_face_data.csv`` has ``emotion, Usage, pixels``. Its ``train.csv`` and ``test.csv`` are refused: the first has no
Usage and so no test part, the second no labels.

Goodfellow et al., "Challenges in Representation Learning: A Report on Three Machine Learning Contests", ICONIP 2013.

Training is train; PrivateTest, which decided the challenge and on which papers report, is test. PublicTest was the
leaderboard's validation set and is left unused (3,589 of the 35,887 pictures): validation is carved from train.

Shapes: B pictures of a block, N of a part; sides are 48 pixels as read and size_px as decoded.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from ablation.faults import FaultsError
from ablation.tcl.data.photographs import abridge, fit
from ablation.tcl.data.source import Source, SourcePart

HEADER = "emotion,pixels,Usage"
COLUMNS = ("emotion", "pixels", "usage")
# Labels 0–6 in this order.
CLASS_NAMES = ("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral")
LABELS = {str(label).encode(): label for label in range(len(CLASS_NAMES))}
USAGES = {b"Training": "train", b"PublicTest": "unused", b"PrivateTest": "test"}
SIDE_PX = 48
PIXELS = SIDE_PX**2
BLOCK = 256


class _Line(NamedTuple):
    """A picture as the file has it: the number of its line from 1, its label, and its pixels in digits."""

    number: int
    label: int
    pixels: bytes


class _Table:
    """The file's lines, read as far as they can be; every fault goes to the list of its kind."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fingerprint = ""
        self.lines: dict[str, list[_Line]] = {part: [] for part in USAGES.values()}
        self.faults: dict[str, list[str]] = {}
        self.order = (0, 1, 2)  # where a line has emotion, pixels and usage

    def read(self) -> None:
        """Read every line, then look for empty parts; raise FaultsError where the header is another."""
        hasher = sha256()
        # A CSV library would split 300 MB no faster, and names no line that it cannot read.
        with self.path.open("rb") as file:
            header = file.readline()
            self.order = _column_order(self.path, header)
            hasher.update(header)
            for number, line in enumerate(file, start=2):
                hasher.update(line)
                if line.strip():
                    self._read_line(number, line.rstrip(b"\r\n"))
        self.fingerprint = hasher.hexdigest()[:32]
        for usage, part in USAGES.items():
            if part != "unused" and not self.lines[part]:
                self._blame(
                    "empty parts",
                    f"{self.path} has no usable line of Usage {usage.decode()}, but must have some: they are {part}; "
                    "take the whole fer2013.csv",
                )

    def _read_line(self, number: int, line: bytes) -> None:
        where = f"{self.path} line {number}"
        fields = [field.strip() for field in line.split(b",")]
        if len(fields) != 3:
            tail = f", the last of them {_show(fields[-1])}" if len(fields) > 3 else ""
            self._blame(
                "malformed lines",
                f"{where} must have 3 fields, {HEADER}, but has {len(fields)}{tail}; restore that line",
            )
            return
        emotion, pixels, usage = (fields[place] for place in self.order)
        pixels = pixels.removeprefix(b'"').removesuffix(b'"').strip()
        if emotion not in LABELS:
            known = ", ".join(f"{label} {class_name}" for label, class_name in enumerate(CLASS_NAMES))
            self._blame(
                "emotions out of range",
                f"{where} has emotion {_show(emotion)}, but must have one of {known}; correct it",
            )
        if usage not in USAGES:
            known = ", ".join(name.decode() for name in USAGES)
            self._blame("unknown usages", f"{where} has Usage {_show(usage)}, but must have one of {known}; correct it")
        if emotion in LABELS and usage in USAGES and USAGES[usage] != "unused":
            self.lines[USAGES[usage]].append(_Line(number, LABELS[emotion], pixels))

    def _blame(self, kind: str, fault: str) -> None:
        self.faults.setdefault(kind, []).append(fault)


def open_fer2013(argument: str) -> Source:
    """Read labels and fingerprint of FER-2013's CSV; pixels are looked at when they are decoded.

    ``argument`` is the file. The fingerprint is the first half of its SHA-256. Raises FaultsError where there is no
    such file or its header is another; faults of single lines are gathered in the source.
    """
    table = _Table(_existing_file(argument))
    table.read()
    faults = [fault for kind, found in table.faults.items() for fault in abridge(found, kind)]
    train, test = (_part(table.path, table.lines[part]) for part in ("train", "test"))
    seen = {line.pixels for line in table.lines["train"]}
    repeated = tuple(f"line_{line.number}" for line in table.lines["test"] if line.pixels in seen)
    return Source(CLASS_NAMES, table.fingerprint, train, test, tuple(faults), repeated)


def _existing_file(argument: str) -> Path:
    path = Path(argument).expanduser()
    if not argument:
        raise FaultsError(["data is 'fer2013:', but a file must follow the colon: fer2013.csv of the challenge"])
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        remedy = "; a folder per class opens as folder:DIR" if path.is_dir() else ""
        raise FaultsError(
            [f"data is 'fer2013:{argument}', but {path} {what}; give fer2013.csv of the challenge{remedy}"]
        )
    return path


def _column_order(path: Path, header: bytes) -> tuple[int, int, int]:
    """Return where lines have emotion, pixels and usage; raise FaultsError if the header is another."""
    found = header.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
    names = [name.strip().lower() for name in found.decode("utf-8", errors="replace").split(",")]
    if sorted(names) == sorted(COLUMNS):
        emotion, pixels, usage = (names.index(column) for column in COLUMNS)
        return emotion, pixels, usage
    if set(names) in ({"emotion", "pixels"}, {"pixels"}):
        lacking = (
            "Usage, so nothing says which pictures are test" if len(names) == 2 else "emotion: its labels are secret"
        )
        remedy = "take fer2013.csv or icml_face_data.csv of the challenge, which have all parts"
        raise FaultsError([f"{path} has no column {lacking}; {remedy}"])
    shown = _show(found) if header else "missing, the file is empty"
    raise FaultsError(
        [f"the header of {path} is {shown}, but must be {HEADER!r}; take fer2013.csv of the challenge's archive"]
    )


def _part(path: Path, lines: Sequence[_Line]) -> SourcePart:
    return SourcePart(
        labels_N=np.array([line.label for line in lines], dtype=np.int64),
        names=tuple(f"line_{line.number}" for line in lines),
        decode=partial(_decode_lines, path, lines),
    )


def _decode_lines(
    path: Path, lines: Sequence[_Line], size_px: int, remarks: Counter[str]
) -> Iterator[npt.NDArray[np.uint8]]:
    faults: list[str] = []
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
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


def _parse(rows: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """Turn B rows of digits into uint8 (B, 48, 48); raise ValueError where a row is not 2304 numbers in 0–255."""
    # numpy would take signs, fractions and exponents for numbers too, and pass over an empty row.
    if not all(rows) or b"".join(rows).translate(None, b"0123456789 "):
        raise ValueError("a row is empty or has other signs than digits and spaces")
    values = np.loadtxt([row.decode() for row in rows], dtype=np.int64, delimiter=" ", comments=None, ndmin=2)
    if values.shape != (len(rows), PIXELS) or values.min() < 0 or values.max() > 255:
        raise ValueError("a row has another number of pixels, or a pixel above 255")
    return values.astype(np.uint8).reshape(-1, SIDE_PX, SIDE_PX)


def _find_fault(path: Path, line: _Line) -> str | None:
    """Look for what ``_parse`` refused in one line."""
    must = f"but must have {PIXELS} whole numbers in 0–255 with single spaces between; restore that line"
    pixels = line.pixels.split(b" ") if line.pixels else []
    if len(pixels) != PIXELS:
        return f"{path} line {line.number} has {len(pixels)} pixels, {must}"
    for pixel in pixels:
        # int() of thousands of digits is refused by Python itself, and leading zeros are harmless.
        if not pixel.isdigit() or len(pixel.lstrip(b"0")) > 3 or int(pixel) > 255:
            return f"{path} line {line.number} has the pixel {_show(pixel)}, {must}"
    return None


def _show(field: bytes) -> str:
    text = field.decode("utf-8", errors="replace")
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
