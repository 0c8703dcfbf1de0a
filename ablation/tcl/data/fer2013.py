"""FER-2013 in the CSV of its challenge: ``emotion,pixels,Usage``, a grey picture of 48 × 48 pixels a line.

Columns may stand in any order, with blanks and quotes around names and values: Kaggle's ``icml_face_data.csv`` has
``emotion, Usage, pixels``. A folder may have ``train.csv`` and ``test.csv`` instead, both ``emotion,pixels``. The
challenge's own ``test.csv`` has no labels and is refused, and so is one file of the two.

Goodfellow et al., "Challenges in Representation Learning: A Report on Three Machine Learning Contests", ICONIP 2013.

Training is train; PrivateTest, which decided the challenge and on which papers report, is test. PublicTest was the
leaderboard's validation set and is left unused (3,589 of the 35,887 pictures): validation is carved from train.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from ablation.faults import FaultsError
from ablation.tcl.data.fer2013_pixels import Line, part_of_lines, show
from ablation.tcl.data.photographs import abridge
from ablation.tcl.data.source import Source

COLUMNS = ("emotion", "pixels", "Usage")
# Labels 0–6 in this order.
CLASS_NAMES = ("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral")
LABELS = {str(label).encode(): label for label in range(len(CLASS_NAMES))}
USAGES = {b"Training": "train", b"PublicTest": "unused", b"PrivateTest": "test"}
PAIR = {"train": "train.csv", "test": "test.csv"}
BOTH = "train.csv and test.csv, both emotion,pixels"
WHOLE = "fer2013.csv or icml_face_data.csv of the challenge, which have all parts"


class _Table:
    """A file's lines, read as far as they can be; every fault goes to the list of its kind.

    ``part`` is what all lines of the file are, if it is one of a pair; else each line has its Usage.
    """

    def __init__(self, path: Path, part: str | None = None) -> None:
        self.path, self.part = path, part
        self.columns = COLUMNS if part is None else COLUMNS[:2]
        self.digest = ""
        self.lines: dict[str, list[Line]] = {part: [] for part in USAGES.values()}
        self.faults: dict[str, list[str]] = {}
        self.order: list[int] = []  # where a line has each of the columns

    def read(self) -> None:
        """Read every line, then look for empty parts; raise FaultsError if the header is another."""
        hasher = sha256()
        # A CSV library would split 300 MB no faster, and names no line that it cannot read.
        with self.path.open("rb") as file:
            header = file.readline()
            self.order = _column_order(self.path, header, self.columns)
            hasher.update(header)
            for number, line in enumerate(file, start=2):
                hasher.update(line)
                if line.strip():
                    self._read_line(number, line.rstrip(b"\r\n"))
        self.digest = hasher.hexdigest()
        if self.part is not None:
            if not self.lines[self.part]:
                self._blame("empty parts", f"{self.path} has no usable line, but its lines are {self.part}; restore it")
            return
        for usage, part in USAGES.items():
            if part != "unused" and not self.lines[part]:
                self._blame(
                    "empty parts",
                    f"{self.path} has no usable line of Usage {usage.decode()}, but must have some: they are {part}; "
                    "take the whole fer2013.csv",
                )

    def _read_line(self, number: int, line: bytes) -> None:
        where = f"{self.path} line {number}"
        fields = [_bare(field) for field in line.split(b",")]
        if len(fields) != len(self.columns):
            tail = f", the last of them {show(fields[-1])}" if len(fields) > len(self.columns) else ""
            self._blame(
                "malformed lines",
                f"{where} must have {len(self.columns)} fields, {','.join(self.columns)}, but has "
                f"{len(fields)}{tail}; restore that line",
            )
            return
        emotion, pixels, *reported = (fields[index] for index in self.order)
        if emotion not in LABELS:
            known = ", ".join(f"{label} {class_name}" for label, class_name in enumerate(CLASS_NAMES))
            self._blame(
                "emotions out of range",
                f"{where} has emotion {show(emotion)}, but must have one of {known}; correct it",
            )
        part = self.part if self.part is not None else self._part(where, *reported)
        if emotion in LABELS and part is not None and part != "unused":
            self.lines[part].append(Line(number, LABELS[emotion], pixels))

    def _part(self, where: str, usage: bytes) -> str | None:
        if usage not in USAGES:
            known = ", ".join(name.decode() for name in USAGES)
            self._blame("unknown usages", f"{where} has Usage {show(usage)}, but must have one of {known}; correct it")
        return USAGES.get(usage)

    def _blame(self, kind: str, fault: str) -> None:
        self.faults.setdefault(kind, []).append(fault)


def open_fer2013(argument: str) -> Source:
    """Read labels and fingerprint of FER-2013's CSV; pixels are looked at when they are decoded.

    ``argument`` is the file, or the folder of a pair. The fingerprint is the first half of the file's SHA-256, or of
    that of both files' digests. Raises FaultsError if there is no such file or its header is another; faults of
    single lines are gathered in the source.
    """
    path = _existing(argument)
    if path.is_dir():
        train, test = (_Table(path / name, part) for part, name in PAIR.items())
        tables = [train, test]
    else:
        train = test = _Table(path)
        tables = [train]
    _read(tables)
    joined = "".join(f"{table.part} {table.digest}\n" for table in tables)
    digest = sha256(joined.encode()).hexdigest() if len(tables) > 1 else train.digest
    found = [item for table in tables for item in table.faults.items()]
    faults = [fault for kind, reported in found for fault in abridge(reported, kind)]
    seen = {line.pixels for line in train.lines["train"]}
    repeated = tuple(f"line_{line.number}" for line in test.lines["test"] if line.pixels in seen)
    learnt, scored = part_of_lines(train.path, train.lines["train"]), part_of_lines(test.path, test.lines["test"])
    return Source(CLASS_NAMES, digest[:32], learnt, scored, tuple(faults), repeated)


def _read(tables: Sequence[_Table]) -> None:
    """Read all tables; raise FaultsError with the headers of all that are at fault."""
    faults: list[str] = []
    for table in tables:
        try:
            table.read()
        except FaultsError as error:
            faults += error.faults
    if faults:
        raise FaultsError(faults)


def _existing(argument: str) -> Path:
    """Return the file, or the folder that has a pair; raise FaultsError if it is neither."""
    path = Path(argument).expanduser()
    if not argument:
        raise FaultsError(["data is 'fer2013:', but a file must follow the colon: fer2013.csv of the challenge"])
    if path.is_file():
        return path
    if path.is_dir():
        missing = [name for name in PAIR.values() if not (path / name).is_file()]
        if not missing:
            return path
        raise FaultsError(
            [
                f"data is 'fer2013:{argument}', but {path} is a folder without {' and '.join(missing)}; give "
                f"fer2013.csv of the challenge, or a folder with {BOTH}; a folder per class opens as folder:DIR"
            ]
        )
    what = "is not a file" if path.exists() else "does not exist"
    raise FaultsError([f"data is 'fer2013:{argument}', but {path} {what}; give fer2013.csv of the challenge"])


def _column_order(path: Path, header: bytes, columns: tuple[str, ...]) -> list[int]:
    """Return where lines have each column; raise FaultsError if the header is another."""
    found = header.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
    names = [_bare(name).decode("utf-8", errors="replace").lower() for name in found.split(b",")]
    wanted = [column.lower() for column in columns]
    if sorted(names) == sorted(wanted):
        return [names.index(column) for column in wanted]
    if set(names) == {"pixels"}:
        raise FaultsError([f"{path} has no column emotion: its labels are secret; take {WHOLE}"])
    if set(names) == {"emotion", "pixels"}:
        raise FaultsError(
            [
                f"{path} has no column Usage, so nothing says which pictures are test; take {WHOLE}, or give the "
                f"folder that has {BOTH}"
            ]
        )
    shown = show(found) if header else "missing, the file is empty"
    expected = ",".join(columns)
    raise FaultsError(
        [f"the header of {path} is {shown}, but must be {expected!r}; take fer2013.csv of the challenge's archive"]
    )


def _bare(field: bytes) -> bytes:
    """Take blanks and a pair of quotes from around a field."""
    field = field.strip()
    return field[1:-1].strip() if len(field) > 1 and field[:1] == field[-1:] == b'"' else field
