"""A folder per class: classes by name, RAF-DB's re-pack as RAF-DB itself, every fault at once, fingerprints."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from ablation.faults import FaultsError
from ablation.tcl.config import Data, TclConfig
from ablation.tcl.data.cache import Split
from ablation.tcl.data.dataset import DatasetSummary, open_dataset, prepare_dataset
from ablation.tcl.data.uris import open_source

CONFIG = TclConfig(data=Data(size_px=16))
RAF_NAMES = ("Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ABLATION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def picture(path: Path, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (16, 16), grey).save(path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two parts of three classes, not made in alphabetical order; file names repeat across classes."""
    root = tmp_path / "tree"
    for index, name in enumerate(("sad", "angry", "happy")):
        for part in ("test", "train"):
            for number in (2, 1):
                picture(root / part / name / f"im{number}.png", 10 * index + number + 100 * (part == "test"))
    return root


def prepare(root: Path) -> DatasetSummary:
    return prepare_dataset(f"folder:{root}", CONFIG)


def faults_of(uri: str | Path) -> tuple[str, ...]:
    with pytest.raises(FaultsError) as error:
        prepare_dataset(uri if isinstance(uri, str) else f"folder:{uri}", CONFIG)
    return error.value.faults


def test_classes_are_the_folders_names_and_pictures_keep_their_labels(tree: Path) -> None:
    summary = prepare(tree)
    assert summary.class_names == ("angry", "happy", "sad")
    assert summary.train_per_class == summary.test_per_class == {"angry": 2, "happy": 2, "sad": 2}
    opened = open_dataset(f"folder:{tree}", 16)
    assert opened.train.names == tuple(f"{name}/im{n}.png" for name in ("angry", "happy", "sad") for n in (1, 2))
    assert opened.train.images_NHWC[:, 3, 5, 1].tolist() == [11, 12, 21, 22, 1, 2]
    assert opened.test.images_NHWC[:, 0, 0, 2].tolist() == [111, 112, 121, 122, 101, 102]
    assert opened.test.labels_N.tolist() == [0, 0, 1, 1, 2, 2]


def rafdb_and_its_repack(tmp_path: Path) -> tuple[Path, Path]:
    official, repack = tmp_path / "official", tmp_path / "repack"
    lines = []
    for index in range(1, 29):
        part, label = ("train", "test")[index % 4 == 0], 7 - index % 7
        name = f"{part}_{index:05d}"
        lines.append(f"{name}.jpg {label}")
        picture(official / "Image" / "aligned" / f"{name}_aligned.jpg", 9 * index)
        (repack / part / str(label)).mkdir(parents=True, exist_ok=True)
        shutil.copy(official / "Image" / "aligned" / f"{name}_aligned.jpg", repack / part / str(label))
    (official / "EmoLabel").mkdir()
    (official / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines))
    return official, repack


def labelled(split: Split) -> dict[bytes, tuple[str, int]]:
    """List picture → official name and label; the re-pack calls pictures ``5/train_00001_aligned.jpg``."""
    stems = [Path(name).stem.removesuffix("_aligned") for name in split.names]
    contents = [image.tobytes() for image in split.images_NHWC]
    return dict(zip(contents, zip(stems, split.labels_N.tolist(), strict=True), strict=True))


def test_rafdb_and_its_repack_give_the_same_class_names_and_labels(tmp_path: Path) -> None:
    official, repack = rafdb_and_its_repack(tmp_path)
    first, second = open_dataset(f"rafdb:{official}", 16), open_dataset(f"folder:{repack}", 16)
    assert first.class_names == second.class_names == RAF_NAMES
    assert len(labelled(second.train)) == 21
    assert labelled(first.train) == labelled(second.train)
    assert labelled(first.test) == labelled(second.test)


def test_folders_one_to_eight_are_not_rafdbs(tmp_path: Path) -> None:
    _, repack = rafdb_and_its_repack(tmp_path)
    for part in ("train", "test"):
        picture(repack / part / "8" / "a.png", 1)
    assert prepare(repack).class_names == ("1", "2", "3", "4", "5", "6", "7", "8")


def test_leftovers_of_file_managers_and_hidden_files_are_passed_over(tree: Path) -> None:
    before = prepare(tree)
    for place in (tree, tree / "train", tree / "test" / "sad"):
        for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._im1.png"):
            (place / name).write_bytes(b"x")
        (place / "__MACOSX").mkdir()
    assert prepare(tree).model_dump() == before.model_dump()


def test_pictures_of_several_formats_are_read_whatever_the_case_of_their_endings(tree: Path) -> None:
    for name in ("a.JPG", "b.jpeg", "c.bmp", "d.webp", "e.Tiff"):
        picture(tree / "train" / "sad" / name, 50)
    assert prepare(tree).train_per_class["sad"] == 7


def test_all_faults_are_told_in_one_error(tree: Path) -> None:
    (tree / "train" / "sad").rename(tree / "train" / "Sad")
    picture(tree / "train" / "happy" / "more" / "im9.png", 9)
    (tree / "train" / "list.csv").write_text("im1.png,angry")
    (tree / "test" / "angry" / "notes.txt").write_text("blurred")
    (tree / "train" / "angry" / "im1.png").write_bytes(b"no picture")
    for part in ("train", "test"):
        (tree / part / "fear").mkdir()
    reported = faults_of(tree)
    assert len(reported) == 8
    for words in (
        f"{tree / 'train' / 'list.csv'} lies beside the class folders, but must lie in one",
        f"{tree / 'train' / 'happy' / 'more'} is a folder, but a class folder must hold pictures only",
        f"{tree / 'test' / 'angry' / 'notes.txt'} must be a picture, its name ending in one of .bmp, ",
        f"{tree / 'train' / 'fear'} has no pictures, but must have at least 1",
        f"{tree / 'test' / 'fear'} has no pictures, but must have at least 1",
        f"{tree / 'train'} has the class 'Sad', but {tree / 'test'} has not, and both must; add it to test",
        f"{tree / 'test'} has the class 'sad', but {tree / 'train'} has not, and both must; add it to train",
        f"{tree / 'train' / 'angry' / 'im1.png'} cannot be decoded (no known picture format)",
    ):
        assert sum(words in fault for fault in reported) == 1, words


def test_many_faults_of_a_kind_are_abridged_after_ten(tree: Path) -> None:
    for index in range(13):
        (tree / "train" / "sad" / f"{index}.txt").write_text("")
    reported = faults_of(tree)
    assert len(reported) == 11
    assert reported[-1] == "… and 3 more files that are no pictures"


def test_a_missing_part_says_what_is_there_and_comes_with_the_other_parts_faults(tree: Path) -> None:
    (tree / "test").rename(tree / "validation")
    (tree / "train" / "sad" / "a.txt").write_text("")
    missing, strange = sorted(faults_of(tree), key=lambda fault: "a.txt" in fault)
    assert f"{tree} has no test/, but must have train/ and test/" in missing
    assert "it has train/, validation/; give the folder that has both" in missing
    assert "a.txt must be a picture" in strange


def test_a_folder_that_is_none_or_of_another_layout_says_what_is_expected(tmp_path: Path) -> None:
    assert "a folder must follow the colon: the one that has train/ and test/" in faults_of("folder:")[0]
    assert "does not exist; give the one that has train/ and test/" in faults_of(tmp_path / "nowhere")[0]
    (tmp_path / "file").write_text("")
    assert "is not a directory" in faults_of(tmp_path / "file")[0]
    official, _ = rafdb_and_its_repack(tmp_path)
    (fault,) = faults_of(official)
    assert "has no train/ and no test/" in fault
    assert "it has EmoLabel/, Image/" in fault


def test_fewer_than_two_classes_are_a_fault(tree: Path) -> None:
    for part in ("train", "test"):
        shutil.rmtree(tree / part / "happy")
        shutil.rmtree(tree / part / "sad")
    assert [fault for fault in faults_of(tree) if "has 1 class, 'angry', but must have at least 2" in fault]
    for part in ("train", "test"):
        shutil.rmtree(tree / part / "angry")
    assert len(faults_of(tree)) == 1
    assert "has no class, but must have at least 2" in faults_of(tree)[0]


def test_a_name_that_is_no_utf8_is_a_fault_and_not_a_crash(tree: Path) -> None:
    try:
        (tree / "train" / "sad" / os.fsdecode(b"im\xff.png")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system keeps no such name")
    (fault,) = faults_of(tree)
    assert "must be UTF-8; rename it" in fault
    fault.encode()


def test_a_link_that_leads_nowhere_is_a_photograph_that_cannot_be_decoded(tree: Path) -> None:
    (tree / "train" / "sad" / "link.png").symlink_to(tree / "gone.png")
    (fault,) = faults_of(tree)
    assert "link.png cannot be decoded" in fault


def change_a_byte(root: Path) -> None:
    path = root / "test" / "sad" / "im1.png"
    content = bytearray(path.read_bytes())
    # Within the trailing chunk's checksum, which Pillow does not look at: content is bytes, not looks.
    content[-1] ^= 1
    path.write_bytes(content)


def rename_a_class(root: Path) -> None:
    # To a name of the same place in the alphabet, so that no label changes.
    for part in ("train", "test"):
        (root / part / "happy").rename(root / part / "joy")


def move_a_picture(root: Path) -> None:
    (root / "train" / "happy" / "im1.png").rename(root / "train" / "angry" / "im0.png")


def swap_two_classes(root: Path) -> None:
    for part in ("train", "test"):
        (root / part / "happy").rename(root / part / "x")
        (root / part / "sad").rename(root / part / "happy")
        (root / part / "x").rename(root / part / "sad")


@pytest.mark.parametrize("change", [change_a_byte, rename_a_class, move_a_picture, swap_two_classes])
def test_a_changed_byte_class_name_or_label_gives_another_fingerprint(
    tree: Path, own_cache: Path, change: Callable[[Path], None]
) -> None:
    before = prepare(tree)
    change(tree)
    after = prepare(tree)
    assert after.fingerprint != before.fingerprint
    assert len(list(own_cache.iterdir())) == 2
    # The study planned before goes on with what it was planned with.
    kept = open_dataset(f"folder:{tree}", 16, fingerprint=before.fingerprint)
    assert kept.class_names == ("angry", "happy", "sad")


def test_the_fingerprint_knows_neither_the_place_nor_the_order_on_disk(tree: Path, tmp_path: Path) -> None:
    before = prepare(tree)
    copy = tmp_path / "elsewhere" / "copy"
    for path in sorted(tree.rglob("*.png"), reverse=True):
        target = copy / path.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    assert prepare(copy).fingerprint == before.fingerprint


def test_the_order_in_which_a_disk_lists_files_does_not_count(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = prepare(tree)
    listed = os.scandir
    for reverse in (False, True):

        def scan(path: Path, reverse: bool = reverse) -> Iterator[os.DirEntry[str]]:
            return iter(sorted(listed(path), key=lambda entry: entry.name, reverse=reverse))

        monkeypatch.setattr(os, "scandir", scan)
        assert open_source(f"folder:{tree}").fingerprint == before.fingerprint
