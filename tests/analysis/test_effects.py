"""The effects of made runs are the planted ones, and what has no result is said."""

from pathlib import Path
from statistics import stdev, variance

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ablation.power import detectable_difference
from analysis import effects, load
from analysis.statistics.moderated import prior_of
from analysis.tables import effort, recall
from search_spaces.space import Arm
from tests.support import plain_moderation
from tests.support.made_runs import write_run

# Replicates differ by whole tenths, arms by the second decimal, with differences -1, -2, -3 hundredths.
REFERENCE = (0.70, 0.80, 0.90)
WOOD = (0.69, 0.78, 0.87)


def planted(arm: Arm, replicate: int, seed: int) -> float:
    return {"reference": REFERENCE, "material=wood": WOOD}.get(arm.name, (0.1, 0.3, 0.2))[replicate]


def tables(run: Path) -> tuple[load.PlannedStudy, pd.DataFrame, pd.DataFrame]:
    study, trials = load.study(run), load.trials(run)
    return study, trials, effects.replicates(study, trials)


def samples(study: load.PlannedStudy, table: pd.DataFrame) -> list[list[float]]:
    """List the differences of every declared comparison, pair by pair."""
    found = []
    for arm, against in study.comparisons:
        whole, _ = effects.pairs(table, arm, against, "strength")
        found.append((whole["arm"] - whole["against"]).tolist())
    return found


def test_planted_differences_are_found_with_their_interval_and_p(tmp_path: Path) -> None:
    study, _, table = tables(write_run(tmp_path / "run", value=planted))
    arms = effects.arms_table(study, table).set_index("arm")
    wood = arms.loc["material=wood"]
    differences = samples(study, table)
    s0, d0 = plain_moderation.prior([variance(sample) for sample in differences], [2] * 4)
    p, low, high = plain_moderation.p_and_ends(-0.02, 0.01**2, 3, s0, d0, 4)
    assert wood["difference"] == pytest.approx(-0.02)
    assert (wood["difference_low"], wood["difference_high"]) == pytest.approx((low, high))
    assert wood["strength"] == pytest.approx(0.78)
    assert arms.loc["reference", "strength"] == pytest.approx(0.80)
    assert arms["difference"].isna().tolist() == [True] + [False] * 4
    row = effects.comparisons_table(study, table).set_index("arm").loc["material=wood"]
    assert row["p_t"] == pytest.approx(stats.ttest_rel(WOOD, REFERENCE).pvalue)
    assert (row["p"], row["low"], row["high"]) == pytest.approx((p, low, high))
    assert row["sd"] == pytest.approx(0.01)
    assert (row["p_flip"], row["p_flip_floor"], row["n"]) == (0.25, 0.25, 3)
    prior = prior_of([stdev(sample) for sample in differences], [3] * 4)
    assert row["detectable"] == pytest.approx(
        detectable_difference(float(np.asarray(row["sd_moderated"])), 3, 4, prior=prior)
    )


def test_holm_runs_over_the_declared_list(tmp_path: Path) -> None:
    study, _, table = tables(write_run(tmp_path / "run"))
    comparisons = effects.comparisons_table(study, table)
    assert [tuple(pair) for pair in comparisons[["arm", "against"]].to_numpy()] == list(study.comparisons)
    assert comparisons["p_holm"].tolist() == pytest.approx(plain_moderation.adjusted(samples(study, table)))


def test_one_difference_has_one_interval_in_every_table(tmp_path: Path) -> None:
    study, _, table = tables(write_run(tmp_path / "run"))
    tested = effects.comparisons_table(study, table).set_index("arm")
    arms = effects.arms_table(study, table).set_index("arm").loc[tested.index]
    assert arms["difference_low"].tolist() == tested["low"].tolist()
    described = effects.differences_table(study, table)
    described = described[(described["metric"] == "strength") & (described["against"] == "reference")].set_index("arm")
    assert described.loc[tested.index, "high"].tolist() == tested["high"].tolist()
    home = effects.differences_table(study, table)
    turned = home[(home["metric"] == "strength") & (home["arm"] == "reference") & (home["against"] == "baseline")]
    assert turned["low"].tolist() == [-float(np.asarray(tested.loc["baseline", "high"]))]


def test_confirm_seeds_of_a_replicate_are_averaged_before_anything_else(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", seeds=2, value=lambda arm, replicate, seed: REFERENCE[replicate] - 0.1 * seed)
    study, _, table = tables(run)
    values = effects.values(table, "reference", "strength")
    assert values.tolist() == pytest.approx([0.65, 0.75, 0.85])
    assert effects.arms_table(study, table)["n"].tolist() == [3] * 5


def test_a_replicate_without_result_leaves_the_pair_and_is_said(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", statuses={"material=wood/1/confirm/0": ("failed", "no_survivor")})
    study, _, table = tables(run)
    row = effects.comparisons_table(study, table).set_index("arm").loc["material=wood"]
    assert (row["n"], row["dropped"]) == (2, "1")
    arm = effects.arms_table(study, table).set_index("arm").loc["material=wood"]
    assert (arm["n"], arm["planned"], arm["missing"]) == (2, 3, "1")


def test_a_replicate_counts_only_when_all_its_seeds_completed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", seeds=2, statuses={"reference/0/confirm/1": ("diverged", "val_loss is nan")})
    _, _, table = tables(run)
    assert effects.values(table, "reference", "strength").isna().tolist() == [True, False, False]


def test_a_study_with_nothing_confirmed_has_no_numbers_and_no_errors(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    trials = pd.read_parquet(run / "trials.parquet")
    trials.loc[trials["phase"] == "confirm", "status"] = "pending"
    trials.drop(columns=["metric.test_strength", "metric.test_beauty"]).to_parquet(run / "trials.parquet")
    study, trials, table = tables(run)
    assert effects.arms_table(study, table)["n"].tolist() == [0] * 5
    assert effects.comparisons_table(study, table)["significant"].tolist() == [False] * 4


def test_the_response_follows_the_reference_through_a_numeric_factor(tmp_path: Path) -> None:
    study, _, table = tables(write_run(tmp_path / "run"))
    ((factor, curve),) = effects.responses(study, table).items()
    assert factor == "deck.span"
    assert curve["level"].tolist() == [1.0, 10.0, 100.0]
    assert curve["arm"].tolist() == ["span=1.0", "reference", "span=100.0"]


def test_a_factorial_design_gives_the_same_slice(tmp_path: Path) -> None:
    study, _, table = tables(write_run(tmp_path / "run", design="factorial"))
    assert effects.responses(study, table)["deck.span"]["level"].tolist() == [1.0, 10.0, 100.0]


def test_every_arms_effort_adds_up(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", statuses={"baseline/0/search/0": ("failed", "out of memory")})
    study, trials, _ = tables(run)
    table = effort.effort_table(study, trials).set_index("arm")
    assert set(table["search"]) == {6}
    assert [table.at["baseline", f"search_{status}"] for status in ("completed", "stopped", "failed")] == [2, 3, 1]
    assert sum(table["epochs"]) == int(trials["epochs_trained"].sum())


def test_chosen_values_are_those_of_the_confirm_trials(tmp_path: Path) -> None:
    study, trials, _ = tables(write_run(tmp_path / "run"))
    table = effort.chosen(study, trials)
    mine = table[table["arm"] == "reference"]
    assert mine["value"].tolist() == pytest.approx([0.1, 0.2, 0.4])
    assert set(mine["default"]) == {"0.1"}


def test_recall_of_each_class_is_the_mean_over_replicates(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", value=planted, artifacts=True)
    study, trials, _ = tables(run)
    table = recall.per_class_recall(study, trials, load.confusions(run)).set_index(["arm", "class_name"])
    assert table.loc[("reference", "calm"), "mean"] == pytest.approx(0.80)
    assert table.loc[("reference", "stormy"), "mean"] == pytest.approx(0.78)
    assert table.loc[("material=wood", "calm"), "difference"] == pytest.approx(-0.02)
    assert table.loc[("reference", "calm"), "n"] == 3


def test_differences_without_spread_are_not_tested(tmp_path: Path) -> None:
    study, _, table = tables(
        write_run(tmp_path / "run", value=lambda arm, replicate, seed: 0.5 + 0.1 * len(arm.name) / 9)
    )
    rows = effects.comparisons_table(study, table)
    assert rows[["p", "low", "high", "detectable"]].isna().all(axis=None)
    assert not rows["significant"].any()
