"""Photographs with what the network made of them, for a page that was asked to show them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.load import PlannedStudy
from analysis.numbers import SHARE
from analysis.report.inputs import Inputs
from analysis.tables import models

MOST_ARMS = 20  # with photographs on the page
DARKEST = 0.75  # how far a place without attention is darkened, 0..1


@dataclass(frozen=True)
class Shade:
    """One place of an attention map: how far it is darkened, 0..1, so that what is attended to stays bright."""

    row: int
    column: int
    opacity: float


@dataclass(frozen=True)
class Face:
    """One photograph as one arm's model saw it; ``photograph`` is its place among the page's photographs."""

    photograph: int
    title: str
    alternative: str
    rows: int
    columns: int
    shades: tuple[Shade, ...]


@dataclass(frozen=True)
class Faces:
    """Photographs as base64 of PNG files, each once, and the faces of each arm in the arms' order."""

    photographs: tuple[str, ...]
    arms: tuple[tuple[str, tuple[Face, ...]], ...]
    left_out: int


def faces(inputs: Inputs) -> Faces:
    """Gather the photographs that the arms' first completed confirm trials left; empty if there are none."""
    table = models.faces(inputs.where, inputs.study, inputs.latest)
    positions = {png: index for index, png in enumerate(dict.fromkeys(table["png"]))}
    arms = tuple(
        (str(arm), tuple(_face(inputs.study, row, positions[row["png"]]) for row in mine.to_dict("records")))
        for arm, mine in table.groupby("arm", sort=False)
    )
    encoded = tuple(base64.b64encode(png).decode() for png in positions)
    return Faces(encoded, arms[:MOST_ARMS], max(0, len(arms) - MOST_ARMS))


def _face(study: PlannedStudy, row: Mapping[Any, Any], index: int) -> Face:
    label, predicted = models.class_name(study, row["label"]), models.class_name(study, row["predicted"])
    confidence = SHARE.value(row["confidence"])
    alternative = f"photograph {row['image']}: {label}, predicted {predicted} with confidence {confidence}"
    if row["attention"] is None:
        return Face(index, f"{label} → {predicted}", alternative, 1, 1, ())
    rows, columns = int(row["rows"]), int(row["columns"])
    most = max(row["attention"])
    darker = [round(float(DARKEST * (1 - weight / most)), 3) for weight in row["attention"]]
    shades = tuple(Shade(*divmod(number, columns), opacity) for number, opacity in enumerate(darker))
    over = ", with its attention laid over"
    return Face(index, f"{label} → {predicted}", alternative + over, rows, columns, shades)
