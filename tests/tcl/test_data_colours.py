"""Pictures of every kind become what a viewer shows: upright, in their range, on white; and are counted."""

from __future__ import annotations

import io
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablation.tcl.config import Data, TclConfig
from ablation.tcl.data.colours import FLATTENED, ROUNDED, SCALED, TURNED, in_colour
from ablation.tcl.data.dataset import prepare_dataset
from ablation.tcl.data.photographs import decode

RAMP = np.linspace(0, 1, 256).reshape(16, 16)


def grey(path: Path, values: np.ndarray, mode: str = "") -> np.ndarray:
    """Save a picture of one channel and decode it; return the channel, which all three must be."""
    image = Image.fromarray(values)
    (image.convert(mode) if mode else image).save(path)
    decoded = decode(path, 16)
    assert (decoded == decoded[..., :1]).all()
    return decoded[..., 0]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("a.png", (65535 * RAMP).astype(np.uint16)),
        ("a.tif", (65535 * RAMP).astype(np.uint16)),
        ("a.tif", (65535 * RAMP).astype(np.int32)),
        ("a.tif", (2**30 * RAMP).astype(np.int32)),
        ("a.tif", RAMP.astype(np.float32)),
        ("a.tif", (1000 * RAMP - 300).astype(np.float32)),
    ],
    ids=["16-bit PNG", "16-bit TIFF", "integers as 16 bits", "wide integers", "floats to 1", "any floats"],
)
def test_a_ramp_stays_a_ramp_whatever_its_range(tmp_path: Path, name: str, values: np.ndarray) -> None:
    assert np.abs(grey(tmp_path / name, values).astype(int) - np.round(255 * RAMP)).max() <= 1


def test_values_that_fit_8_bits_are_taken_as_they_are_and_not_counted(tmp_path: Path) -> None:
    for values in ((100 * RAMP).astype(np.int32), np.round(100 * RAMP + 2).astype(np.float32)):
        assert np.abs(grey(tmp_path / "a.tif", values) - values).max() <= 1
        remarks: Counter[str] = Counter()
        with Image.open(tmp_path / "a.tif") as image:
            in_colour(image, remarks)
        assert not remarks


def test_floats_within_8_bits_are_rounded_which_is_counted(tmp_path: Path) -> None:
    remarks: Counter[str] = Counter()
    Image.fromarray(np.full((16, 16), 99.6, np.float32)).save(tmp_path / "a.tif")
    assert (decode(tmp_path / "a.tif", 16, remarks) == 100).all()
    assert remarks == {ROUNDED: 1}


@pytest.mark.parametrize(
    ("value", "kind", "shade"),
    [
        (3e38, np.float32, 255),
        (-3e38, np.float32, 0),
        (-7.0, np.float32, 0),
        (-7, np.int32, 0),
        (70000, np.int32, 255),
    ],
)
def test_a_picture_of_one_value_outside_all_ranges_is_black_or_white(
    tmp_path: Path, value: float, kind: type[np.generic], shade: int
) -> None:
    assert (grey(tmp_path / "a.tif", np.full((16, 16), value, kind)) == shade).all()


def test_floats_that_are_not_finite_are_no_picture(tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 16), np.nan, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(OSError, match="not finite"):
        decode(tmp_path / "a.tif", 16)


# How a camera that was held so stores an upright picture (EXIF 2.32, tag 0x0112): what is row 0 and column 0.
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.transpose(1, 0, 2),
    6: np.rot90,
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", [0, 9, 99])
def test_an_orientation_that_means_nothing_turns_nothing_and_is_not_counted(tmp_path: Path, orientation: int) -> None:
    upright = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(upright).save(tmp_path / "a.png", exif=exif)
    remarks: Counter[str] = Counter()
    assert np.array_equal(decode(tmp_path / "a.png", 16, remarks), upright)
    assert not remarks


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_an_orientation_is_undone_as_viewers_do(tmp_path: Path, orientation: int, name: str) -> None:
    upright = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](upright))
    Image.fromarray(stored).save(tmp_path / name, exif=exif, lossless=True)
    assert np.array_equal(decode(tmp_path / name, 16), upright)


def test_transparent_pictures_are_laid_on_white(tmp_path: Path) -> None:
    clear = np.zeros((16, 16, 4), np.uint8)
    clear[:, 8:, 3] = 255
    Image.fromarray(clear).save(tmp_path / "a.png")
    decoded = decode(tmp_path / "a.png", 16)
    assert (decoded[:, :8] == 255).all() and (decoded[:, 8:] == 0).all()
    palette = Image.fromarray(clear[..., 0]).convert("P")
    palette.save(tmp_path / "p.png", transparency=0)
    assert (decode(tmp_path / "p.png", 16) == 255).all()


def png(depth: int, colour_type: int, row: bytes, transparent: bytes) -> bytes:
    """Write a picture of 2 × 1 pixels as PNG (ISO/IEC 15948) has it: no library writes these kinds."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 2, 1, depth, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"tRNS", transparent), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


@pytest.mark.parametrize(
    ("content", "second", "counted"),
    [
        (png(1, 0, bytes([0b01000000]), struct.pack(">H", 0)), 255, {FLATTENED}),
        (png(2, 0, bytes([0b01100000]), struct.pack(">H", 1)), 170, {FLATTENED}),
        (png(4, 0, bytes([0x73]), struct.pack(">H", 7)), 51, {FLATTENED}),
        (png(8, 0, bytes([7, 9]), struct.pack(">H", 7)), 9, {FLATTENED}),
        (png(16, 0, struct.pack(">2H", 0x1234, 0x8080), struct.pack(">H", 0x1234)), 128, {FLATTENED, SCALED}),
        (png(16, 2, struct.pack(">6H", *[0x1234] * 3, *[0x8080] * 3), struct.pack(">3H", *[0x1234] * 3)), 128,
         {FLATTENED}),
    ],
    ids=["1 bit", "2 bits", "4 bits", "8 bits", "16 bits", "16 bits, RGB"],
)  # fmt: skip
def test_a_value_that_stands_for_transparent_hides_its_colour_at_every_depth(
    content: bytes, second: int, counted: set[str]
) -> None:
    """The first pixel is the transparent one, the second is opaque; grey of n bits is v · 255 / (2ⁿ − 1)."""
    remarks: Counter[str] = Counter()
    with Image.open(io.BytesIO(content)) as image:
        pixels = np.asarray(in_colour(image, remarks))
    assert pixels[0].tolist() == [[255] * 3, [second] * 3]
    assert remarks.keys() == counted


def damaged_exif(path: Path) -> None:
    """Save a picture whose EXIF data says that it has more entries than there are."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (16, 16), (9, 9, 9)).save(path, exif=exif)
    content = path.read_bytes()
    assert content.count(b"MM\x00*\x00\x00\x00\x08\x00\x01") == 1
    path.write_bytes(content.replace(b"MM\x00*\x00\x00\x00\x08\x00\x01", b"MM\x00*\x00\x00\x00\x08\x00\x09"))


def test_a_warning_of_damaged_exif_data_names_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATION_CACHE", str(tmp_path / "cache"))
    for part, class_name in product(("train", "test"), "ab"):
        (tmp_path / part / class_name).mkdir(parents=True)
        damaged_exif(tmp_path / part / class_name / "a.jpg")
    with pytest.warns(UserWarning) as reported:
        prepare_dataset(f"folder:{tmp_path}", TclConfig(data=Data(size_px=16)))
    words = [str(warning.message) for warning in reported]
    assert {word.partition(": ")[0] for word in words} == {
        str(tmp_path / part / class_name / "a.jpg") for part, class_name in product(("train", "test"), "ab")
    }
    assert all("EXIF" in word or "Truncated" in word for word in words)


def test_what_was_done_is_counted_and_told_with_what_is_in_both_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABLATION_CACHE", str(tmp_path / "cache"))
    for part in ("train", "test"):
        for shade, class_name in enumerate("ab"):
            (tmp_path / part / class_name).mkdir(parents=True)
            Image.new("RGB", (16, 16), (shade, 0, 0)).save(tmp_path / part / class_name / "same.png")
            Image.new("RGB", (16, 16), (len(part), shade, 1)).save(tmp_path / part / class_name / "own.png")
    train = tmp_path / "train/a"
    Image.fromarray((65535 * RAMP).astype(np.uint16)).save(train / "wide.png")
    Image.new("RGBA", (16, 16), (1, 2, 3, 0)).save(train / "clear.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (16, 16), (9, 9, 9)).save(train / "turned.jpg", exif=exif)
    for _ in range(2):  # decoded, and from the cache
        reported = prepare_dataset(f"folder:{tmp_path}", TclConfig(data=Data(size_px=16))).remarks
        assert set(reported) == {
            f"1 of 11 pictures {SCALED}",
            f"1 of 11 pictures {FLATTENED}",
            f"1 of 11 pictures {TURNED}",
            "2 of 4 test pictures are in train, too: test scores flatter",
        }
