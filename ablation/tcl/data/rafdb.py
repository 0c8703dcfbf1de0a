"""RAF-DB's basic emotions in their official layout.

Li, Deng and Du, "Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in the Wild",
CVPR 2017. ``EmoLabel/list_patition_label.txt`` (sic) has lines such as ``train_00001.jpg 5``; the aligned photograph of
that line is ``Image/aligned/train_00001_aligned.jpg``.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from ablation.faults import FaultsError
from ablation.tcl.data.photographs import (
    Photograph,
    abridge,
    digest_photographs,
    existing_folder,
    fingerprint_photographs,
    format_entries,
    photograph_part,
    repeated_photographs,
)
from ablation.tcl.data.source import Source

# Labels 1–7 in this order.
CLASS_NAMES = ("Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral")
LABELS = {str(number): number - 1 for number in range(1, len(CLASS_NAMES) + 1)}
LABEL_FILE = "EmoLabel/list_patition_label.txt"
IMAGE_FOLDER = "Image/aligned"
EXPECTED = f"{LABEL_FILE} and {IMAGE_FOLDER}/"
PARTS = ("train", "test")


class _Listing:
    """The label file's lines, read as far as they can be; every fault goes to the list of its kind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.present = {entry.name for entry in os.scandir(folder / IMAGE_FOLDER)}
        self.photographs: dict[str, list[Photograph]] = {part: [] for part in PARTS}
        self.line_of: dict[str, int] = {}
        self.faults: dict[str, list[str]] = {}

    def read(self) -> None:
        """Read every line, then look for empty parts."""
        # A byte that is no UTF-8 becomes a sign no file name has, and is reported with its line.
        lines = (self.folder / LABEL_FILE).read_text(encoding="utf-8-sig", errors="replace").splitlines()
        for number, line in enumerate(lines, start=1):
            if line.strip():
                self._read_line(number, line)
        for part in PARTS:
            if not self.photographs[part]:
                self._blame(
                    "empty parts",
                    f"{LABEL_FILE} lists no usable {part} picture, but must list some; "
                    f"their names start with '{part}_'",
                )

    def _read_line(self, number: int, line: str) -> None:
        where = f"{LABEL_FILE} line {number}"
        fields = line.split()
        if len(fields) != 2 or "/" in fields[0] or "\\" in fields[0]:
            self._blame(
                "malformed lines",
                f"{where} is {line!r}, but must be a file name and a label, such as 'train_00001.jpg 5'; correct it",
            )
            return
        name, label = fields
        part = name.partition("_")[0]
        sound = True
        if "_" not in name or part not in PARTS:
            self._blame(
                "names of no part", f"{where} names {name!r}, but must start with 'train_' or 'test_'; rename it"
            )
            sound = False
        if label not in LABELS:
            known = ", ".join(f"{index} {class_name}" for index, class_name in enumerate(CLASS_NAMES, start=1))
            self._blame(
                "labels out of range", f"{where} labels {name} {label!r}, but must be one of {known}; correct it"
            )
            sound = False
        if name in self.line_of:
            first = self.line_of[name]
            self._blame("repeated names", f"{where} names {name} again, after line {first}; remove one of the two")
            sound = False
        self.line_of.setdefault(name, number)
        image = f"{PurePosixPath(name).stem}_aligned{PurePosixPath(name).suffix}"
        if image not in self.present:
            self._blame(
                "missing images",
                f"{where} names {name}, but {IMAGE_FOLDER}/{image} is not there; restore it, or remove the line",
            )
        elif sound:
            path = self.folder / IMAGE_FOLDER / image
            self.photographs[part].append(Photograph(name=name, path=path, label=LABELS[label]))

    def _blame(self, kind: str, fault: str) -> None:
        self.faults.setdefault(kind, []).append(fault)


def open_rafdb(argument: str) -> Source:
    """List and fingerprint RAF-DB in a folder, without decoding.

    ``argument`` is the folder that has ``EmoLabel`` and ``Image``. Raises FaultsError if it does not; faults of
    single lines are gathered in the source, so that those of single photographs can join them.
    """
    folder = existing_folder("rafdb", argument, EXPECTED)
    _check_layout(folder)
    listing = _Listing(folder)
    listing.read()
    parts = [(part, listing.photographs[part], digest_photographs(listing.photographs[part])) for part in PARTS]
    train, test = (photograph_part(listed, hashed) for _, listed, hashed in parts)
    faults = [fault for kind, found in listing.faults.items() for fault in abridge(found, kind)]
    (_, _, seen), (_, tested, digests) = parts
    repeated = repeated_photographs(seen, tested, digests)
    return Source(CLASS_NAMES, fingerprint_photographs(parts), train, test, tuple(faults), repeated)


def _check_layout(folder: Path) -> None:
    missing = [LABEL_FILE] if not (folder / LABEL_FILE).is_file() else []
    missing += [f"{IMAGE_FOLDER}/"] if not (folder / IMAGE_FOLDER).is_dir() else []
    if missing:
        raise FaultsError(
            [
                f"{folder} has no {' and no '.join(missing)}, but RAF-DB's basic set must have {EXPECTED}; "
                f"it has {format_entries(folder)}; give the folder into which basic.zip was unpacked, or open a copy "
                "with a folder per class as folder:DIR"
            ]
        )
