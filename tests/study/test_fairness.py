"""Simulated studies name the better arm; the same simulation shows what unfair ways of comparing would have said."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from benchmarks import fairness
from benchmarks.fairness import FAST, SCENARIOS, SLOW, Answer, Scenario, measure, seeds_of, share, simulate, sweep

SLOW_STARTER, NOISIER, TOO_SLOW = SCENARIOS
SWEEPS = 24


@pytest.fixture(scope="module")
def answers() -> list[Answer]:
    return sweep(SLOW_STARTER, seeds_of("tests", 0, SWEEPS), processes=1)


def test_nearly_all_studies_name_the_slow_starter(answers: list[Answer]) -> None:
    assert fairness.named_right(SLOW_STARTER, answers) >= SWEEPS - 2
    means = [np.mean(answer.confirmed_R[SLOW]) - np.mean(answer.confirmed_R[FAST]) for answer in answers]
    assert np.mean(means) == pytest.approx(SLOW_STARTER.truth, abs=0.006)


def test_every_search_has_a_survivor_and_every_replicate_a_confirmed_value(answers: list[Answer]) -> None:
    assert all(answer.without_survivor == 0 for answer in answers)
    values = [value for answer in answers for arm in (FAST, SLOW) for value in answer.confirmed_R[arm]]
    assert len(values) == SWEEPS * 2 * SLOW_STARTER.replicates
    assert all(math.isfinite(value) for value in values)


def test_the_mean_of_the_last_search_values_names_the_wrong_arm(answers: list[Answer]) -> None:
    assert sum(answer.last_difference < 0 for answer in answers) > SWEEPS / 2


def test_rungs_that_compare_arms_leave_searches_without_survivor() -> None:
    pooled = [simulate(SLOW_STARTER, seed, across_arms=True) for seed in seeds_of("tests", 0, SWEEPS // 2)]
    assert sum(answer.without_survivor > 0 for answer in pooled) > SWEEPS / 4
    assert sum(not answer.best_difference > 0 for answer in pooled) > SWEEPS / 4


def test_answers_do_not_depend_on_the_number_of_processes(
    answers: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fairness, "SWEEPS_A_TASK", 1)
    assert sweep(SLOW_STARTER, seeds_of("tests", 0, 4), processes=2) == answers[:4]


def test_two_equal_arms_have_independent_noise() -> None:
    null = SLOW_STARTER.null()
    assert null.truth == 0
    found = [simulate(null, seed) for seed in seeds_of("tests, null", 0, 4)]
    confirmed = np.array([[answer.confirmed_R[FAST], answer.confirmed_R[SLOW]] for answer in found])
    assert len(np.unique(confirmed)) == confirmed.size
    assert confirmed.min() > 0.7 and confirmed.max() < 0.9


def test_the_truth_is_that_of_the_full_length() -> None:
    assert SLOW_STARTER.truth == pytest.approx(0.82 * (1 - math.exp(-27 / 5)) - 0.80 * (1 - math.exp(-27 / 4)))
    assert SLOW_STARTER.height(SLOW, 9) < SLOW_STARTER.height(FAST, 9)
    assert NOISIER.truth > 0 > TOO_SLOW.truth and TOO_SLOW.bonus > 0


def test_shares_come_with_exact_bounds() -> None:
    # Without any case of n the upper bound is 1 − 0.025^(1/n); with nothing else the lower one is its mirror.
    assert share(0, 50)["high"] == pytest.approx(1 - 0.025 ** (1 / 50))
    assert share(50, 50)["low"] == pytest.approx(0.025 ** (1 / 50))
    assert share(0, 50)["low"] == 0 and share(50, 50)["high"] == 1


def test_a_bar_is_met_by_the_bound_and_not_by_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Answer({SLOW: [0.9, 0.8], FAST: [0.7, 0.7]}, 0.0, 0.0, 0)
    undecided = Answer({SLOW: [0.9, 0.7], FAST: [0.8, 0.79]}, 0.0, 0.0, 0)

    def always(scenario: Scenario, seeds: list[int], processes: int, *, across_arms: bool = False) -> list[Answer]:
        return [right if scenario.truth else undecided for _ in seeds]

    monkeypatch.setattr(fairness, "sweep", always)
    few = measure(SLOW_STARTER, sweeps=40, seed=0, processes=1)
    assert few["sign_right"]["share"] == 1 and few["null_called_different"]["share"] == 0
    assert len(few["missed"]) == 2
    assert measure(SLOW_STARTER, sweeps=200, seed=0, processes=1)["missed"] == []


def test_a_missed_bar_is_printed_and_exits_with_1() -> None:
    app = typer.Typer()
    app.command()(fairness.main)
    asked = ["--sweeps", "2", "--processes", "1", "--scenario", "slow starter", "--set", "replicates=2"]
    outcome = CliRunner().invoke(app, asked)
    assert outcome.exit_code == 1
    (found,) = json.loads(outcome.stdout)["fairness"].values()
    assert found["constants"]["replicates"] == 2 and found["sign_right"]["of"] == 2
    assert "equal arms called different in at most 7%" in found["missed"]
