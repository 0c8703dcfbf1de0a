"""The metric term and its negatives once more, as slow loops over plain Python floats.

Shapes as nested lists: features[B][D], centers[K][D], logits[B][K], attention[B][D].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Vector = Sequence[float]


def distance(f: Vector, c: Vector, a: Vector) -> float:
    total = 0.0
    for d in range(len(f)):
        total += 0.5 * a[d] * (f[d] - c[d]) ** 2
    return total


def nearest(f: Vector, y: int, centers: Sequence[Vector], p: Vector, a: Vector, ratio: float) -> list[float]:
    best = -1
    for j in range(len(centers)):
        if j != y and (best < 0 or distance(f, centers[j], a) < distance(f, centers[best], a)):
            best = j
    return list(centers[best])


def prediction(f: Vector, y: int, centers: Sequence[Vector], p: Vector, a: Vector, ratio: float) -> list[float]:
    best = -1
    for j in range(len(centers)):
        if j != y and (best < 0 or p[j] > p[best]):
            best = j
    return list(centers[best])


def fully_synthesized(f: Vector, y: int, centers: Sequence[Vector], p: Vector, a: Vector, ratio: float) -> list[float]:
    made = []
    for d in range(len(f)):
        best = -1
        for j in range(len(centers)):
            if j != y and (best < 0 or abs(f[d] - centers[j][d]) < abs(f[d] - centers[best][d])):
                best = j
        made.append(centers[best][d])
    return made


def semi_synthesized(f: Vector, y: int, centers: Sequence[Vector], p: Vector, a: Vector, ratio: float) -> list[float]:
    near = nearest(f, y, centers, p, a, ratio)
    full = fully_synthesized(f, y, centers, p, a, ratio)
    gains = [(-a[d] * ((f[d] - near[d]) ** 2 - (f[d] - full[d]) ** 2), d) for d in range(len(f))]
    for _, d in sorted(gains)[: math.ceil(ratio * len(f) - 1e-9)]:
        near[d] = full[d]
    return near


ORACLES: dict[str, Callable[[Vector, int, Sequence[Vector], Vector, Vector, float], list[float]]] = {
    "nearest": nearest,
    "prediction": prediction,
    "semi-synthesized": semi_synthesized,
    "fully-synthesized": fully_synthesized,
}


def term(f: Vector, own: Vector, negative: Vector | None, a: Vector, margin: float, hinge: str) -> float:
    if negative is None:
        return distance(f, own, a)
    if hinge == "embedding":
        return max(0.0, distance(f, own, a) + margin - distance(f, negative, a))
    total = 0.0
    for d in range(len(f)):
        total += max(0.0, 0.5 * a[d] * ((f[d] - own[d]) ** 2 - (f[d] - negative[d]) ** 2) + margin / len(f))
    return total


def unit(v: Vector) -> list[float]:
    length = math.sqrt(sum(x * x for x in v))
    return [x / length for x in v]
