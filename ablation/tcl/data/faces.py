"""Draw cartoon faces from numbers: one trait a column, a whole block of pictures at once.

Only +, −, ×, ÷ and √ on float32 touch a pixel. IEEE 754 fixes the result of each, so every machine draws the same
bytes; sines, exponentials and sums whose order depends on the processor would not promise that.

Shapes: B faces, S side in pixels. Faces live in a frame of their own: u to the right, v down, the picture is [−1, 1]².
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ablation.arrays import Float, UInt8

# float32 in fact; numpy's stubs lose the width in mixed arithmetic.
F32 = npt.NDArray[np.floating[Any]]
Trait = Float[F32, "B 1 1"]
Colour = Float[F32, "B C"]
Plane = Float[F32, "B S S"]
Canvas = Float[F32, "B C S S"]
Traits = Mapping[str, Float[F32, "B ..."]]

EYE_U, EYE_V, MOUTH_V = 0.34, -0.12, 0.52


@dataclass(frozen=True)
class Frame:
    """The pixels' places in each face's own frame.

    Attributes:
        u_BSS: places left (−) and right (+) of the face's middle; features follow the head's turn.
        v_BSS: places above (−) and below (+).
        skull_u_BSS: like u, without the turn: for hair and outline.
        pixel: side of a pixel, which softens every edge.
    """

    u_BSS: Plane
    v_BSS: Plane
    skull_u_BSS: Plane
    pixel: float


def draw_faces(
    traits: Traits, noise_BCSS: Canvas, size_px: int
) -> UInt8[npt.NDArray[np.uint8], "B {size_px} {size_px} C"]:
    """Draw one face for each row of traits.

    Shapes: every trait (B, 1, 1), colours (B, 3); ``noise_BCSS`` in [−1, 1]; returns uint8 (B, size_px, size_px, 3).
    """
    frame = _place(traits, size_px)
    canvas_BCSS = np.empty(noise_BCSS.shape, np.float32)
    canvas_BCSS[:] = traits["background"][:, :, None, None]
    _draw_head(canvas_BCSS, frame, traits)
    _draw_nose(canvas_BCSS, frame, traits)
    _draw_mouth(canvas_BCSS, frame, traits)
    for side in (-1.0, 1.0):
        _draw_eye(canvas_BCSS, frame, traits, side)
        _draw_brow(canvas_BCSS, frame, traits, side)
    _draw_occlusions(canvas_BCSS, frame, traits)
    return _photograph(canvas_BCSS, noise_BCSS, traits, size_px)


def _place(traits: Traits, size_px: int) -> Frame:
    axis_S = ((np.arange(size_px, dtype=np.float32) * 2 + 1) / size_px - 1).astype(np.float32)
    x_B1S = axis_S[None, None, :] - traits["shift_x"]
    y_BS1 = axis_S[None, :, None] - traits["shift_y"]
    # The half-angle form of a rotation needs no sine.
    half = traits["roll"]
    cosine, sine = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
    skull_u_BSS = (cosine * x_B1S + sine * y_BS1) / traits["scale"]
    v_BSS = (cosine * y_BS1 - sine * x_B1S) / traits["scale"]
    turned_BSS = skull_u_BSS - 0.2 * traits["yaw"]
    u_BSS = turned_BSS * (1 + 0.25 * traits["yaw"] * np.clip(turned_BSS * 4, -1, 1))
    return Frame(u_BSS, v_BSS - 0.12 * traits["pitch"], skull_u_BSS, 2 / size_px)


def _inside(distance_BSS: Plane, frame: Frame) -> Plane:
    """Turn a signed distance (positive inside) into coverage in [0, 1], one pixel soft."""
    cover_BSS: F32 = np.clip(distance_BSS / frame.pixel + np.float32(0.5), 0, 1)
    return cover_BSS


def _ellipse(frame: Frame, u_BSS: Plane, v_BSS: Plane, radius_u: Trait | float, radius_v: Trait | float) -> Plane:
    ratio_BSS = np.sqrt((u_BSS / radius_u) ** 2 + (v_BSS / radius_v) ** 2)
    return _inside((1 - ratio_BSS) * np.minimum(radius_u, radius_v), frame)


def _stroke(frame: Frame, off_BSS: Plane, along_BSS: Plane, thickness: Trait | float) -> Plane:
    """Cover a line ``off_BSS`` away, tapering to both ends where ``along_BSS`` leaves [−1, 1]."""
    taper_BSS = np.clip(1 - along_BSS * along_BSS, 0, 1)
    cover_BSS: F32 = _inside(thickness * taper_BSS - np.abs(off_BSS), frame) * (taper_BSS > 0)
    return cover_BSS


def _paint(canvas_BCSS: Canvas, cover_BSS: Plane, colour: Colour | float) -> None:
    if isinstance(colour, np.ndarray):
        colour = colour[:, :, None, None]
    # An eye touches a tenth of the picture: paint the smallest window that holds it in all pictures of the block.
    rows, columns = (np.flatnonzero(cover_BSS.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    if len(rows) == 0:
        return
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    view_BCHW = canvas_BCSS[:, :, *window]
    view_BCHW += cover_BSS[:, None, *window] * (colour - view_BCHW)


def _draw_head(canvas_BCSS: Canvas, frame: Frame, traits: Traits) -> None:
    u_BSS, v_BSS, jaw = frame.skull_u_BSS, frame.v_BSS, traits["jaw"]
    hair_BSS = _ellipse(frame, u_BSS, v_BSS + 0.2, 0.86, 0.9 + traits["hair_volume"])
    long_BSS = _inside(0.84 - np.abs(u_BSS), frame) * (v_BSS > -0.2) * traits["long_hair"]
    _paint(canvas_BCSS, np.maximum(hair_BSS, long_BSS), traits["hair"])
    # The chin narrows below the cheeks, the jaw drops with an open mouth.
    narrowing_BSS = 1 + jaw * np.clip(v_BSS, 0, 1) ** 2
    chin = 0.98 + 0.1 * traits["mouth_open"]
    face_BSS = _ellipse(frame, u_BSS * narrowing_BSS, v_BSS - 0.02, 0.76, chin)
    hairline_BSS = v_BSS + 0.66 + traits["hairline"] - 0.25 * u_BSS * u_BSS + traits["parting"] * u_BSS
    _paint(canvas_BCSS, face_BSS * _inside(hairline_BSS, frame), traits["skin"])
    shade_BSS = np.clip(np.abs(u_BSS) * 1.6 - 0.6, 0, 1) * face_BSS * np.float32(0.35)
    _paint(canvas_BCSS, shade_BSS * (hairline_BSS > 0), traits["shadow"])


def _draw_nose(canvas_BCSS: Canvas, frame: Frame, traits: Traits) -> None:
    u_BSS, v_BSS, wrinkle = frame.u_BSS, frame.v_BSS, traits["nose_wrinkle"]
    shadow, lift = traits["shadow"], 0.06 * wrinkle
    bridge_BSS = _stroke(frame, u_BSS - 0.07 * traits["light_x"] - 0.03, (v_BSS - 0.04) / 0.24, 0.022)
    _paint(canvas_BCSS, bridge_BSS * 0.5, shadow)
    for side in (-1.0, 1.0):
        nostril_BSS = _ellipse(frame, u_BSS - side * (0.09 + 0.02 * wrinkle), v_BSS - 0.27 + lift, 0.05, 0.03)
        _paint(canvas_BCSS, nostril_BSS * 0.8, shadow * np.float32(0.6))
        # Folds from the wings of the nose to the mouth's corners: a raised cheek or upper lip deepens them.
        fold_BSS = _stroke(frame, side * u_BSS - 0.2 - 0.32 * (v_BSS - 0.2), (v_BSS - 0.34) / 0.2, 0.025)
        _paint(canvas_BCSS, fold_BSS * np.clip(0.1 + 0.6 * traits["cheek"] + 0.5 * wrinkle, 0, 0.9), shadow)
    for row in (-0.16, -0.06):
        line_BSS = _stroke(frame, v_BSS - row - 0.4 * u_BSS * u_BSS, u_BSS / 0.13, 0.022)
        _paint(canvas_BCSS, line_BSS * np.clip(wrinkle * 0.9, 0, 0.85), shadow)


def _draw_mouth(canvas_BCSS: Canvas, frame: Frame, traits: Traits) -> None:
    half_width = np.clip(traits["mouth_width"], 0.1, 0.5)
    along_BSS = (frame.u_BSS - 0.02 * traits["mouth_skew"]) / half_width
    bow_BSS = np.clip(1 - along_BSS * along_BSS, 0, 1)
    # Corners above the middle smile, corners below it frown; a skewed mouth lifts one of them.
    middle_BSS = MOUTH_V + traits["mouth_curve"] * (bow_BSS - 0.5) - traits["mouth_skew"] * 0.1 * along_BSS
    opening, raised = np.clip(traits["mouth_open"], 0, 1), np.clip(traits["lip_raise"], 0, 1)
    off_BSS = frame.v_BSS - middle_BSS
    top_BSS = -(0.12 * opening + 0.07 * raised) * bow_BSS
    bottom_BSS = (0.34 * opening + 0.02 * raised) * bow_BSS
    lips = traits["lip_thickness"]
    within_BSS = np.abs(along_BSS) < 1
    lip_BSS = np.minimum(off_BSS - top_BSS + lips * bow_BSS, bottom_BSS + 1.3 * lips * bow_BSS - off_BSS)
    _paint(canvas_BCSS, _inside(lip_BSS, frame) * within_BSS, traits["lips"])
    gap_BSS = np.minimum(off_BSS - top_BSS, bottom_BSS - off_BSS) + np.float32(0.012)
    inner_BSS = _inside(gap_BSS, frame) * within_BSS
    _paint(canvas_BCSS, inner_BSS * 0.9, 45.0)
    teeth_BSS = inner_BSS * _inside(top_BSS + 0.09 - off_BSS, frame) * (bottom_BSS - top_BSS > 0.06)
    _paint(canvas_BCSS, teeth_BSS * np.clip(traits["teeth"], 0, 1), 235.0)


def _draw_eye(canvas_BCSS: Canvas, frame: Frame, traits: Traits, side: float) -> None:
    u_BSS, v_BSS = frame.u_BSS - side * EYE_U, frame.v_BSS - EYE_V
    opened, cheek = np.clip(traits["eye_open"], 0.12, 1.9), np.clip(traits["cheek"], 0, 1)
    along_BSS = u_BSS / 0.2
    bow_BSS = np.clip(1 - along_BSS * along_BSS, 0, 1)
    top_BSS, bottom_BSS = -0.1 * opened * bow_BSS, 0.075 * opened * (1 - 0.7 * cheek) * bow_BSS
    open_BSS = _inside(np.minimum(v_BSS - top_BSS, bottom_BSS - v_BSS), frame) * (bow_BSS > 0)
    _paint(canvas_BCSS, open_BSS, 232.0)
    iris_BSS = _ellipse(frame, u_BSS - 0.06 * traits["gaze"], v_BSS, 0.085, 0.085) * open_BSS
    _paint(canvas_BCSS, iris_BSS, traits["iris"])
    _paint(canvas_BCSS, _ellipse(frame, u_BSS - 0.06 * traits["gaze"], v_BSS, 0.04, 0.04) * open_BSS, 15.0)
    _paint(
        canvas_BCSS, _stroke(frame, v_BSS - top_BSS, along_BSS / 1.1, 0.03) * 0.85, traits["shadow"] * np.float32(0.5)
    )
    pouch_BSS = _stroke(frame, v_BSS - bottom_BSS - 0.05, along_BSS, 0.025)
    _paint(canvas_BCSS, pouch_BSS * (0.15 + 0.6 * cheek), traits["shadow"])


def _draw_brow(canvas_BCSS: Canvas, frame: Frame, traits: Traits, side: float) -> None:
    inner = 0.06 * traits["brow_close"]
    outward_BSS = (side * frame.u_BSS - EYE_U + inner) / 0.22
    arch_BSS = np.clip(1 - outward_BSS * outward_BSS, 0, 1)
    height = -0.38 - 0.14 * traits["brow_raise"] + side * 0.05 * traits["brow_skew"]
    # A positive slant lifts the inner end, as grief and fear do; a negative one lowers it, as anger does.
    level_BSS = height + 0.13 * traits["brow_slant"] * outward_BSS - (0.05 + 0.04 * traits["brow_curve"]) * arch_BSS
    _paint(canvas_BCSS, _stroke(frame, frame.v_BSS - level_BSS, outward_BSS, traits["brow_thickness"]), traits["brow"])
    furrow_BSS = _stroke(frame, side * frame.u_BSS - 0.06, (frame.v_BSS + 0.32) / 0.1, 0.02)
    _paint(canvas_BCSS, furrow_BSS * np.clip(traits["brow_close"] * 0.7, 0, 0.8), traits["shadow"])


def _draw_occlusions(canvas_BCSS: Canvas, frame: Frame, traits: Traits) -> None:
    rims_BSS = np.zeros_like(frame.u_BSS)
    for side in (-1.0, 1.0):
        u_BSS, v_BSS = frame.u_BSS - side * EYE_U, frame.v_BSS - EYE_V
        rim_BSS = _ellipse(frame, u_BSS, v_BSS, 0.27, 0.21) - _ellipse(frame, u_BSS, v_BSS, 0.23, 0.17)
        rims_BSS = np.maximum(rims_BSS, rim_BSS)
    nosepiece_BSS = _stroke(frame, frame.v_BSS - EYE_V, frame.u_BSS / 0.12, 0.03)
    _paint(canvas_BCSS, np.maximum(rims_BSS, nosepiece_BSS) * traits["glasses"], 40.0)
    hand_BSS = (
        _ellipse(frame, frame.u_BSS - traits["hand_u"], frame.v_BSS - traits["hand_v"], 0.3, 0.24) * traits["hand"]
    )
    _paint(canvas_BCSS, hand_BSS, traits["skin"] * np.float32(0.9))


def _photograph(
    canvas_BCSS: Canvas, noise_BCSS: Canvas, traits: Traits, size_px: int
) -> UInt8[npt.NDArray[np.uint8], "B {size_px} {size_px} C"]:
    """Light, blur and grain the drawing, take the colour from some pictures, and round to bytes."""
    axis_S = ((np.arange(size_px, dtype=np.float32) * 2 + 1) / size_px - 1).astype(np.float32)
    light_BSS = traits["brightness"] * (
        1 + traits["light_x"] * axis_S[None, None, :] + traits["light_y"] * axis_S[None, :, None]
    )
    canvas_BCSS *= light_BSS[:, None]
    blur, greyness, grain = (traits[name][:, None] for name in ("blur", "greyness", "grain"))
    for axis in (2, 3):
        indices = np.arange(size_px)
        before_BCSS = canvas_BCSS.take(np.maximum(indices - 1, 0), axis)
        after_BCSS = canvas_BCSS.take(np.minimum(indices + 1, size_px - 1), axis)
        canvas_BCSS += blur * ((before_BCSS + after_BCSS) / 2 - canvas_BCSS)
    grey_BSS = (canvas_BCSS[:, 0] * 77 + canvas_BCSS[:, 1] * 150 + canvas_BCSS[:, 2] * 29) / 256
    canvas_BCSS += greyness * (grey_BSS[:, None] - canvas_BCSS)
    canvas_BCSS += grain * noise_BCSS
    bytes_BCSS = np.clip(canvas_BCSS + np.float32(0.5), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(bytes_BCSS.transpose(0, 2, 3, 1))
