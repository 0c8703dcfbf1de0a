"""Any picture as 8-bit RGB, upright: what its file says of orientation, range and transparency is heeded, and counted.

Ranges: 16-bit grey by 0–65535; 32-bit integers and floats as they are within 0–255, by 0–1 (floats) or 0–65535
(integers) if they lie within, else by the picture's own least and largest value.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

WIDE_MODES = ("I", "F")  # 32 bits; those that begin with "I;16" have sixteen
UPRIGHT = 1
ORIENTATION_TAG = 0x0112
TURNED = "turned upright, as its EXIF orientation says"
SCALED = "of more than 8 bits a colour, scaled to 8 by its range"
FLATTENED = "with transparency, laid on white"


def in_colour(image: Image.Image, remarks: Counter[str]) -> Image.Image:
    """Return a picture as 8-bit RGB, upright; ``remarks`` counts what was more than a change of mode.

    Raises ValueError for floats that are not finite.
    """
    # TIFFs are turned, and their tag dropped, by Pillow itself when they are loaded.
    if image.getexif().get(ORIENTATION_TAG, UPRIGHT) != UPRIGHT:
        remarks[TURNED] += 1
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode in WIDE_MODES:
        image = _scaled(image, remarks)
    if image.has_transparency_data:
        image = _flattened(image, remarks)
    return image.convert("RGB")


def _scaled(image: Image.Image, remarks: Counter[str]) -> Image.Image:
    values_HW = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values_HW).all():
        raise ValueError("it has values that are not finite")
    low, high = _range(image.mode, values_HW)
    if (low, high) != (0.0, 255.0):
        remarks[SCALED] += 1
    share_HW = (values_HW - low) / (high - low)
    return Image.fromarray(np.round(255 * share_HW).astype(np.uint8))


def _range(mode: str, values_HW: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the values that become black and white."""
    low, high = float(values_HW.min()), float(values_HW.max())
    if mode.startswith("I;16"):
        return 0.0, 65535.0
    if low >= 0 and high <= 1 and mode == "F":
        return 0.0, 1.0
    for most in (255.0, 65535.0) if mode == "I" else (255.0,):
        if low >= 0 and high <= most:
            return 0.0, most
    return (low, high) if high > low else (low - 1, high)


def _flattened(image: Image.Image, remarks: Counter[str]) -> Image.Image:
    clear = image.convert("RGBA")
    least_opacity, _ = clear.getchannel("A").getextrema()
    if least_opacity == 255:
        return image
    remarks[FLATTENED] += 1
    white = Image.new("RGBA", clear.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, clear)
