"""Opening data: every fault at once, decoded once, rebuilt when a byte changes, whole under concurrency."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from PIL import Image

from ablation import study_file
from ablation.engine import driver
from ablation.execution import run_prepared
from ablation.faults import FaultsError
from ablation.paths import RunPaths
from ablation.planning.planned_run import plan_run
from ablation.planning.request import Request, check_request
from ablation.resources import Resources
from ablation.study_file import StudyFile
from ablation.tcl.config import Data, TclConfig
from ablation.tcl.data import cache, partial
from ablation.tcl.data.dataset import DatasetSummary, open_dataset, prepare_dataset
from ablation.tcl.data.source import Source, SourcePart
from ablation.tcl.data.uris import open_source

CONFIG = TclConfig(data=Data(size_px=16))
# Two pictures of each class in train, one in test.
LINES = [f"train_{index:05d}.jpg {(index - 1) % 7 + 1}" for index in range(1, 15)]
LINES += [f"test_{index:04d}.jpg {index}" for index in range(1, 8)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("ABLATION_CACHE", str(folder))
    return folder


def write_rafdb(folder: Path, lines: list[str], without: tuple[str, ...] = ()) -> Path:
    (folder / "EmoLabel").mkdir(parents=True)
    (folder / "Image" / "aligned").mkdir(parents=True)
    (folder / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines) + "\n")
    for number, line in enumerate(lines):
        name = line.split()[0] if line.split() else ""
        if name.endswith(".jpg") and name not in without:
            Image.new("RGB", (20, 20), (number * 9 % 256, 100, 50)).save(aligned(folder, name), quality=95)
    return folder


def aligned(folder: Path, name: str) -> Path:
    return folder / "Image" / "aligned" / name.replace(".jpg", "_aligned.jpg")


@pytest.fixture
def raf(tmp_path: Path) -> Path:
    return write_rafdb(tmp_path / "raf", LINES)


def faults_of(uri: str) -> tuple[str, ...]:
    with pytest.raises(FaultsError) as error:
        prepare_dataset(uri, CONFIG)
    return error.value.faults


def folders(root: Path) -> list[str]:
    return sorted(entry.name for entry in root.iterdir()) if root.exists() else []


def test_rafdb_is_read_with_labels_from_zero_and_the_right_colours(raf: Path) -> None:
    summary = prepare_dataset(f"rafdb:{raf}", CONFIG)
    assert (summary.train_count, summary.test_count) == (14, 7)
    assert summary.train_per_class == dict.fromkeys(summary.class_names, 2)
    assert summary.class_names[0] == "Surprise"
    opened = open_dataset(f"rafdb:{raf}", 16, fingerprint=summary.fingerprint)
    assert opened.train.names[8] == "train_00009.jpg"
    assert opened.train.labels_N[8] == 1
    assert opened.train.images_NHWC.shape == (14, 16, 16, 3)
    # The ninth line's picture is plain (72, 100, 50); JPEG moves a plain colour by a step or two.
    assert np.abs(opened.train.images_NHWC[8].astype(int) - [72, 100, 50]).max() <= 3


def test_pictures_are_memory_mapped_and_read_only(raf: Path) -> None:
    images = open_dataset(f"rafdb:{raf}", 16).train.images_NHWC
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0, 0, 0, 0] = 1


def test_grey_and_larger_pictures_become_rgb_of_the_asked_size(raf: Path) -> None:
    Image.linear_gradient("L").save(aligned(raf, "train_00001.jpg"), quality=95)
    image = open_dataset(f"rafdb:{raf}", 16).train.images_NHWC[0].astype(int)
    assert np.ptp(image, axis=2).max() == 0
    # A ramp of 256 rows averaged down to 16: each row stands for 16 values.
    np.testing.assert_allclose(image[2:-2, 8, 0], np.arange(2, 14) * 16 + 7.5, atol=2)


def test_all_faults_are_told_in_one_error(tmp_path: Path) -> None:
    lines = [*LINES, "train_00099.jpg", "train_00098.jpg 8", "val_00001.jpg 3", "train_00097.jpg 2", LINES[0]]
    folder = write_rafdb(tmp_path / "raf", lines, without=("train_00097.jpg",))
    aligned(folder, "train_00003.jpg").write_bytes(b"no picture")
    whole = aligned(folder, "test_0002.jpg").read_bytes()
    aligned(folder, "test_0002.jpg").write_bytes(whole[: len(whole) // 2])
    faults = faults_of(f"rafdb:{folder}")
    assert len(faults) == 7
    reported = "\n".join(faults)
    for words in (
        "line 22 is 'train_00099.jpg', but must be a file name and a label",
        "line 23 labels train_00098.jpg '8', but must be one of 1 Surprise",
        "line 24 names 'val_00001.jpg', but must start with 'train_' or 'test_'",
        "line 25 names train_00097.jpg, but Image/aligned/train_00097_aligned.jpg is not there",
        "line 26 names train_00001.jpg again, after line 1",
        "train_00003_aligned.jpg cannot be decoded",
        "test_0002_aligned.jpg cannot be decoded",
    ):
        assert words in reported


def test_a_photograph_that_cannot_be_read_is_a_fault_by_name(raf: Path) -> None:
    aligned(raf, "test_0004.jpg").unlink()
    aligned(raf, "test_0004.jpg").mkdir()
    (fault,) = faults_of(f"rafdb:{raf}")
    assert "test_0004_aligned.jpg cannot be decoded" in fault
    assert "directory" in fault


def test_many_faults_of_a_kind_are_abridged_after_ten(tmp_path: Path) -> None:
    folder = write_rafdb(tmp_path / "raf", [*LINES, *(f"train_1{index:04d}.jpg 9" for index in range(13))])
    faults = faults_of(f"rafdb:{folder}")
    assert len(faults) == 11
    assert faults[-1] == "… and 3 more labels out of range"


def test_an_empty_part_is_a_fault(tmp_path: Path) -> None:
    folder = write_rafdb(tmp_path / "raf", LINES[:14])
    assert len(faults_of(f"rafdb:{folder}")) == 1
    assert "lists no usable test picture" in faults_of(f"rafdb:{folder}")[0]


@pytest.mark.parametrize("name", ["../secret.jpg 1", "train_1/x.jpg 1", "train_1\\x.jpg 1"])
def test_a_name_that_leaves_the_folder_is_malformed(tmp_path: Path, name: str) -> None:
    (tmp_path / "raf" / "Image" / "aligned" / "train_1").mkdir(parents=True)
    folder = tmp_path / "raf"
    (folder / "EmoLabel").mkdir()
    (folder / "EmoLabel" / "list_patition_label.txt").write_text(name)
    assert "but must be a file name and a label" in faults_of(f"rafdb:{folder}")[0]


def test_a_missing_folder_and_a_wrong_layout_say_what_is_expected_and_what_is_there(tmp_path: Path) -> None:
    assert "does not exist" in faults_of(f"rafdb:{tmp_path / 'nowhere'}")[0]
    assert "a folder must follow the colon" in faults_of("rafdb:")[0]
    (tmp_path / "repack" / "train").mkdir(parents=True)
    fault = faults_of(f"rafdb:{tmp_path / 'repack'}")[0]
    assert "no EmoLabel/list_patition_label.txt and no Image/aligned/" in fault
    assert "it has train/" in fault


def test_an_unknown_scheme_is_a_fault_with_the_nearest_known() -> None:
    assert "did you mean 'rafdb'? known: fer2013, folder, rafdb, synthetic" in faults_of("raf-db:/data")[0]


def test_faults_of_config_and_data_come_together() -> None:
    with pytest.raises(FaultsError) as error:
        prepare_dataset("sythetic", TclConfig(data=Data(size_px=16, crop_px=16)))
    assert len(error.value.faults) == 2


def test_a_cached_data_set_opens_without_its_source(raf: Path) -> None:
    fingerprint = prepare_dataset(f"rafdb:{raf}", CONFIG).fingerprint
    raf.rename(raf.with_name("gone"))
    opened = open_dataset(f"rafdb:{raf}", 16, fingerprint=fingerprint)
    assert len(opened.train.labels_N) == 14


def test_nothing_is_decoded_twice(raf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_dataset(f"rafdb:{raf}", 16)

    def refuse(source: Source, size_px: int) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(cache, "build", refuse)
    again = open_dataset(f"rafdb:{raf}", 16)
    assert again.train.images_NHWC is first.train.images_NHWC
    with pytest.raises(AssertionError, match="decoded again"):
        open_dataset(f"rafdb:{raf}", 17)


def test_one_changed_byte_of_one_picture_gives_another_fingerprint(raf: Path, own_cache: Path) -> None:
    before = prepare_dataset(f"rafdb:{raf}", CONFIG)
    path = aligned(raf, "test_0003.jpg")
    content = bytearray(path.read_bytes())
    # The JFIF density, which moves no pixel: content is bytes, not looks.
    content[15] ^= 1
    path.write_bytes(content)
    after = prepare_dataset(f"rafdb:{raf}", CONFIG)
    assert after.fingerprint != before.fingerprint
    assert len(folders(own_cache)) == 2


def test_one_changed_byte_is_one_changed_value_in_a_cache_of_its_own(raf: Path) -> None:
    """Bitmaps keep a byte for each colour of each pixel, whatever the file is called: the last is the top right's."""
    path = aligned(raf, "train_00002.jpg")
    Image.new("RGB", (16, 16), (1, 2, 3)).save(path, format="BMP")
    before = prepare_dataset(f"rafdb:{raf}", CONFIG).fingerprint
    path.write_bytes(path.read_bytes()[:-1] + b"\x99")
    after = prepare_dataset(f"rafdb:{raf}", CONFIG).fingerprint
    old, new = (open_dataset(f"rafdb:{raf}", 16, fingerprint=digest) for digest in (before, after))
    assert np.argwhere(old.train.images_NHWC != new.train.images_NHWC).tolist() == [[1, 0, 15, 0]]
    assert new.train.images_NHWC[1, 0, 15].tolist() == [0x99, 2, 3]


def test_a_planned_study_goes_on_with_the_data_it_was_planned_with_or_not_at_all(raf: Path, own_cache: Path) -> None:
    planned = prepare_dataset(f"rafdb:{raf}", CONFIG).fingerprint
    old = open_dataset(f"rafdb:{raf}", 16).train.images_NHWC.copy()
    Image.new("RGB", (20, 20)).save(aligned(raf, "train_00001.jpg"))
    np.testing.assert_array_equal(open_dataset(f"rafdb:{raf}", 16, fingerprint=planned).train.images_NHWC, old)
    shutil.rmtree(own_cache)
    with pytest.raises(FaultsError, match="has changed since the study was planned"):
        open_dataset(f"rafdb:{raf}", 16, fingerprint=planned)


def test_a_changed_label_gives_another_fingerprint_and_a_moved_folder_does_not(raf: Path, tmp_path: Path) -> None:
    before = prepare_dataset(f"rafdb:{raf}", CONFIG).fingerprint
    moved = raf.rename(tmp_path / "moved")
    assert prepare_dataset(f"rafdb:{moved}", CONFIG).fingerprint == before
    labels = moved / "EmoLabel" / "list_patition_label.txt"
    labels.write_text(labels.read_text().replace("train_00001.jpg 1", "train_00001.jpg 2"))
    assert prepare_dataset(f"rafdb:{moved}", CONFIG).fingerprint != before


def test_data_that_changed_since_the_plan_is_refused_where_it_is_not_cached(raf: Path, own_cache: Path) -> None:
    with pytest.raises(FaultsError, match="has changed since the study was planned"):
        open_dataset(f"rafdb:{raf}", 16, fingerprint="0" * 32)
    assert folders(own_cache) == []


def test_a_failed_build_leaves_nothing(raf: Path, own_cache: Path) -> None:
    aligned(raf, "test_0007.jpg").write_bytes(b"")
    faults_of(f"rafdb:{raf}")
    assert folders(own_cache) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_at_the_last_moment_is_a_fault_and_leaves_nothing(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(cache, "sync_folder", full)
    (fault,) = faults_of("synthetic")
    assert f"the disk of the cache folder {own_cache} is full ({os.strerror(number)})" in fault
    assert folders(own_cache) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 256 KiB; the test that asks for it is skipped where that is not permitted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk cannot be mounted here: {getattr(error, 'stderr', '') or error}")
    yield folder
    # Lazily: a test's frame may still hold memory maps of files there.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_told_on_the_command_line_and_leaves_nothing(
    raf: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """21 pictures of 512² pixels in three colours are 15.75 MiB; a whole small cache fits before and after."""
    monkeypatch.setenv("ABLATION_CACHE", str(small_disk / "cache"))
    fingerprint = prepare_dataset(f"rafdb:{raf}", CONFIG).fingerprint
    before = folders(small_disk / "cache")
    with pytest.raises(FaultsError) as error:
        check_request(Request("tcl", data=f"rafdb:{raf}", settings=("data.size_px=512",)), gpus=0)
    assert error.value.faults == (
        f"the disk of the cache folder {small_disk / 'cache'} is full (No space left on device), but 21 pictures "
        "decoded at 512 px take 16 MiB there; make room, or set ABLATION_CACHE to a folder on another disk",
    )
    assert folders(small_disk / "cache") == before
    cache._load.cache_clear()
    assert len(open_dataset(f"rafdb:{raf}", 16, fingerprint=fingerprint).train.labels_N) == 14


def test_a_disk_with_room_for_the_pictures_alone_leaves_no_cache_without_labels(
    raf: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is written may be what no longer fits: whatever room is left, the cache is whole or not there."""
    monkeypatch.setenv("ABLATION_CACHE", str(small_disk / "cache"))
    source = open_source(f"rafdb:{raf}")
    outcomes = []
    for pages in range(40, 56):
        (small_disk / "other").write_bytes(bytes(4096 * pages))
        try:
            cache.build(source, 32)
        except FaultsError as error:
            assert "is full" in str(error)
            assert folders(small_disk / "cache") == []
            outcomes.append("refused")
        else:
            (built,) = (small_disk / "cache").iterdir()
            assert np.load(built / "test_images.npy").shape == (7, 32, 32, 3)
            assert json.loads((built / "about.json").read_text())["test_names"] == list(source.test.names)
            shutil.rmtree(built)
            outcomes.append("built")
    assert (outcomes[0], outcomes[-1]) == ("built", "refused")
    assert outcomes == sorted(outcomes)


def test_a_cache_folder_that_cannot_be_made_is_told_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for folder, why in ((tmp_path / "file", "File exists"), (tmp_path / "file" / "cache", "Not a directory")):
        monkeypatch.setenv("ABLATION_CACHE", str(folder))
        (fault,) = faults_of("synthetic")
        assert fault == (
            f"the cache folder {folder} cannot be written ({why}), but decoded pictures are kept there; "
            "allow writing, or set ABLATION_CACHE to a folder that can be written"
        )


def test_faults_of_the_source_are_told_beside_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ABLATION_CACHE", str(tmp_path / "file"))
    folder = write_rafdb(tmp_path / "raf", [*LINES, "train_00098.jpg 8"])
    assert [("labels train_00098.jpg" in fault, "cache folder" in fault) for fault in faults_of(f"rafdb:{folder}")] == [
        (True, False),
        (False, True),
    ]


def test_a_damaged_cache_says_which_folder_to_delete(raf: Path, own_cache: Path) -> None:
    fingerprint = prepare_dataset(f"rafdb:{raf}", CONFIG).fingerprint
    cache._load.cache_clear()
    (damaged,) = own_cache.iterdir()
    images = damaged / "train_images.npy"
    images.write_bytes(images.read_bytes()[:-100])
    with pytest.raises(FaultsError, match=r"damaged.*delete that folder") as error:
        open_dataset(f"rafdb:{raf}", 16, fingerprint=fingerprint)
    assert str(damaged) in str(error.value)


def test_a_photograph_that_changes_between_fingerprint_and_decoding_is_caught(raf: Path) -> None:
    source = open_source(f"rafdb:{raf}")
    Image.new("RGB", (20, 20)).save(aligned(raf, "train_00002.jpg"))
    with pytest.raises(FaultsError, match=r"train_00002_aligned\.jpg changed while it was being read"):
        cache.build(source, 16)


def test_whoever_finishes_second_keeps_the_first_ones_data(own_cache: Path) -> None:
    """The other process finishes while this one is in the middle of decoding."""
    labels_N = np.array([0, 1])

    def decode(size_px: int, remarks: Counter[str]) -> Iterator[np.ndarray]:
        if not nested:
            nested.append(True)
            cache.build(source, size_px)
        yield np.full((2, size_px, size_px, 3), 5, np.uint8)

    nested: list[bool] = []
    part = SourcePart(labels_N, ("a", "b"), decode)
    source = Source(("left", "right"), "f" * 32, part, part)
    cache.build(source, 16)
    assert folders(own_cache) == [f"v{cache.CACHE_VERSION}-{'f' * 32}-16px"]
    found = cache.find("f" * 32, 16)
    assert found is not None
    assert (found.train.images_NHWC == 5).all()


OPENER = """
import sys
from ablation.tcl.data.dataset import open_dataset
print("ready", flush=True)
sys.stdin.readline()
opened = open_dataset(sys.argv[1], 16)
print(opened.fingerprint, opened.train.images_NHWC.sum().item())
"""


def test_two_processes_that_build_at_once_both_end_right(raf: Path, own_cache: Path) -> None:
    uri = f"rafdb:{raf}"
    command = [sys.executable, "-c", OPENER, uri]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    # Both have imported everything before either begins.
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    reported = [worker.communicate(timeout=60)[0].split() for worker in workers]
    opened = open_dataset(uri, 16)
    assert reported == [[opened.fingerprint, str(opened.train.images_NHWC.sum())]] * 2
    assert [worker.returncode for worker in workers] == [0, 0]
    assert len(folders(own_cache)) == 1


def test_the_cache_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.cache_folder() == Path(os.environ["ABLATION_CACHE"])
    monkeypatch.delenv("ABLATION_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.cache_folder() == Path("/somewhere/ablation")
    monkeypatch.setenv("XDG_CACHE_HOME", "~/c")
    assert cache.cache_folder() == Path.home() / "c/ablation"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.cache_folder() == Path.home() / ".cache" / "ablation"


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        ("ABLATION_CACHE", "own", "own"),
        ("XDG_CACHE_HOME", "shared", "shared/ablation"),
        ("XDG_CACHE_HOME", "~/c", "home/c/ablation"),
    ],
)
def test_workers_in_other_folders_find_what_the_driver_decoded(
    raf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, given: str, meant: str
) -> None:
    """A worker is a process that has the driver's environment and another folder."""
    monkeypatch.delenv("ABLATION_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(name, given)
    monkeypatch.chdir(tmp_path)
    planned = prepare_dataset(f"rafdb:{raf}", CONFIG)
    assert folders(tmp_path / meant) == [f"v{cache.CACHE_VERSION}-{planned.fingerprint}-16px"]
    (tmp_path / "elsewhere").mkdir()
    ask = "from ablation.tcl.data import cache; print(cache.cache_folder())"
    environment = {**os.environ, "PYTHONPATH": str(Path(cache.__file__).parents[3])}
    reported = subprocess.run(
        [sys.executable, "-c", ask], cwd=tmp_path / "elsewhere", env=environment, capture_output=True, text=True
    ).stdout
    assert reported == f"{tmp_path / meant}\n"


def test_what_a_killed_decode_left_is_swept_and_what_a_living_one_writes_is_not(own_cache: Path) -> None:
    own_cache.mkdir(exist_ok=True)
    dead, alive, young, old = (own_cache / f".v2-{name}-16px.x.partial" for name in ("dead", "alive", "young", "old"))
    for folder in (dead, alive, young, old):
        folder.mkdir()
    (dead / partial.LOCK).touch()
    os.utime(old, (0, 0))
    with (alive / partial.LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        partial.sweep_left(own_cache)
    assert {path for path in own_cache.iterdir() if path.suffix == ".partial"} == {alive, young}


@pytest.mark.parametrize("is_swept", [True, False], ids=["swept", "about to be swept"])
def test_a_folder_that_a_sweep_takes_before_it_is_locked_is_given_up_for_another(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, is_swept: bool
) -> None:
    """Another process sweeps between the moments when a writer opens its lock and takes it."""
    real, others = fcntl.flock, list[BinaryIO]()

    def flock(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        if is_swept:
            partial.sweep_left(own_cache)
            assert folders(own_cache) == []
        else:
            (lock,) = own_cache.glob(f".*.partial/{partial.LOCK}")
            others.append(lock.open("rb"))
            fcntl.flock(others[0], fcntl.LOCK_EX)
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with partial.becoming(own_cache / "place") as folder:
        (folder / "whole").touch()
    for other in others:
        other.close()
    partial.sweep_left(own_cache)
    assert folders(own_cache) == ["place"]
    assert folders(own_cache / "place") == ["whole"]


def test_what_a_killed_decode_left_is_swept_though_nothing_is_decoded(raf: Path, own_cache: Path) -> None:
    prepare_dataset(f"rafdb:{raf}", CONFIG)
    dead = own_cache / ".v1-dead-16px.x.partial"
    dead.mkdir()
    (dead / partial.LOCK).touch()
    prepare_dataset(f"rafdb:{raf}", CONFIG)
    assert not dead.exists()


@pytest.fixture
def pics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of two grey pictures in either part, in the folder where the test runs."""
    for part, class_name, shade in product(("train", "test"), ("a", "b"), (0, 200)):
        folder = tmp_path / "here/pics" / part / class_name
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 16), shade + (part == "test") + 2 * (class_name == "b")).save(folder / f"{shade}.png")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here/pics"


def test_a_planned_study_goes_on_where_its_data_is_decoded_though_the_folder_is_gone(pics: Path) -> None:
    planned = prepare_dataset("folder:pics", CONFIG)
    assert planned.uri == f"folder:{pics}"
    pics.rename(pics.with_name("moved"))
    with pytest.raises(FaultsError, match="does not exist"):
        prepare_dataset("folder:pics", CONFIG)
    again = prepare_dataset("folder:pics", CONFIG, planned.model_dump())
    assert again.model_copy(update={"remarks": ()}) == planned
    assert [
        ("goes on with what is decoded here" in reported, "does not exist" in reported) for reported in again.remarks
    ] == [(True, True)]
    assert prepare_dataset("folder:moved", CONFIG).fingerprint == planned.fingerprint
    (pics.with_name("moved") / "train/a/0.png").unlink()
    assert prepare_dataset("folder:moved", CONFIG, planned.model_dump()).fingerprint != planned.fingerprint


def test_a_planned_study_goes_on_where_its_data_is_decoded_though_a_picture_is_broken(pics: Path) -> None:
    planned = prepare_dataset("folder:pics", CONFIG)
    (pics / "test/b/200.png").write_bytes(b"")
    again = prepare_dataset("folder:pics", CONFIG, planned.model_dump())
    assert again.fingerprint == planned.fingerprint
    assert "200.png cannot be decoded" in again.remarks[0]
    with pytest.raises(FaultsError, match=r"200\.png cannot be decoded"):
        prepare_dataset("folder:pics", TclConfig(data=Data(size_px=17)), planned.model_dump())


def test_a_trial_whose_data_moved_and_is_not_decoded_at_its_size_says_what_it_needs(pics: Path) -> None:
    planned = prepare_dataset("folder:pics", CONFIG)
    pics.rename(pics.with_name("moved"))
    with pytest.raises(FaultsError) as error:
        open_dataset(planned.uri, 17, fingerprint=planned.fingerprint, decoding=planned.decoding)
    needed, cause = error.value.faults
    assert "is not decoded at 17 px in this machine's cache" in needed and f"must be at {planned.uri!r}" in needed
    assert "does not exist" in cause


def as_decoded_by_version_1(planned: DatasetSummary, own_cache: Path) -> dict[str, Any]:
    """Turn what is decoded, and a study's record of it, into what version 1 left: other pixels, no remarks."""
    (now,) = own_cache.iterdir()
    old = now.rename(own_cache / f"v1-{planned.fingerprint}-16px")
    images = np.load(old / "train_images.npy")
    np.save(old / "train_images.npy", 255 - images)
    about = json.loads((old / "about.json").read_text())
    del about["remarks"]
    cache._load.cache_clear()
    (old / "about.json").write_text(json.dumps(about))
    return {**planned.model_dump(), "decoding": 1}


def test_a_study_keeps_the_decoding_it_was_planned_with(pics: Path, own_cache: Path) -> None:
    Image.new("RGBA", (16, 16), (9, 9, 9, 0)).save(pics / "train/a/0.png")
    planned = prepare_dataset("folder:pics", CONFIG)
    record = as_decoded_by_version_1(planned, own_cache)
    assert record["decoding"] in cache.OLDER_VERSIONS
    assert prepare_dataset("folder:pics", CONFIG).decoding == cache.CACHE_VERSION  # another study's, beside it
    assert len(folders(own_cache)) == 2
    assert prepare_dataset("folder:pics", CONFIG, record).decoding == 1
    old, new = (
        open_dataset(planned.uri, 16, fingerprint=planned.fingerprint, decoding=version).train.images_NHWC
        for version in (1, cache.CACHE_VERSION)
    )
    assert np.array_equal(old, 255 - new)


def test_a_decoding_that_is_neither_here_nor_made_any_more_is_refused(pics: Path, own_cache: Path) -> None:
    Image.new("RGBA", (16, 16), (9, 9, 9, 0)).save(pics / "train/a/0.png")
    planned = prepare_dataset("folder:pics", CONFIG)
    for version in (1, cache.CACHE_VERSION + 1):
        record = {**planned.model_dump(), "decoding": version}
        for refused in (
            lambda record=record: prepare_dataset("folder:pics", CONFIG, record),
            lambda version=version: open_dataset(planned.uri, 16, fingerprint=planned.fingerprint, decoding=version),
        ):
            with pytest.raises(FaultsError) as error:
                refused()
            (fault,) = error.value.faults
            assert f"as version {version} of the decoding rules has it" in fault
            assert "start a new study, or bring" in fault and f"v{version}-{planned.fingerprint}-16px" in fault


def test_pictures_that_all_versions_decode_alike_serve_an_older_study(pics: Path) -> None:
    planned = prepare_dataset("folder:pics", CONFIG)
    for version in cache.OLDER_VERSIONS:
        found = open_dataset(planned.uri, 16, fingerprint=planned.fingerprint, decoding=version)
        assert found.train.images_NHWC[:, 0, 0, 0].tolist() == [0, 200, 2, 202]


@pytest.mark.parametrize(
    ("record", "decoding"),
    [({"uri": "u"}, 1), ({"uri": "u", "remarks": []}, 2), ({"uri": "u", "remarks": [], "decoding": 3}, 3)],
)
def test_a_study_from_before_the_decoding_was_recorded_is_known_by_its_record(
    record: dict[str, Any], decoding: int
) -> None:
    example = study_file.read(RunPaths(Path(__file__).parents[2] / "docs/example"))
    assert example.data_decoding == 1
    study = example.model_copy(update={"data": record})
    assert study.data_decoding == decoding
    assert study.planned_data == {**record, "decoding": decoding}


class SweptError(Exception):
    """What a sweep in these tests ends with: the study as it got it."""

    def __init__(self, file: StudyFile) -> None:
        self.file = file


def test_a_resumed_study_reads_its_data_where_it_is_now_as_it_was_planned(
    pics: Path, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sweep(file: StudyFile, *_: object, **__: object) -> None:
        raise SweptError(file)

    def swept(data: str, *, resume: bool) -> dict[str, Any]:
        asked = Request("tcl", data=data, settings=("data.size_px=16",))
        study = plan_run(asked, "mine", tmp_path, Resources(), resume)
        with pytest.raises(SweptError) as swept:
            run_prepared(study, report=False)
        assert swept.value.file.data is not None
        return swept.value.file.data

    monkeypatch.setattr(driver, "sweep", sweep)
    planned = swept("folder:pics", resume=False)
    assert planned["decoding"] == cache.CACHE_VERSION
    moved = pics.rename(tmp_path / "moved")
    assert swept(f"folder:{moved}", resume=True) == {**planned, "uri": f"folder:{moved}"}
    Image.new("L", (16, 16), 7).save(moved / "train/a/0.png")
    with pytest.raises(FaultsError, match="the data differ from the run's own, or their content has changed"):
        swept(f"folder:{moved}", resume=True)
    assert study_file.read(RunPaths(tmp_path / "mine")).data == planned
