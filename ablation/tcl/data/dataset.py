"""Open a data set by URI: decoded once per machine, mapped into every trial.

Shapes: N pictures, H = W = size_px, C = 3 colours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from ablation.faults import FaultsError
from ablation.tcl.config import TclConfig
from ablation.tcl.data import cache, partial
from ablation.tcl.data.cache import Split
from ablation.tcl.data.source import Source
from ablation.tcl.data.uris import absolute, open_source


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
    """What a study records of its data; counts per class are by class name, in label order.

    ``decoding`` is the version of the rules by which pictures are decoded: a study keeps to it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str
    fingerprint: str
    class_names: tuple[str, ...]
    train_count: int
    test_count: int
    train_per_class: dict[str, int]
    test_per_class: dict[str, int]
    remarks: tuple[str, ...] = ()
    decoding: int = cache.CACHE_VERSION


def open_dataset(uri: str, size_px: int, *, fingerprint: str | None = None, decoding: int | None = None) -> Dataset:
    """Open a data set, decoding it if this machine has not done so yet.

    ``uri`` is ``scheme`` or ``scheme:argument`` of SOURCES. With a ``fingerprint`` that the cache holds, the source is
    not looked at: a planned study goes on with the data that it was planned with, whatever became of the source.
    ``decoding`` is the version of the rules that the study was planned with, by default today's. Raises FaultsError
    with every fault of the source, or where its content has another fingerprint than the one given or cannot be had as
    those rules decode it, or if the cache cannot be written.
    """
    decoding = cache.CACHE_VERSION if decoding is None else decoding
    if fingerprint is None:
        return _opened(open_source(uri), uri, size_px, decoding)
    found = cache.find(fingerprint, size_px, decoding)
    if found is not None:
        return _dataset(uri, found)
    source = _source_of_planned(uri, size_px)
    if not source.faults and source.fingerprint != fingerprint:
        raise FaultsError(
            [
                f"data {uri!r} has changed since the study was planned: its fingerprint is {source.fingerprint}, but "
                f"must be {fingerprint}; restore the data, or start a new study with it"
            ]
        )
    return _opened(source, uri, size_px, decoding)


def _source_of_planned(uri: str, size_px: int) -> Source:
    try:
        return open_source(uri)
    except FaultsError as error:
        needed = (
            f"the study's data is not decoded at {size_px} px in this machine's cache, {cache.cache_folder()}, and so "
            f"must be at {uri!r}; put it there, or go on with --resume and where it is now as --data"
        )
        raise FaultsError([needed, *error.faults]) from error


def _opened(source: Source, uri: str, size_px: int, decoding: int) -> Dataset:
    # A source with faults has no content to name: building it only gathers the undecodable pictures' faults too.
    found = None if source.faults else cache.find(source.fingerprint, size_px, decoding)
    if found is None:
        if source.faults or cache.find(source.fingerprint, size_px) is None:
            cache.build(source, size_px)
        found = cache.find(source.fingerprint, size_px, decoding)
    if found is None:
        raise FaultsError(
            [
                f"the study was planned with {uri!r} as version {decoding} of the decoding rules has it, but this is "
                f"version {cache.CACHE_VERSION}, which decodes some of these pictures otherwise; start a new study, or "
                f"bring {cache.folder_of(source.fingerprint, size_px, decoding).name} from the cache of a machine that "
                f"has it to {cache.cache_folder()}"
            ]
        )
    return _dataset(uri, found)


def prepare_dataset(uri: str, config: TclConfig, planned: Mapping[str, Any] | None = None) -> DatasetSummary:
    """Check a study's data and decode it for its trials, before any of them starts.

    Pictures take ``config.data.size_px``. ``planned`` is what a study that goes on recorded of its data: if that is
    decoded here, it need not be where it was. Raises FaultsError with every fault of data and data config at once.
    """
    uri = absolute(uri)
    cache.settle_folder()  # the driver's: its workers start elsewhere
    partial.sweep_left(cache.cache_folder())
    faults = []
    if config.data.crop_px >= config.data.size_px:
        faults.append(
            f"data.crop_px is {config.data.crop_px}, but must be below data.size_px, {config.data.size_px}: a larger "
            "shift leaves nothing of the picture"
        )
    try:
        dataset, reported = _planned_or_new(uri, config.data.size_px, planned)
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
        remarks=(*_remarks(dataset), *reported),
        decoding=cache.CACHE_VERSION if planned is None else planned["decoding"],
    )


def look_for_data(uri: str, planned: Mapping[str, Any]) -> None:
    """See whether this machine can have the data that was planned, without decoding any; raise FaultsError if not."""
    if "://" in uri or cache.has_any(planned["fingerprint"]):
        return  # what lies in a store would be copied from there, which takes its time
    source = open_source(uri)
    if not source.faults and source.fingerprint != planned["fingerprint"]:
        raise FaultsError([f"{uri!r} has other content here: its fingerprint is {source.fingerprint}"])


def _planned_or_new(uri: str, size_px: int, planned: Mapping[str, Any] | None) -> tuple[Dataset, list[str]]:
    """Open the data as it was planned, if it was, with remarks on the source; other content is opened as it is.

    A source that cannot be had does not matter if the data that was planned is decoded here.
    """
    known = {} if planned is None else {str(planned["fingerprint"]): int(planned["decoding"])}
    try:
        source = open_source(uri)
        dataset = _opened(source, uri, size_px, known.get(source.fingerprint, cache.CACHE_VERSION))
    except FaultsError as error:
        found = next((cache.find(fingerprint, size_px, decoding) for fingerprint, decoding in known.items()), None)
        if found is None:
            raise
        return _dataset(uri, found), [f"the study goes on with what is decoded here, since {error.faults[0]}"]
    tested, repeated = len(dataset.test.labels_N), len(source.repeated)
    reported = [f"{repeated} of {tested} test pictures are in train, too: test scores flatter"] if repeated else []
    return dataset, reported


def _remarks(dataset: Dataset) -> Iterator[str]:
    total = len(dataset.train.labels_N) + len(dataset.test.labels_N)
    for remark, count in dataset.remarks.items():
        yield f"{count} of {total} pictures {remark}"


def _count(split: Split, class_names: tuple[str, ...]) -> dict[str, int]:
    counts = np.bincount(split.labels_N, minlength=len(class_names))
    return {name: int(count) for name, count in zip(class_names, counts, strict=True)}


def _dataset(uri: str, decoded: cache.Decoded) -> Dataset:
    return Dataset(
        uri=uri,
        class_names=decoded.class_names,
        fingerprint=decoded.fingerprint,
        size_px=decoded.size_px,
        train=decoded.train,
        test=decoded.test,
        remarks=decoded.remarks,
    )
