"""Any picture as 8-bit RGB, upright: what its file says of orientation, range and transparency is handled, and counted.

Ranges: 16-bit grey by 0–65535; 32-bit integers and floats as they are within 0–255, by 0–1 (floats) or 0–65535
(integers) if they lie within, else by the picture's own least and largest value; if those are one, it is black below 0
and white above.

Whoever changes a pixel here raises ``cache.CACHE_VERSION`` and says in ``cache.DIFFERING`` by which remark it is known.

Shapes: H and W in pixels.
"""

from __future__ import annotations

import struct
import warnings
from collections import Counter

import numpy as np
import numpy.typing as npt
from PIL import Image

from ablation.arrays import Float

WIDE_MODES = ("I", "F")  # 32 bits; those that begin with "I;16" have sixteen
ORIENTATION_TAG = 0x0112
# EXIF 2.32, tag 0x0112: what undoes each orientation.
UPRIGHT_BY = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
UNREADABLE_EXIF = (OSError, SyntaxError, ValueError, TypeError, struct.error)
# Pillow spreads these grey values over 0–255, but leaves the transparent one as the file has it.
SPREAD = {"L;2": 85, "L;4": 17}
TURNED = "turned upright, as its EXIF orientation says"
SCALED = "of more than 8 bits a colour, scaled to 8 by its range"
ROUNDED = "of floats within 0–255, rounded"
FLATTENED = "with transparency, laid on white"


def in_colour(image: Image.Image, remarks: Counter[str]) -> Image.Image:
    """Return a picture as 8-bit RGB, upright; ``remarks`` counts what was more than a change of mode.

    Raises ValueError for floats that are not finite.
    """
    _spread_transparent_value(image)
    image = _turned(image, remarks)
    if image.mode.startswith("I;16") or image.mode in WIDE_MODES:
        image = _scaled(image, remarks)
    if image.has_transparency_data:
        image = _flattened(image, remarks)
    return image.convert("RGB")


def _spread_transparent_value(image: Image.Image) -> None:
    """Put the transparent value, if there is one, into the units of the pixels as they will be loaded."""
    tiles, value = getattr(image, "tile", ()), image.info.get("transparency")
    stored_as = tiles[0].args if tiles else None
    if not isinstance(stored_as, str):
        return
    if isinstance(value, int) and stored_as in SPREAD:
        image.info["transparency"] = value * SPREAD[stored_as]
    elif isinstance(value, tuple) and stored_as == "RGB;16B":
        image.info["transparency"] = tuple(part >> 8 for part in value)


def _turned(image: Image.Image, remarks: Counter[str]) -> Image.Image:
    reported = _orientation(image)
    # TIFFs are turned, and their tag dropped, by Pillow itself when they are loaded.
    image.load()
    if reported is None:
        return image
    remarks[TURNED] += 1
    left = _orientation(image)
    return image if left is None else image.transpose(left)


def _orientation(image: Image.Image) -> Image.Transpose | None:
    """Return what turns a picture upright; None if it is, or if its file does not say so in a way that means it."""
    try:
        reported = image.getexif().get(ORIENTATION_TAG)
    except UNREADABLE_EXIF as error:
        warnings.warn(f"its EXIF data cannot be read ({error}), so it is taken as upright", stacklevel=2)
        return None
    return UPRIGHT_BY.get(reported) if isinstance(reported, int) else None


def _scaled(image: Image.Image, remarks: Counter[str]) -> Image.Image:
    values_HW = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values_HW).all():
        raise ValueError("it has values that are not finite")
    low, high = _range(image.mode, values_HW)
    if (low, high) != (0.0, 255.0):
        remarks[SCALED] += 1
    elif (values_HW != np.round(values_HW)).any():
        remarks[ROUNDED] += 1
    share_HW = (values_HW - low) / (high - low) if high > low else values_HW > 0
    shade_HW = np.round(255 * share_HW).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int) and (values_HW == transparent).any():
        remarks[FLATTENED] += 1
        shade_HW[values_HW == transparent] = 255
    return Image.fromarray(shade_HW)


def _range(mode: str, values_HW: Float[npt.NDArray[np.float64], "H W"]) -> tuple[float, float]:
    """Return the values that become black and white; the same one twice if a picture has no other."""
    low, high = float(values_HW.min()), float(values_HW.max())
    if mode.startswith("I;16"):
        return 0.0, 65535.0
    if low >= 0 and high <= 1 and mode == "F":
        return 0.0, 1.0
    for most in (255.0, 65535.0) if mode == "I" else (255.0,):
        if low >= 0 and high <= most:
            return 0.0, most
    return low, high


def _flattened(image: Image.Image, remarks: Counter[str]) -> Image.Image:
    clear = image.convert("RGBA")
    least_opacity, _ = clear.getchannel("A").getextrema()
    if least_opacity == 255:
        return image
    remarks[FLATTENED] += 1
    white = Image.new("RGBA", clear.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, clear)
