"""Data in an object store: the same data as on the disk, copied once to a machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablation.faults import FaultsError
from ablation.store import StorePath, located, put_whole
from ablation.tcl.data.bucket import copied
from ablation.tcl.data.dataset import open_dataset
from ablation.tcl.data.uris import absolute
from tests.support.object_store import BUCKET, served, settings


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with served() as endpoint, pytest.MonkeyPatch.context() as patch:
        for name, value in settings(endpoint).items():
            patch.setenv(name, value)
        yield BUCKET


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ABLATION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_tree(root: Path) -> Path:
    for index, name in enumerate(("angry", "happy")):
        for part in ("train", "test"):
            for number in (1, 2):
                path = root / part / name / f"im{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (16, 16), 10 * index + number + 100 * (part == "test")).save(path)
    return root


def upload(folder: Path, address: str) -> str:
    for path in folder.rglob("*"):
        if path.is_file():
            put_whole(located(address) / path.relative_to(folder).as_posix(), path.read_bytes())
    return address


def test_data_in_a_bucket_is_that_of_the_disk(bucket: str, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")
    here, there = (open_dataset(f"folder:{where}", 16) for where in (tree, upload(tree, f"{bucket}/data/faces")))
    assert there.fingerprint == here.fingerprint and there.class_names == here.class_names
    for ours, theirs in ((there.train, here.train), (there.test, here.test)):
        np.testing.assert_array_equal(ours.images_NHWC, theirs.images_NHWC)
        assert ours.names == theirs.names


def test_a_machine_copies_once_and_again_when_something_changed(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = upload(write_tree(tmp_path / "tree"), f"{bucket}/data/changing")
    read = StorePath.read_bytes
    asked: list[str] = []

    def note(path: StorePath) -> bytes:
        asked.append(path.name)
        return read(path)

    monkeypatch.setattr(StorePath, "read_bytes", note)
    first = copied(address)
    assert len(asked) == 8 and copied(address) == first and len(asked) == 8
    put_whole(located(address) / "train/happy/im3.png", b"no picture")
    assert copied(address) != first and len(asked) == 17


def test_a_single_file_in_a_bucket_is_one_here(bucket: str) -> None:
    put_whole(located(f"{bucket}/data/faces.csv"), b"emotion,pixels\n")
    copy = copied(f"{bucket}/data/faces.csv")
    assert copy.name == "faces.csv" and copy.read_bytes() == b"emotion,pixels\n"


def test_what_is_not_there_is_said_and_an_address_stays_as_it_is(bucket: str) -> None:
    with pytest.raises(FaultsError, match=r"data 's3://studies/data/none' holds no files; give the address"):
        open_dataset(f"rafdb:{bucket}/data/none", 16)
    assert absolute(f"rafdb:{bucket}/data/faces") == f"rafdb:{bucket}/data/faces"
