"""ASHA's decision, against a plain count."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ablation.study.rungs import goes_on

values = st.floats(-1, 1)


def test_the_first_to_arrive_goes_on() -> None:
    assert goes_on(-1e9, [], 3)


def test_one_in_eta_goes_on() -> None:
    assert not goes_on(0.4, [0.5, 0.1], 3)
    assert goes_on(0.4, [0.5, 0.1, 0.2, 0.3, 0.0], 3)
    assert not goes_on(0.4, [0.5, 0.6, 0.2, 0.3, 0.0], 3)


@given(values, st.lists(values, max_size=30), st.integers(2, 5))
def test_it_goes_on_when_among_the_best_of_all_that_arrived(value: float, earlier: list[float], factor: int) -> None:
    ranked = sorted([*earlier, value], reverse=True)
    places = max(1, len(ranked) // factor)
    assert goes_on(value, earlier, factor) == (value >= ranked[places - 1])


@given(st.lists(values, min_size=1, max_size=30), st.integers(2, 5))
def test_the_best_of_all_always_goes_on(arrivals: list[float], factor: int) -> None:
    best = arrivals.index(max(arrivals))
    assert goes_on(arrivals[best], arrivals[:best], factor)
