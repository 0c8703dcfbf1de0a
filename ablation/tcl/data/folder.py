"""Photographs in a folder per class: ``DIR/train/<class>/<picture>`` and ``DIR/test/<class>/<picture>``.

Classes are known by the names of their folders, in alphabetical order, and nothing depends on a class's number:
FER-2013 as Kaggle hands it out has this layout, and its folders' order is not that of the labels in its CSV.

The one exception are the folders 1 to 7, no more and no less, of which Kaggle's re-pack of RAF-DB consists. A number
names no expression; these are RAF-DB's official labels, and so the classes get RAF-DB's names in RAF-DB's order, the
same as if the official layout had been opened. Give the folders of other data names that say what the classes are.

Anything else in DIR is left unread, a validation part too: validation is carved from train.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePath

from ablation.faults import FaultsError
from ablation.tcl.data import rafdb
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

PARTS = ("train", "test")
EXPECTED = "train/ and test/, each with a folder per class"
ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# What file managers and archives leave behind, beside all names that start with a dot.
LEFTOVERS = ("thumbs.db", "desktop.ini", "__macosx")


class _Tree:
    """The parts that are there, their classes and pictures; every fault goes to the list of its kind."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.faults: dict[str, list[str]] = {}
        # Part → class → pictures' names, all in alphabetical order.
        self.names: dict[str, dict[str, list[str]]] = {
            part: self._read_part(root / part) for part in PARTS if (root / part).is_dir()
        }
        self.classes = sorted(set().union(*self.names.values()))
        self._check()

    def photographs(self, part: str) -> list[Photograph]:
        """List a part's photographs by class, then name; each is called ``<class>/<picture>``."""
        return [
            Photograph(name=f"{folder}/{name}", path=self.root / part / folder / name, label=label)
            for label, folder in enumerate(self.classes)
            for name in self.names.get(part, {}).get(folder, ())
        ]

    def _read_part(self, part: Path) -> dict[str, list[str]]:
        classes = {}
        for entry in self._entries(part):
            if entry.is_dir():
                classes[entry.name] = self._read_class(Path(entry.path))
            else:
                self._blame(
                    "files beside class folders",
                    f"{entry.path} lies beside the class folders, but must lie in one; move or remove it",
                )
        return classes

    def _read_class(self, folder: Path) -> list[str]:
        names = []
        for entry in self._entries(folder):
            if entry.is_dir():
                self._blame(
                    "nested folders",
                    f"{entry.path} is a folder, but a class folder must hold pictures only; "
                    "move its pictures up, or remove it",
                )
            elif PurePath(entry.name).suffix.lower() not in ENDINGS:
                self._blame(
                    "files that are no pictures",
                    f"{entry.path} must be a picture, its name ending in one of {', '.join(ENDINGS)}; "
                    "remove or rename it",
                )
            else:
                names.append(entry.name)
        if not names:
            self._blame(
                "classes without pictures",
                f"{folder} has no pictures, but must have at least 1; add some, or remove the class from both parts",
            )
        return names

    def _entries(self, folder: Path) -> Iterator[os.DirEntry[str]]:
        """Yield what is meant to be data, by name: the order in which a disk lists files differs between copies."""
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.name.startswith(".") or entry.name.lower() in LEFTOVERS:
                continue
            if any("\ud800" <= letter <= "\udfff" for letter in entry.name):
                self._blame("names that are no UTF-8", f"the name of {entry.path!a} must be UTF-8; rename it")
                continue
            yield entry

    def _check(self) -> None:
        if missing := [f"{part}/" for part in PARTS if part not in self.names]:
            self._blame(
                "missing parts",
                f"{self.root} has no {' and no '.join(missing)}, but must have {EXPECTED}; "
                f"it has {format_entries(self.root)}; give the folder that has both, or rename what is there",
            )
        elif len(self.classes) < 2:
            shown = f"1 class, {self.classes[0]!r}" if self.classes else "no class"
            self._blame(
                "too few classes", f"{self.root} has {shown}, but must have at least 2 to distinguish; add some"
            )
        for part, other in ((PARTS[0], PARTS[1]), (PARTS[1], PARTS[0])) if not missing else ():
            for name in sorted(self.names[part].keys() - self.names[other].keys()):
                self._blame(
                    "classes of one part",
                    f"{self.root / part} has the class {name!r}, but {self.root / other} has not, and both must; "
                    f"add it to {other}, or remove or rename it in {part}",
                )

    def _blame(self, kind: str, fault: str) -> None:
        self.faults.setdefault(kind, []).append(fault)


def open_folder(argument: str) -> Source:
    """List and fingerprint the photographs of a folder per class, without decoding.

    ``argument`` is the folder that has ``train`` and ``test``. Raises FaultsError if it has neither; other faults
    are gathered in the source, so that those of single photographs can join them.
    """
    tree = _Tree(existing_folder("folder", argument, EXPECTED))
    faults = [fault for kind, found in tree.faults.items() for fault in abridge(found, kind)]
    if not tree.names:
        raise FaultsError(faults)
    listed = [(part, tree.photographs(part)) for part in PARTS]
    parts = [(part, photographs, digest_photographs(photographs)) for part, photographs in listed]
    train, test = (photograph_part(photographs, digests) for _, photographs, digests in parts)
    # A photograph's name holds its class's, so a renamed class is another fingerprint.
    (_, _, seen), (_, tested, digests) = parts
    repeated = repeated_photographs(seen, tested, digests)
    return Source(_class_names(tree.classes), fingerprint_photographs(parts), train, test, tuple(faults), repeated)


def _class_names(folders: list[str]) -> tuple[str, ...]:
    return rafdb.CLASS_NAMES if folders == list(rafdb.LABELS) else tuple(folders)
