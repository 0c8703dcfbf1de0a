"""Draw docs/negatives.svg: one sample among five class centers, and the negative that each strategy gives it.

The negatives come from ``ablation.tcl.negatives`` itself, and so do the dashed lines: a center lent a coordinate where
the negative's gradient reaches it. Run: ``python -m docs.figures.negatives``.

Shapes: B = 1 sample, K classes, D = 2 embedding dimensions.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch

from ablation.tcl.loss import TripletCenterLoss
from ablation.tcl.negatives import NEGATIVES

TARGET = Path(__file__).parent.parent / "negatives.svg"

Point = tuple[float, float]
SAMPLE: Point = (0.0, 0.0)
MARGIN, RATIO = 1.0, 0.5
# The sample's own class is the first.
CENTERS: tuple[Point, ...] = ((-1.2, 1.2), (1.6, 1.4), (2.8, -1.6), (0.4, -2.7), (-2.9, 0.6))
PROBABILITIES = (0.40, 0.12, 0.32, 0.06, 0.10)
NAMES = ("y", "1", "2", "3", "4")
NAMED_BELOW = (2, 3)  # these centers' names would stand on lines above them
# Each strategy, what it does in words, and where its label n stands from the negative, in pixels.
PANELS: tuple[tuple[str, str, Point], ...] = (
    ("fully-synthesized", "in each dimension the closest other center’s value", (14, -10)),
    ("semi-synthesized", "so where that gains most, the nearest center elsewhere", (14, 20)),
    ("nearest", "the closest other center", (16, 22)),
    ("prediction", "the most probable other class’s center", (20, -4)),
)

WIDTH, PANEL_W, PANEL_H, GAP, LEGEND_H = 980, 466, 470, 16, 74
UNIT = 50  # pixels of one unit of the embedding
INK, MUTED, FAINT = "#1f2933", "#566370", "#d5dbe1"
OWN, OTHER, NEGATIVE = "#0969da", "#8a94a0", "#c2410c"
STYLE = f"""
text {{ font: 15px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: {INK}; }}
.title {{ font-size: 18px; font-weight: 600; }}
.muted {{ fill: {MUTED}; }}
.own {{ fill: {OWN}; }}
.negative {{ fill: {NEGATIVE}; font-weight: 600; }}
.halo {{ paint-order: stroke; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round; }}
.ball {{ fill: {NEGATIVE}; fill-opacity: 0.08; stroke: {NEGATIVE}; stroke-opacity: 0.45; }}
.push {{ stroke: {NEGATIVE}; stroke-width: 2; }}
.pull {{ stroke: {OWN}; stroke-width: 2; }}
.lent {{ stroke: {INK}; stroke-width: 1.2; stroke-dasharray: 3 4; }}
.axis {{ stroke: {FAINT}; }}
"""


class Choice(NamedTuple):
    """What a strategy gives the sample.

    Attributes:
        negative: the point n.
        lenders: for each dimension, the index of the center that its value comes from.
        term: the triplet-center term T.
    """

    negative: Point
    lenders: tuple[int, int]
    term: float


def choose(strategy: str) -> Choice:
    """Ask the model's own code for the sample's negative, who lent it, and the term."""
    centers_KD = torch.tensor(CENTERS, dtype=torch.float64, requires_grad=True)
    features_BD = torch.tensor([SAMPLE], dtype=torch.float64)
    labels_B = torch.tensor([0])
    logits_BK = torch.tensor([PROBABILITIES], dtype=torch.float64).log()
    negatives_BD = NEGATIVES[strategy](
        features_BD, labels_B, centers_KD, logits_BK, torch.ones_like(features_BD), synthesis_ratio=RATIO
    )
    (gradient_KD,) = torch.autograd.grad(negatives_BD.sum(), centers_KD)
    first, second = gradient_KD.argmax(0).tolist()
    loss = TripletCenterLoss(len(CENTERS), 2, negatives=strategy, margin=MARGIN, synthesis_ratio=RATIO).double()
    with torch.no_grad():
        loss.centers_KD.copy_(centers_KD)
    terms_B, _ = loss(features_BD, labels_B, logits_BK)
    x, y = negatives_BD[0].tolist()
    return Choice((x, y), (first, second), terms_B.item())


def half_square(point: Point) -> float:
    """Return D(f, point), with all attention 1."""
    return math.dist(SAMPLE, point) ** 2 / 2


def draw() -> str:
    """Return the figure as SVG."""
    height = GAP + 2 * (PANEL_H + GAP) + LEGEND_H
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-labelledby="title">',
        '<title id="title">The negative that each of four strategies gives one sample among five class centers</title>',
        f"<style>{STYLE}</style>",
        # A background of its own, since pages are light or dark.
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="14" fill="#ffffff" stroke="{FAINT}"/>',
    ]
    for number, (strategy, words, label_at) in enumerate(PANELS):
        row, column = divmod(number, 2)
        place = f"translate({GAP + column * (PANEL_W + GAP)} {GAP + row * (PANEL_H + GAP)})"
        parts += [f'<g transform="{place}">', *panel(strategy, words, label_at), "</g>"]
    parts += [f'<g transform="translate({GAP} {height - LEGEND_H})">', *legend(), "</g>", "</svg>"]
    return "\n".join(parts) + "\n"


def panel(strategy: str, words: str, label_at: Point) -> list[str]:
    """Draw one strategy: its ball below, then lines, centers, sample and words."""
    negative, lenders, term = choose(strategy)
    x, y = at(negative)
    fx, fy = at(SAMPLE)
    is_virtual = negative not in CENTERS
    parts = [
        f'<rect width="{PANEL_W}" height="{PANEL_H}" rx="10" fill="none" stroke="{FAINT}"/>',
        text(16, 30, strategy + f", ρ = {RATIO}" * strategy.startswith("semi"), "title"),
        text(16, 53, words, "muted"),
        *axes(),
        f'<circle class="ball" cx="{fx:g}" cy="{fy:g}" r="{math.dist(SAMPLE, negative) * UNIT:.2f}"/>',
    ]
    if is_virtual:
        parts += [line(at(CENTERS[lender]), (x, y), "lent") for lender in dict.fromkeys(lenders)]
    parts += [line((fx, fy), at(CENTERS[0]), "pull"), line((fx, fy), (x, y), "push")]
    for index, center in enumerate(CENTERS):
        parts += center_mark(index, center, with_probability=strategy == "prediction")
    if is_virtual:
        parts.append(diamond((x, y), 8, f'fill="#ffffff" stroke="{NEGATIVE}" stroke-width="2"'))
    parts += [
        f'<circle cx="{x:g}" cy="{y:g}" r="14" fill="none" stroke="{NEGATIVE}" stroke-width="2.5"/>',
        text(x + label_at[0], y + label_at[1], "n", "negative halo"),
        f'<circle cx="{fx:g}" cy="{fy:g}" r="6.5" fill="{OWN}" stroke="#ffffff" stroke-width="1.5"/>',
        text(fx - 18, fy + 18, "f", "own halo"),
        *sums(negative, term),
    ]
    return parts


def sums(negative: Point, term: float) -> list[str]:
    """Write the term out, so that the panels can be compared."""
    own, other = half_square(CENTERS[0]), half_square(negative)
    clipped = f"{term:.2f}" if term > 0 else "0"
    return [
        text(16, PANEL_H - 16, f"D(f, n) = {other:.2f}", "negative"),
        text(152, PANEL_H - 16, f"T = [ {own:.2f} + {MARGIN:g} − {other:.2f} ]₊ = {clipped}", ""),
    ]


def axes() -> list[str]:
    """Draw the two dimensions through the sample."""
    (left, low), (right, high) = at((-4.3, -3.5)), at((4.3, 3.5))
    fx, fy = at(SAMPLE)
    return [
        line((left, fy), (right, fy), "axis"),
        line((fx, low), (fx, high), "axis"),
        text(right, fy - 7, "d = 1", "muted", "end"),
        text(fx + 8, high + 3, "d = 2", "muted"),
    ]


def center_mark(index: int, center: Point, *, with_probability: bool) -> list[str]:
    """Draw a center and its name, with the class's probability where it matters."""
    x, y = at(center)
    colour, kind = (OWN, "own") if index == 0 else (OTHER, "muted")
    name = f'c<tspan dy="4" font-size="11">{NAMES[index]}</tspan>'
    if with_probability:
        name += f'<tspan dy="-4">, p = {PROBABILITIES[index]:.2f}</tspan>'
    return [
        diamond((x, y), 8, f'fill="{colour}"'),
        text(x, y + 31 if index in NAMED_BELOW else y - 21, name, f"{kind} halo", "middle"),
    ]


def legend() -> list[str]:
    """Explain the marks, once for all panels."""
    return [
        f'<circle cx="16" cy="14" r="6.5" fill="{OWN}"/>',
        text(30, 19, "sample f", ""),
        diamond((126, 14), 8, f'fill="{OWN}"'),
        text(142, 19, "its own class’s center", ""),
        diamond((324, 14), 8, f'fill="{OTHER}"'),
        text(340, 19, "other classes’ centers", ""),
        f'<circle cx="546" cy="14" r="11" fill="none" stroke="{NEGATIVE}" stroke-width="2.5"/>',
        text(565, 19, "negative n", ""),
        diamond((672, 14), 8, f'fill="#ffffff" stroke="{NEGATIVE}" stroke-width="2"'),
        text(688, 19, "a point that is no class’s center", ""),
        line((6, 46), (26, 46), "pull"),
        text(34, 51, "pull", ""),
        line((82, 46), (102, 46), "push"),
        text(110, 51, "push", ""),
        line((166, 46), (196, 46), "lent"),
        text(204, 51, "a center lends a coordinate", ""),
        '<circle class="ball" cx="446" cy="46" r="10"/>',
        text(464, 51, "all that is closer to f than n", ""),
        text(688, 51, f"D(f, n) = ½ ‖f − n‖², m = {MARGIN:g}", ""),
    ]


def at(point: Point) -> Point:
    """Place a point of the embedding in a panel, in pixels."""
    return round(PANEL_W / 2 + UNIT * point[0], 2), round(250 - UNIT * point[1], 2)


def line(start: Point, end: Point, kind: str) -> str:
    """Draw a straight line of a class of the style."""
    return f'<line class="{kind}" x1="{start[0]:g}" y1="{start[1]:g}" x2="{end[0]:g}" y2="{end[1]:g}"/>'


def diamond(middle: Point, radius: float, look: str) -> str:
    """Draw a center's mark."""
    x, y = middle
    return f'<path d="M{x:g} {y - radius:g} l{radius} {radius} l-{radius} {radius} l-{radius} -{radius} z" {look}/>'


def text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    """Write words, which may hold tspans, from (``start``), about (``middle``) or up to (``end``) x."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{words}</text>'


if __name__ == "__main__":
    TARGET.write_text(draw(), encoding="utf-8")
    print(f"wrote {TARGET.name}")
