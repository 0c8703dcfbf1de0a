"""Variance components: as computed by hand, as planted in a simulation, and none where they cannot be had."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ablation.variance_components import variance_components

# Two arms, three replicates, two runs each. By hand, of the first arm: replicates' means 2, 4, 9 about 5, so the sum of
# squares between is 2 (9 + 1 + 16) = 52; within it is 2 · (1 + 0 + 4) = 10. Of the second: 0, 3, 6 about 3: 36, and
# within 2 · (0 + 1 + 0) = 2. Together (52 + 36) / 4 = 22 between, (10 + 2) / 6 = 2 within: (22 − 2) / 2 = 10.
BY_HAND: Any = [[[1, 3], [4, 4], [7, 11]], [[0, 0], [2, 4], [6, 6]]]


def test_it_is_what_a_hand_computes() -> None:
    assert variance_components(BY_HAND) == (10.0, 2.0, 4, 6, False)


def test_unequal_numbers_of_runs_are_weighted() -> None:
    # One arm: replicates of 3, 1 and 2 runs. Means 2, 5, 8 about (6 + 5 + 16) / 6 = 4.5: between
    # (3 · 6.25 + 0.25 + 2 · 12.25) / 2 = 21.75; within (2 + 0 + 2) / 3; n0 = (6 − (9 + 1 + 4) / 6) / 2 = 11 / 6.
    found = variance_components(np.array([[[1, 2, 3], [5, np.nan, np.nan], [7, 9, np.nan]]]))
    assert found is not None
    assert (found.between, found.within) == pytest.approx(((21.75 - 4 / 3) / (11 / 6), 4 / 3))
    assert (found.between_df, found.within_df) == (2, 3)


def test_planted_variances_come_back() -> None:
    random = np.random.default_rng(3)
    search_ARS, seed_ARS = random.normal(scale=0.8, size=(4, 400, 1)), random.normal(scale=0.5, size=(4, 400, 3))
    found = variance_components(np.arange(4.0)[:, None, None] + search_ARS + seed_ARS)
    assert found is not None
    assert (found.between, found.within) == pytest.approx((0.64, 0.25), rel=0.1)


def test_estimates_are_right_on_average_where_studies_are_small() -> None:
    random = np.random.default_rng(4)
    drawn = random.normal(size=(2000, 3, 3, 1)) + random.normal(scale=0.5, size=(2000, 3, 3, 2))
    found = [one for study in drawn if (one := variance_components(study)) is not None]
    assert np.mean([one.between for one in found]) == pytest.approx(1.0, abs=0.06)
    assert np.mean([one.within for one in found]) == pytest.approx(0.25, abs=0.01)


def test_a_negative_estimate_is_0_and_says_so() -> None:
    found = variance_components([[[0.0, 4.0], [1.0, 3.0]]])
    assert found is not None and found.between == 0.0 and found.is_clipped


@pytest.mark.parametrize("scores", [[[[1.0], [2.0]]], [[[1.0, 2.0]]], [[[1.0, np.nan], [np.nan, 2.0]]]])
def test_nothing_is_split_that_cannot_be(scores: Any) -> None:
    assert variance_components(scores) is None
