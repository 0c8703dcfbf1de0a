"""Open a data set by URI: decoded once per machine, mapped into every trial.

Shapes: N pictures, H = W = size_px, C = 3 colours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from ablation.faults import FaultsError, nearest
from ablation.tcl.config import TclConfig
from ablation.tcl.data import cache
from ablation.tcl.data.fer2013 import open_fer2013
from ablation.tcl.data.folder import open_folder
from ablation.tcl.data.rafdb import open_rafdb
from ablation.tcl.data.source import Source
from ablation.tcl.data.synthetic import open_synthetic

# What follows the scheme's colon → what is there. A new format is a module and a line here.
SOURCES: dict[str, Callable[[str], Source]] = {
    "synthetic": open_synthetic,
    "rafdb": open_rafdb,
    "folder": open_folder,
    "fer2013": open_fer2013,
}
WITH_PATHS = ("rafdb", "folder", "fer2013")


@dataclass(frozen=True)
class Split:
    """The pictures of one part.

    Attributes:
        images_NHWC: uint8 RGB, memory-mapped and read-only.
        labels_N: class indices, int64, 0-based.
        names: what each picture is called in its source.
    """

    images_NHWC: npt.NDArray[np.uint8]
    labels_N: npt.NDArray[np.int64]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """A data set, decoded.

    Attributes:
        uri: what it was opened as.
        class_names: names in the order of the labels.
        fingerprint: 32 hexadecimal digits of the source's content.
        size_px: side of the square pictures.
        train: pictures to learn from; validation is carved from it.
        test: pictures to score once.
        remarks: how many pictures were more than resized, by what was done.
    """

    uri: str
    class_names: tuple[str, ...]
    fingerprint: str
    size_px: int
    train: Split
    test: Split
    remarks: Mapping[str, int] = field(default_factory=dict)


class DatasetSummary(BaseModel):
    """What a study records of its data; counts per class are by class name, in label order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str
    fingerprint: str
    class_names: tuple[str, ...]
    train_count: int
    test_count: int
    train_per_class: dict[str, int]
    test_per_class: dict[str, int]
    remarks: tuple[str, ...] = ()


def open_dataset(uri: str, size_px: int, *, fingerprint: str | None = None) -> Dataset:
    """Open a data set, decoding it where this machine has not done so yet.

    ``uri`` is ``scheme`` or ``scheme:argument`` of SOURCES. With a ``fingerprint`` that the cache holds, the source is
    not looked at: a planned study goes on with the data that it was planned with, whatever became of the source.
    Raises FaultsError with every fault of the source, or where its content has another fingerprint than the one given,
    or where the cache cannot be written.
    """
    if fingerprint is not None and cache.holds(fingerprint, size_px, older=True):
        return _dataset(uri, cache.load(fingerprint, size_px))
    return _opened(open_source(uri), uri, size_px, fingerprint)


def _opened(source: Source, uri: str, size_px: int, fingerprint: str | None) -> Dataset:
    if fingerprint is not None and not source.faults and source.fingerprint != fingerprint:
        raise FaultsError(
            [
                f"data {uri!r} has changed since the study was planned: its fingerprint is {source.fingerprint}, but "
                f"must be {fingerprint}; restore the data, or start a new study with it"
            ]
        )
    # A source with faults has no content to name: building it only gathers the undecodable pictures' faults too.
    if source.faults or not cache.holds(source.fingerprint, size_px):
        cache.build(source, size_px)
    return _dataset(uri, cache.load(source.fingerprint, size_px))


def prepare_dataset(uri: str, config: TclConfig, planned: str | None = None) -> DatasetSummary:
    """Check a study's data and decode it for its trials, before any of them starts.

    Pictures take ``config.data.size_px``. ``planned`` is the fingerprint of a study that goes on: if its data is
    decoded here, it need not be where it was. Raises FaultsError with every fault of data and data config at once.
    """
    uri = absolute(uri)
    faults = []
    if config.data.crop_px >= config.data.size_px:
        faults.append(
            f"data.crop_px is {config.data.crop_px}, but must be below data.size_px, {config.data.size_px}: a larger "
            "shift leaves nothing of the picture"
        )
    try:
        source = _source_or_none(uri, config.data.size_px, planned)
        if source is None:
            dataset, repeated = open_dataset(uri, config.data.size_px, fingerprint=planned), 0
        else:
            dataset, repeated = _opened(source, uri, config.data.size_px, None), len(source.repeated)
    except FaultsError as error:
        raise FaultsError([*faults, *error.faults]) from error
    if faults:
        raise FaultsError(faults)
    return DatasetSummary(
        uri=uri,
        fingerprint=dataset.fingerprint,
        class_names=dataset.class_names,
        train_count=len(dataset.train.labels_N),
        test_count=len(dataset.test.labels_N),
        train_per_class=_count(dataset.train, dataset.class_names),
        test_per_class=_count(dataset.test, dataset.class_names),
        remarks=tuple(_remarks(dataset, repeated)),
    )


def absolute(uri: str) -> str:
    """Return a URI that means the same in every folder."""
    scheme, _, argument = uri.partition(":")
    return f"{scheme}:{Path(argument).expanduser().absolute()}" if scheme in WITH_PATHS and argument else uri


def _source_or_none(uri: str, size_px: int, planned: str | None) -> Source | None:
    """Look at the source; None if it cannot be had and the data that was planned is decoded here."""
    try:
        return open_source(uri)
    except FaultsError:
        if planned is None or not cache.holds(planned, size_px, older=True):
            raise
        return None


def _remarks(dataset: Dataset, repeated: int) -> Iterator[str]:
    total = len(dataset.train.labels_N) + len(dataset.test.labels_N)
    for remark, count in dataset.remarks.items():
        yield f"{count} of {total} pictures {remark}"
    if repeated:
        yield f"{repeated} of {len(dataset.test.labels_N)} test pictures are in train, too: test scores flatter"


def open_source(uri: str) -> Source:
    """Look at what a URI names, without decoding; raise FaultsError for an unknown scheme or an unusable argument."""
    scheme, _, argument = uri.partition(":")
    if scheme not in SOURCES:
        raise FaultsError([f"data is {uri!r}, but {scheme!r} is no kind of data; {nearest(scheme, SOURCES)}"])
    return SOURCES[scheme](argument)


def _count(split: Split, class_names: tuple[str, ...]) -> dict[str, int]:
    counts = np.bincount(split.labels_N, minlength=len(class_names))
    return {name: int(count) for name, count in zip(class_names, counts, strict=True)}


def _dataset(uri: str, decoded: cache.Decoded) -> Dataset:
    return Dataset(
        uri=uri,
        class_names=decoded.class_names,
        fingerprint=decoded.fingerprint,
        size_px=decoded.size_px,
        train=Split(*decoded.train),
        test=Split(*decoded.test),
        remarks=decoded.remarks,
    )
