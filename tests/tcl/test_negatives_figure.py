"""The figure of the negatives is what its script makes, and what the model's code picks."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from docs.figures.negatives import CENTERS, PANELS, SAMPLE, TARGET, choose, draw

PICKED = {
    "fully-synthesized": ((0.4, 0.6), (3, 4)),
    "semi-synthesized": ((0.4, 1.4), (3, 1)),
    "nearest": (CENTERS[1], (1, 1)),
    "prediction": (CENTERS[2], (2, 2)),
}


def test_the_committed_file_is_what_the_script_makes() -> None:
    assert TARGET.read_text(encoding="utf-8") == draw(), "run python -m docs.figures.negatives"


def test_it_is_well_formed_and_has_a_panel_for_each_strategy() -> None:
    root = ElementTree.fromstring(draw())
    titles = [node.text or "" for node in root.iter("{http://www.w3.org/2000/svg}text") if node.get("class") == "title"]
    assert [title.partition(",")[0] for title in titles] == [strategy for strategy, *_ in PANELS]


@pytest.mark.parametrize("strategy", list(PICKED))
def test_each_strategy_picks_another_point_from_the_centers_drawn(strategy: str) -> None:
    choice = choose(strategy)
    assert (choice.negative, choice.lenders) == PICKED[strategy]


def test_panels_go_from_the_hardest_negative_to_the_easiest() -> None:
    distances = [math.dist(SAMPLE, choose(strategy).negative) for strategy, *_ in PANELS]
    assert distances == sorted(set(distances))


def test_the_sums_as_printed_add_up() -> None:
    sums = re.findall(r"\[ ([\d.]+) \+ ([\d.]+) − ([\d.]+) \]₊ = ([\d.]+)", draw())
    assert len(sums) == len(PANELS)
    for own, margin, other, term in sums:
        assert float(term) == pytest.approx(max(float(own) + float(margin) - float(other), 0))
