"""FER-2013's CSV: labels, parts and pixels as the file has them, faults with their lines, the file's fingerprint."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from ablation.faults import FaultsError
from ablation.tcl.config import Data, TclConfig
from ablation.tcl.data.dataset import open_dataset, prepare_dataset

CONFIG = TclConfig(data=Data(size_px=48))
HEADER = "emotion,pixels,Usage"
NAMES = ("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral")
# Every second picture is train, every fourth is test, every fourth is neither.
USAGES = ("Training", "PublicTest", "Training", "PrivateTest")
COUNT = 28


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ABLATION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module", name="pictures_NHW")
def noise() -> npt.NDArray[np.uint8]:
    """Noise with both ends of the range in every picture."""
    pictures = np.random.default_rng(5).integers(0, 256, (COUNT, 48, 48), dtype=np.uint8)
    pictures[:, 0, 0], pictures[:, -1, -1] = 0, 255
    return pictures


@pytest.fixture
def lines(pictures_NHW: npt.NDArray[np.uint8]) -> list[str]:
    """The file's lines; picture i is in line i + 2."""
    rows = [" ".join(map(str, picture.ravel().tolist())) for picture in pictures_NHW]
    return [HEADER, *(f"{index % 7},{row},{USAGES[index % 4]}" for index, row in enumerate(rows))]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[list[str]], str]:
    """Write lines to a file and return what it opens as."""

    def write_lines(lines: list[str]) -> str:
        (tmp_path / "fer2013.csv").write_text("\n".join(lines) + "\n")
        return f"fer2013:{tmp_path / 'fer2013.csv'}"

    return write_lines


Write = Callable[[list[str]], str]


def faults_of(uri: str) -> tuple[str, ...]:
    with pytest.raises(FaultsError) as error:
        prepare_dataset(uri, CONFIG)
    return error.value.faults


def with_pixels(line: str, pixels: Callable[[list[str]], list[str]]) -> str:
    emotion, row, usage = line.split(",")
    return ",".join((emotion, " ".join(pixels(row.split(" "))), usage))


def test_training_is_train_private_is_test_and_public_is_unused(
    write: Write, lines: list[str], pictures_NHW: npt.NDArray[np.uint8]
) -> None:
    uri = write(lines)
    summary = prepare_dataset(uri, CONFIG)
    assert summary.class_names == NAMES
    assert (summary.train_count, summary.test_count) == (14, 7)
    opened = open_dataset(uri, 48)
    for split, chosen in (
        (opened.train, [index for index in range(COUNT) if index % 2 == 0]),
        (opened.test, [index for index in range(COUNT) if index % 4 == 3]),
    ):
        assert split.labels_N.tolist() == [index % 7 for index in chosen]
        assert split.names == tuple(f"line_{index + 2}" for index in chosen)
        # All three colours are the grey of the file, at the file's own size to the bit.
        for colour in range(3):
            np.testing.assert_array_equal(split.images_NHWC[..., colour], pictures_NHW[chosen])


@pytest.mark.parametrize("size_px", [16, 100])
def test_pictures_are_resized_as_photographs_in_files_are(
    write: Write, lines: list[str], pictures_NHW: npt.NDArray[np.uint8], tmp_path: Path, size_px: int
) -> None:
    for part, usage in (("train", "Training"), ("test", "PrivateTest")):
        for index in (index for index in range(COUNT) if USAGES[index % 4] == usage):
            path = tmp_path / "tree" / part / str(index % 7) / f"{index:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pictures_NHW[index]).save(path)
    table, tree = open_dataset(write(lines), size_px), open_dataset(f"folder:{tmp_path / 'tree'}", size_px)
    order = np.argsort(table.train.labels_N, kind="stable")
    np.testing.assert_array_equal(table.train.images_NHWC[order], tree.train.images_NHWC)
    assert table.train.images_NHWC.shape == (14, size_px, size_px, 3)


def test_more_pictures_than_a_block_keep_their_order(write: Write, lines: list[str]) -> None:
    rest = lines[1].split(",")[1].split(" ", 2)[2]
    many = [f"0,{number % 256} {number // 256} {rest},Training" for number in range(600)]
    opened = open_dataset(write([HEADER, *many, lines[4]]), 48)
    first_NHW = opened.train.images_NHWC[..., 0].astype(int)
    assert (first_NHW[:, 0, 0] + 256 * first_NHW[:, 0, 1]).tolist() == list(range(600))


def test_line_endings_of_windows_a_byte_order_mark_and_empty_lines_change_no_picture(
    write: Write, lines: list[str], tmp_path: Path
) -> None:
    plain = open_dataset(write(lines), 48)
    (tmp_path / "other.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*lines, "", ""]).encode())
    other = open_dataset(f"fer2013:{tmp_path / 'other.csv'}", 48)
    np.testing.assert_array_equal(other.train.images_NHWC, plain.train.images_NHWC)
    assert other.test.names == plain.test.names


def test_the_fingerprint_is_half_the_files_sha256(write: Write, lines: list[str], own_cache: Path) -> None:
    uri = write(lines)
    path = Path(uri.removeprefix("fer2013:"))
    before = prepare_dataset(uri, CONFIG).fingerprint
    assert before == sha256(path.read_bytes()).hexdigest()[:32]
    changed = path.read_bytes().replace(b"255,Training", b"254,Training", 1)
    path.write_bytes(changed)
    after = prepare_dataset(uri, CONFIG).fingerprint
    assert after == sha256(changed).hexdigest()[:32] != before
    old, new = (open_dataset(uri, 48, fingerprint=digest).train.images_NHWC for digest in (before, after))
    # One byte of the file, one pixel of the decoded data; the old data stay for studies planned with them.
    assert np.argwhere(old != new).tolist() == [[0, 47, 47, colour] for colour in range(3)]
    assert len(list(own_cache.iterdir())) == 2


def test_all_faults_are_told_with_their_lines_in_one_error(write: Write, lines: list[str]) -> None:
    lines[1] = with_pixels(lines[1], lambda row: row[:-1])
    lines[3] = with_pixels(lines[3], lambda row: [*row[:5], "256", *row[6:]])
    lines[4] = with_pixels(lines[4], lambda row: [*row[:5], "-1", *row[6:]])
    lines[5] = "7" + lines[5][1:]
    lines[7] = lines[7].replace("Training", "Trainin")
    lines[8] = lines[8].replace(",PrivateTest", "")
    reported = faults_of(write(lines))
    assert len(reported) == 6
    for words in (
        "line 2 has 2303 pixels, but must have 2304 whole numbers in 0–255",
        "line 4 has the pixel '256', but must have 2304 whole numbers in 0–255",
        "line 5 has the pixel '-1', but must have 2304 whole numbers in 0–255",
        "line 6 has emotion '7', but must have one of 0 Angry, 1 Disgust, 2 Fear, 3 Happy, 4 Sad, 5 Surprise, 6 Neu",
        "line 8 has Usage 'Trainin', but must have one of Training, PublicTest, PrivateTest",
        "line 9 must have 3 fields, emotion,pixels,Usage, but has 2",
    ):
        assert sum(words in fault for fault in reported) == 1, words


@pytest.mark.parametrize("pixel", ["256", "1.0", "1e1", "+7", "0x1", "２", "999999999999999999999999", "NaN", "7\t7"])
def test_a_pixel_is_a_whole_number_up_to_255_in_digits_and_nothing_else(
    write: Write, lines: list[str], pixel: str
) -> None:
    lines[1] = with_pixels(lines[1], lambda row: [*row[:-1], pixel])
    (fault,) = faults_of(write(lines))
    assert "line 2 has the pixel" in fault


def test_a_line_without_pixels_is_a_fault(write: Write, lines: list[str]) -> None:
    lines[1] = "0,,Training"
    (fault,) = faults_of(write(lines))
    assert "line 2 has 0 pixels" in fault


def test_lines_are_counted_as_an_editor_counts_them(write: Write, lines: list[str]) -> None:
    (fault,) = faults_of(write([*lines, "", "", "nonsense"]))
    assert f"line {len(lines) + 3} must have 3 fields" in fault


def test_many_faults_of_a_kind_are_abridged_after_ten(write: Write, lines: list[str]) -> None:
    reported = faults_of(write([*lines, *["9,1 2 3,Training"] * 13]))
    assert len(reported) == 11
    assert reported[-1] == "… and 3 more emotions out of range"
    reported = faults_of(write([*lines, *["3,1 2 3,Training"] * 13]))
    assert reported[-1] == "… and 3 more lines with pixels at fault"


def test_parts_without_pictures_are_faults(write: Write, lines: list[str]) -> None:
    (fault,) = faults_of(write([line for line in lines if not line.endswith("PrivateTest")]))
    assert "has no usable line of Usage PrivateTest, but must have some: they are test" in fault
    assert len(faults_of(write([HEADER]))) == 2


@pytest.mark.parametrize("header", ["", "emotion,pixel,Usage", "emotion,pixels,Usage,note"])
def test_another_header_is_told_with_the_right_one(write: Write, lines: list[str], header: str) -> None:
    (fault,) = faults_of(write([header, *lines[1:]]))
    assert f"is {header!r}, but must be 'emotion,pixels,Usage'" in fault


@pytest.mark.parametrize("layout", ["{0}, {2}, {1}", '{0},"{1}",{2}', "{2} ,{1},{0}", '"{0}", " {1} ","{2}"'])
def test_other_orders_of_columns_blanks_and_quotes_are_read_alike(write: Write, lines: list[str], layout: str) -> None:
    plain = open_dataset(write(lines), 48)
    for names in (layout, layout.replace('"', "")):
        other_lines = [names.format(*HEADER.split(",")), *(layout.format(*line.split(",")) for line in lines[1:])]
        other = open_dataset(write(other_lines), 48)
        for part, of in ((plain.train, other.train), (plain.test, other.test)):
            assert np.array_equal(part.labels_N, of.labels_N) and np.array_equal(part.images_NHWC, of.images_NHWC)


@pytest.fixture
def pair(tmp_path: Path, lines: list[str]) -> Path:
    """The same pictures as in ``lines`` in two files without Usage."""
    folder = tmp_path / "pair"
    folder.mkdir()
    for name, usage in (("train.csv", "Training"), ("test.csv", "PrivateTest")):
        chosen = [line.removesuffix(f",{usage}") for line in lines if line.endswith(usage)]
        (folder / name).write_text("\n".join(["emotion,pixels", *chosen]) + "\n")
    return folder


def test_a_pair_of_files_with_labels_is_read_as_the_whole_is(write: Write, lines: list[str], pair: Path) -> None:
    plain, other = open_dataset(write(lines), 48), open_dataset(f"fer2013:{pair}", 48)
    for part, of in ((plain.train, other.train), (plain.test, other.test)):
        assert np.array_equal(part.labels_N, of.labels_N) and np.array_equal(part.images_NHWC, of.images_NHWC)
    assert other.class_names == NAMES
    assert other.test.names == tuple(f"line_{number}" for number in range(2, 9))


def test_a_changed_file_of_a_pair_and_swapped_files_give_other_fingerprints(pair: Path) -> None:
    found = [prepare_dataset(f"fer2013:{pair}", CONFIG).fingerprint]
    train, test = pair / "train.csv", pair / "test.csv"
    for path, place in ((test, pair / "other"), (train, test), (pair / "other", train)):
        path.rename(place)
    found.append(prepare_dataset(f"fer2013:{pair}", CONFIG).fingerprint)
    test.write_text(test.read_text().replace("255\n", "254\n", 1))
    found.append(prepare_dataset(f"fer2013:{pair}", CONFIG).fingerprint)
    assert len(set(found)) == 3


def test_faults_of_both_files_of_a_pair_are_told(pair: Path) -> None:
    train, test = pair / "train.csv", pair / "test.csv"
    whole = test.read_text()
    train.write_text(train.read_text() + "7,1 2,Training\n9,1 2\n")
    test.write_text("emotion,pixels\n")
    reported = faults_of(f"fer2013:{pair}")
    assert len(reported) == 3
    assert f"{train} line 16 must have 2 fields, emotion,pixels, but has 3, the last of them 'Training'" in reported[0]
    assert f"{train} line 17 has emotion '9'" in reported[1]
    assert f"{test} has no usable line, but its lines are test; restore it" in reported[2]
    train.write_text(HEADER)
    test.write_text("\n".join(line.partition(",")[2] or line for line in whole.replace("emotion,", "").split("\n")))
    first, second = faults_of(f"fer2013:{pair}")
    assert f"the header of {train} is 'emotion,pixels,Usage', but must be 'emotion,pixels'" in first
    assert f"{test} has no column emotion" in second
    test.unlink()
    (fault,) = faults_of(f"fer2013:{pair}")
    assert "is a folder without test.csv; give fer2013.csv of the challenge, or a folder with train.csv and" in fault


@pytest.mark.parametrize(("header", "lacking"), [("emotion,pixels", "Usage"), ("pixels", "emotion")])
def test_a_file_of_the_challenge_without_all_parts_is_told_which_has_them(
    write: Write, lines: list[str], header: str, lacking: str
) -> None:
    (fault,) = faults_of(write([header, *lines[1:]]))
    assert f"has no column {lacking}" in fault and "icml_face_data.csv" in fault


def test_a_stray_tail_is_shown_with_its_line(write: Write, lines: list[str]) -> None:
    lines[3] += ",stray"
    (fault,) = faults_of(write(lines))
    assert "line 4 must have 3 fields" in fault and "the last of them 'stray'" in fault


def test_the_same_pixels_in_train_and_test_are_counted(write: Write, lines: list[str]) -> None:
    lines[4] = f"3,{lines[1].split(',')[1]},PrivateTest"
    assert prepare_dataset(write(lines), CONFIG).remarks == (
        "1 of 7 test pictures are in train, too: test scores flatter",
    )


def test_what_is_no_such_file_is_told(write: Write, tmp_path: Path) -> None:
    assert "a file must follow the colon" in faults_of("fer2013:")[0]
    assert "does not exist; give fer2013.csv" in faults_of(f"fer2013:{tmp_path / 'nowhere.csv'}")[0]
    assert (
        "is a folder without train.csv and test.csv; give fer2013.csv of the challenge, or a folder with train.csv and "
        "test.csv, both emotion,pixels; a folder per class opens as folder:DIR" in faults_of(f"fer2013:{tmp_path}")[0]
    )
    (tmp_path / "fer2013.csv").write_bytes(b"")
    assert "the file is empty" in faults_of(f"fer2013:{tmp_path / 'fer2013.csv'}")[0]
