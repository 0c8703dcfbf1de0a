"""The search phase as description: censored trials stay censored, and scores meet at equal epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import importance as ranking
from analysis import load
from analysis.load import PlannedStudy
from analysis.tables import effort, search_phase
from search_spaces.space import Choice
from tests.support.made_runs import BRIDGES, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("search") / "run")


@pytest.fixture(scope="module")
def study(run: Path) -> PlannedStudy:
    return load.study(run)


def search_trials(lengths: list[tuple[str, int, str]]) -> pd.DataFrame:
    """Make search trials of one arm and replicate from (id, epochs trained, status)."""
    rows = [
        {"trial_id": name, "arm": "reference", "replicate": 0, "phase": "search", "index": i, "status": status}
        | {"epochs_trained": epochs, "epochs_planned": 4}
        for i, (name, epochs, status) in enumerate(lengths)
    ]
    return pd.DataFrame(rows)


def curves(values: dict[str, list[float]], order: list[str]) -> pd.DataFrame:
    """Make epochs whose ``seq`` follows ``order``, a trial's id for each epoch it reports in turn."""
    reported = dict.fromkeys(values, 0)
    rows: list[dict[str, Any]] = []
    for seq, name in enumerate(order):
        rows.append({"trial_id": name, "epoch": reported[name] + 1, "seq": seq, "epoch_s": 1.0})
        rows[-1]["metric.val_strength"] = values[name][reported[name]]
        reported[name] += 1
    return pd.DataFrame(rows)


def test_survival_counts_stopped_trials_as_gone_and_interrupted_ones_as_censored(study: PlannedStudy) -> None:
    trials = search_trials(
        [("a", 4, "completed"), ("b", 2, "stopped"), ("c", 1, "interrupted"), ("d", 0, "failed"), ("e", 0, "pending")]
    )
    curve = search_phase.survival_curve(study, trials)
    # Four began; one failed at once (3/4), one was cut off, and of the two left at epoch 2 one was stopped.
    assert curve["share"].tolist() == pytest.approx([3 / 4, 3 / 4, 3 / 8, 3 / 8, 3 / 8])
    assert curve["at_risk"].tolist() == [4, 3, 2, 1, 1]


def test_best_so_far_rises_with_completed_trials_only(study: PlannedStudy) -> None:
    trials = search_trials([("a", 4, "completed"), ("b", 2, "stopped"), ("c", 4, "completed")])
    values = {"a": [0.1, 0.9, 0.3, 0.5], "b": [0.8, 0.99], "c": [0.1, 0.2, 0.3, 0.6]}
    epochs = curves(values, ["a", "b", "a", "b", "a", "a", "c", "c", "c", "c"])
    found = search_phase.best_so_far(study, trials, epochs)
    assert found["epochs_spent"].tolist() == [6, 7, 8, 9, 10]
    assert found["best"].tolist() == [0.5, 0.5, 0.5, 0.5, 0.6]


def test_scores_are_compared_at_the_first_rung_which_every_trial_reached(run: Path, study: PlannedStudy) -> None:
    epoch = search_phase.comparison_epoch(study)
    found = search_phase.scores_at(study, load.trials(run), load.epochs(run), epoch)
    assert epoch == 2
    assert len(found) == 5 * 3 * 2
    assert set(found["status"]) == {"completed", "stopped"}


def test_tuning_gain_compares_at_the_last_epoch_that_both_reached(study: PlannedStudy) -> None:
    trials = search_trials([("a", 2, "stopped"), ("b", 4, "completed"), ("c", 4, "completed")])
    trials["config.build.rate"] = [0.1, 0.5, 0.2]
    trials["metric.val_strength"] = [0.45, 0.7, 0.6]
    values = {"a": [0.2, 0.45], "b": [0.1, 0.3, 0.6, 0.7], "c": [0.1, 0.5, 0.55, 0.6]}
    epochs = curves(values, ["a"] * 2 + ["b"] * 4 + ["c"] * 4)
    row = search_phase.tuning_gain(study, trials, epochs).iloc[0]
    assert (row["epoch"], row["default"], row["tuned"]) == (2, 0.45, 0.3)
    assert row["gain"] == pytest.approx(-0.15)
    assert (row["default_status"], row["default_won"]) == ("stopped", False)
    trials["config.build.rate"] = 0.3  # the first trial was no default
    assert search_phase.tuning_gain(study, trials, epochs).empty


def test_in_a_joint_design_the_first_trial_is_the_default_at_the_reference_levels(tmp_path: Path) -> None:
    # The reference's span is the second of its levels; the made search keeps the default rate in replicate 0 only.
    run = write_run(tmp_path / "joint", design="joint")
    study, trials, epochs = load.study(run), load.trials(run), load.epochs(run)
    assert search_phase.tuning_gain(study, trials, epochs)["replicate"].tolist() == [0]
    starts = effort.chosen(study, trials).drop_duplicates("name").set_index("name")["default"]
    assert starts.to_dict() == {"deck.material": "steel", "deck.span": "10.0", "build.rate": "0.1"}
    trials.loc[trials["index"] == 0, "config.deck.span"] = 1.0
    assert search_phase.tuning_gain(study, trials, epochs).empty


def test_levels_of_several_kinds_are_known_again_as_the_text_that_they_share_a_column_as(tmp_path: Path) -> None:
    update = {
        "factors": {"deck.paint": Choice(values=("red", False))},
        "reference": {"deck.paint": False},
        "baseline": {"deck.paint": "red"},
    }
    run = write_run(tmp_path / "mixed", BRIDGES.model_copy(update=update), design="joint")
    study, trials, epochs = load.study(run), load.trials(run), load.epochs(run)
    trials["config.deck.paint"] = trials["config.deck.paint"].map(str)
    assert search_phase.tuning_gain(study, trials, epochs)["replicate"].tolist() == [0]


def test_chosen_values_at_the_ends_of_a_logarithmic_range_are_counted(study: PlannedStudy) -> None:
    # 0.01..1: 5 % of the two decades is a factor of 10^0.1 = 1.26.
    values = [0.0124, 0.0127, 0.1, 0.8, 0.79]
    chosen = pd.DataFrame({"arm": "reference", "replicate": range(5), "name": "build.rate", "value": values})
    found = search_phase.edges(study, chosen).set_index("end")
    assert found["at_edge"].to_dict() == {"low": 1, "high": 1}
    assert found["bound"].to_dict() == {"low": 0.01, "high": 1.0}


def planted(study: PlannedStudy, effect: float, n: int = 40) -> tuple[pd.DataFrame, pd.DataFrame]:
    random = np.random.default_rng(1)
    rate = 0.01 * 100 ** random.uniform(size=n)
    score = effect * np.log(rate) + random.normal(size=n)
    trials = search_trials([(f"t{i}", 2, "stopped") for i in range(n)]).assign(**{"config.build.rate": rate})
    epochs = curves({f"t{i}": [0.0, score[i]] for i in range(n)}, [f"t{i // 2}" for i in range(2 * n)])
    return trials, epochs


def test_importance_is_spearmans_correlation_with_an_interval_that_finds_what_was_planted(study: PlannedStudy) -> None:
    trials, epochs = planted(study, 1.0)
    row = ranking.importance(study, trials, epochs).iloc[0]
    scores = epochs[epochs["epoch"] == 2]["metric.val_strength"]
    expected = stats.spearmanr(trials["config.build.rate"], scores).statistic
    assert row["rho"] == pytest.approx(expected)
    assert 0 < row["rho_low"] < row["rho"] < row["rho_high"] < 1
    # A parabola explains at least what a straight line in the ranks' logarithms does, and more than luck.
    assert row["luck"] < row["explained"] <= 1
    assert (row["trials"], row["epoch"]) == (40, 2)


def test_importance_of_nothing_is_not_told_from_luck_and_is_the_same_again(study: PlannedStudy) -> None:
    trials, epochs = planted(study, 0.0)
    first, again = (ranking.importance(study, trials, epochs) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert first["rho_low"].iloc[0] < 0 < first["rho_high"].iloc[0]
    assert first["explained"].iloc[0] < first["luck"].iloc[0]


def test_an_optimum_inside_the_range_is_seen_by_what_is_explained(study: PlannedStudy) -> None:
    trials, epochs = planted(study, 0.0)
    place = np.log(trials["config.build.rate"] / 0.1)
    epochs.loc[epochs["epoch"] == 2, "metric.val_strength"] = -(place**2).to_numpy()
    row = ranking.importance(study, trials, epochs).iloc[0]
    assert abs(row["rho"]) < 0.5 < row["explained"]


def test_too_few_trials_have_no_importance(study: PlannedStudy) -> None:
    trials, epochs = planted(study, 1.0, n=5)
    assert ranking.importance(study, trials, epochs).empty
