"""The interval of a mean: Student's without a range, within the range with one, and as sure as it says."""

from math import exp, log
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ablation.best import facts
from ablation.mean_interval import mean_interval
from analysis import load
from analysis.effects import arms_table, replicates
from search_spaces.metrics import Metric
from search_spaces.space import Arm
from tests.support.made_runs import write_run

T_2 = 4.302652729911275  # two-sided 95 % point of t with 2 degrees of freedom, from tables
SAMPLE = np.array([0.61, 0.64, 0.60, 0.66, 0.63])


def test_without_a_range_1_2_3_is_2_plus_minus_t_over_root_3() -> None:
    mean, low, high = mean_interval([1.0, 2.0, 3.0])
    assert mean == pytest.approx(2.0)
    assert high - mean == pytest.approx(T_2 / 3**0.5)
    assert mean - low == pytest.approx(T_2 / 3**0.5)


def test_it_agrees_with_scipy_at_another_confidence() -> None:
    _, low, high = mean_interval(SAMPLE, confidence=0.9)
    expected = stats.ttest_1samp(SAMPLE, 0.0).confidence_interval(0.9)
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_a_share_has_its_interval_in_log_odds_worked_out_by_hand() -> None:
    # Mean 0.9, standard deviation 0.1; log odds log 9, whose slope is 1 / 0.09.
    mean, low, high = mean_interval([0.8, 0.9, 1.0], largest=1.0)
    odds = [exp(log(9) + sign * T_2 * 0.1 / 3**0.5 / 0.09) for sign in (-1, 1)]
    assert mean == pytest.approx(0.9)
    assert (low, high) == pytest.approx([one / (1 + one) for one in odds])
    assert mean_interval([0.8, 0.9, 1.0]).high > 1.1


def test_what_is_left_and_percentages_have_the_same_interval() -> None:
    mean, low, high = mean_interval(SAMPLE, largest=1.0)
    assert list(mean_interval(1 - SAMPLE, largest=1.0)) == pytest.approx([1 - mean, 1 - high, 1 - low])
    assert list(mean_interval(100 * SAMPLE, largest=100.0)) == pytest.approx([100 * mean, 100 * low, 100 * high])


def test_far_from_its_ends_a_range_changes_next_to_nothing() -> None:
    values = 0.5 + SAMPLE / 1000
    assert np.array(mean_interval(values, largest=1.0)) == pytest.approx(np.array(mean_interval(values)), rel=1e-7)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.5, 0.5], [1.0, 1.0], [0.0, 0.0], [np.nan, 1.0]])
def test_too_few_or_equal_values_have_no_interval(values: list[float]) -> None:
    for largest in (1.0, np.inf):
        _, low, high = mean_interval(values, largest)
        assert np.isnan(low)
        assert np.isnan(high)


def test_a_value_outside_of_the_range_shows_that_there_is_none() -> None:
    assert mean_interval([0.5, 1.2, 0.9], largest=1.0) == mean_interval([0.5, 1.2, 0.9])


def test_samples_at_once_equal_one_after_another_without_those_that_lack_a_value() -> None:
    together = mean_interval([[0.2, 0.4, np.nan], [0.5, 1.7, 0.9]], largest=1.0)
    alone = [mean_interval([0.2, 0.4], largest=1.0), mean_interval([0.5, 1.7, 0.9])]
    assert np.stack(together, axis=-1) == pytest.approx(np.array(alone))


@pytest.mark.parametrize("n", [3, 10])
@pytest.mark.parametrize(("mean", "sd"), [(0.5, 0.1), (0.9, 0.05), (0.97, 0.05), (0.03, 0.02)])
def test_the_interval_of_a_share_covers_its_mean_where_students_does_not(mean: float, sd: float, n: int) -> None:
    size = mean * (1 - mean) / sd**2 - 1
    values_SR = np.random.default_rng(0).beta(mean * size, (1 - mean) * size, (4000, n))
    covered = {}
    for largest in (1.0, np.inf):
        _, low_S, high_S = mean_interval(values_SR, largest)
        covered[largest] = float(((low_S <= mean) & (mean <= high_S)).mean())
    assert covered[1.0] > covered[np.inf]
    assert covered[1.0] > (0.88 if (mean, sd) == (0.97, 0.05) else 0.93)


def near_the_top(arm: Arm, replicate: int, seed: int) -> float:
    return (0.99, 0.93, 0.999)[replicate]


def test_page_and_command_keep_a_share_below_one_and_agree(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", value=near_the_top)
    study = load.study(run)
    row = arms_table(study, replicates(study, load.trials(run))).set_index("arm").loc["reference"]
    found = facts(run, "reference")
    ends = (row["strength_low"], row["strength_high"])
    assert 0.5 < ends[0] < ends[1] < 1
    assert (found["low"], found["high"]) == pytest.approx(ends)


@pytest.mark.parametrize(
    ("metric", "largest"),
    [
        (Metric(name="accuracy"), 1.0),
        (Metric(name="loss", direction="minimize"), np.inf),
        (Metric(name="error", direction="minimize", unit="share"), 1.0),
        (Metric(name="recall", unit="percent"), 100.0),
        (Metric(name="depth", unit="number"), np.inf),
    ],
)
def test_a_range_follows_from_the_unit(metric: Metric, largest: float) -> None:
    assert metric.largest([0.2, 0.9]) == largest
