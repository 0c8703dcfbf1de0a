"""What a confirm trial leaves for the report: small Parquet tables; photographs only if they are asked for.

Shapes: N images of the test split, F of them whose photographs are left, K classes, D embedding dimensions.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from ablation.arrays import Float, Int, UInt8
from ablation.store import put_whole
from ablation.tcl.data.cache import Split
from ablation.tcl.evaluate import Outputs, confusion

EMBEDDED_IMAGES = 1000
FACES = pa.schema(
    [
        ("image", pa.string()),
        ("label", pa.int64()),
        ("predicted", pa.int64()),
        ("confidence", pa.float64()),
        ("png", pa.binary()),
        ("attention", pa.list_(pa.float32())),
        ("rows", pa.int32()),
        ("columns", pa.int32()),
    ]
)


def write_artifacts(
    directory: Path,
    test: Outputs,
    labels_N: Int[Tensor, " N"],
    names: Sequence[str],
    centers_KD: Float[Tensor, "K D"] | None,
) -> None:
    """Write predictions, confusion counts, a 2-D embedding and mean attention maps of the test split."""
    directory.mkdir(parents=True, exist_ok=True)
    confidence_N, predicted_N = test.logits_NK.softmax(1).max(1)
    _put(
        directory / "predictions.parquet",
        image=list(names),
        label=labels_N.tolist(),
        predicted=predicted_N.tolist(),
        confidence=confidence_N.tolist(),
    )
    counts_KK = confusion(predicted_N, labels_N, test.logits_NK.shape[1]).long()
    rows = [(i, j, count) for i, row in enumerate(counts_KK.tolist()) for j, count in enumerate(row)]
    labels, predicted, counts = zip(*rows, strict=True)
    _put(directory / "confusion.parquet", label=labels, predicted=predicted, count=counts)
    _put(directory / "embeddings.parquet", **_embedding(test.features_ND, labels_N, centers_KD))
    if test.pixel_map_NHW is not None:
        _put(directory / "attention.parquet", **_mean_maps(test.pixel_map_NHW, labels_N))


def write_faces(directory: Path, test: Outputs, split: Split, per_class: int) -> None:
    """Write the first ``per_class`` photographs of each class as the network saw them; no file if that is 0.

    ``split`` is what ``test`` is about. ``png`` is a photograph as a PNG file; ``attention`` its own spatial attention,
    row by row, with its ``rows`` and ``columns``, all three null if the network has none.
    """
    if not per_class:
        return
    directory.mkdir(parents=True, exist_ok=True)
    by_class = [np.flatnonzero(split.labels_N == label)[:per_class] for label in np.unique(split.labels_N)]
    chosen_F = np.concatenate(by_class)
    confidence_N, predicted_N = test.logits_NK.softmax(1).max(1)
    maps = test.pixel_map_NHW
    rows, columns = (None, None) if maps is None else maps.shape[1:]
    _put(
        directory / "faces.parquet",
        FACES,
        image=[split.names[index] for index in chosen_F],
        label=split.labels_N[chosen_F].tolist(),
        predicted=predicted_N[chosen_F].tolist(),
        confidence=confidence_N[chosen_F].tolist(),
        png=[_png(split.images_NHWC[index]) for index in chosen_F],
        attention=[None if maps is None else maps[index].flatten().tolist() for index in chosen_F],
        rows=[rows] * len(chosen_F),
        columns=[columns] * len(chosen_F),
    )


def _png(image_HWC: UInt8[npt.NDArray[np.uint8], "H W C"]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image_HWC).save(file, "PNG")
    return file.getvalue()


def _embedding(
    features_ND: Float[Tensor, "N D"], labels_N: Int[Tensor, " N"], centers_KD: Float[Tensor, "K D"] | None
) -> dict[str, Sequence[object]]:
    """Project features, and centers with them, on the features' first two principal axes."""
    shown = features_ND[:EMBEDDED_IMAGES]
    mean_D = features_ND.mean(0)
    _, axes_DD = torch.linalg.eigh((features_ND - mean_D).T @ (features_ND - mean_D))
    axes_D2 = axes_DD[:, -2:].flip(1)
    # An eigenvector's sign is arbitrary: fix it, so that pictures can be compared.
    axes_D2 = torch.where(axes_D2.sum(0) < 0, -axes_D2, axes_D2)
    points, labels, kinds = shown, labels_N[:EMBEDDED_IMAGES].tolist(), ["image"] * len(shown)
    if centers_KD is not None:
        points = torch.cat([shown, centers_KD.detach().float().cpu()])
        labels += range(len(centers_KD))
        kinds += ["center"] * len(centers_KD)
    x_P, y_P = ((points - mean_D) @ axes_D2).unbind(1)
    return {"x": x_P.tolist(), "y": y_P.tolist(), "label": labels, "kind": kinds}


def _mean_maps(maps_NHW: Float[Tensor, "N H W"], labels_N: Int[Tensor, " N"]) -> dict[str, Sequence[object]]:
    """Average the spatial attention over the images of each class."""
    rows = [
        (label, row, column, weight)
        for label in sorted(set(labels_N.tolist()))
        for row, weights in enumerate(maps_NHW[labels_N == label].mean(0).tolist())
        for column, weight in enumerate(weights)
    ]
    labels, row_numbers, columns, weights = zip(*rows, strict=True)
    return {"label": labels, "row": row_numbers, "column": columns, "weight": weights}


def _put(path: Path, schema: pa.Schema | None = None, **columns: Sequence[object]) -> None:
    sink = pa.BufferOutputStream()
    table = pa.table({name: list(values) for name, values in columns.items()}, schema=schema)
    pq.write_table(table, sink, compression="zstd")
    put_whole(path, sink.getvalue().to_pybytes())
