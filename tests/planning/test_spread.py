"""The spread that a plan reckons with: as an earlier run had it, or as stated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ablation.faults import FaultsError
from ablation.spread import SpreadAsked, spread_from, stated_spread
from search_spaces.metrics import Metric
from tests.support.plain_loop import run_study
from tests.toy_study import toy_plan


def test_spread_of_an_earlier_run_is_pooled_over_its_comparisons(tmp_path: Path) -> None:
    plan = toy_plan()
    plan = plan.model_copy(update={"budget": plan.budget.model_copy(update={"seeds": 2})})
    paths = run_study(plan, tmp_path / "toy")
    trials = pd.read_parquet(paths.trials)
    # One trial of one replicate did not complete: the replicate has no value, its pair does not count.
    is_lost = trials["trial_id"] == "baseline/1/confirm/0"
    trials.loc[is_lost, "status"] = "failed"
    trials.to_parquet(paths.trials)
    found = spread_from(paths.root, plan)
    confirmed = trials[trials["phase"] == "confirm"]
    means = confirmed.pivot_table(index="replicate", columns="arm", values="metric.test_score")
    means.loc[1, "baseline"] = np.nan
    differences = means.sub(means["reference"], axis=0).drop(columns="reference")
    freedom = differences.count() - 1
    assert found.sd == pytest.approx(np.sqrt((differences.var() * freedom).sum() / freedom.sum()))
    assert "11 pairs of 4 comparisons" in found.source and str(paths.root) in found.source


def test_a_run_without_spread_is_told(tmp_path: Path) -> None:
    plan = toy_plan()
    with pytest.raises(FaultsError, match="is no run directory"):
        spread_from(tmp_path / "nowhere", plan)
    paths = run_study(plan, tmp_path / "toy", most_epochs=5)
    with pytest.raises(FaultsError, match="no test scores of 'score'"):
        spread_from(paths.root, plan)
    paths = run_study(plan, tmp_path / "toy")
    with pytest.raises(FaultsError, match="no test scores of 'scores'; did you mean 'score'"):
        space = plan.space.model_copy(update={"metrics": (Metric(name="scores"),)})
        spread_from(paths.root, plan.model_copy(update={"space": space, "metric": "scores"}))
    trials = pd.read_parquet(paths.trials)
    trials[trials["replicate"] == 0].to_parquet(paths.trials)
    with pytest.raises(FaultsError, match="no declared comparison with two finished replicates"):
        spread_from(paths.root, plan)
    paths.trials.write_bytes(b"no table")
    with pytest.raises(FaultsError, match="--spread-from"):
        spread_from(paths.root, plan)


@pytest.mark.parametrize("sd", [0.0, -1.0, float("nan"), float("inf")])
def test_a_stated_spread_is_a_positive_number(sd: float) -> None:
    with pytest.raises(FaultsError, match="must be a number > 0"):
        stated_spread(sd)


def test_a_spread_is_asked_for_once_and_with_a_plan_only() -> None:
    both = SpreadAsked(-1.0, Path("earlier"))
    assert [fault.split(";")[0] for fault in both.faults(is_for_plan=False)] == [
        "--spread and --spread-from are for --plan",
        "--spread and --spread-from both give a spread",
        "--spread is -1, but must be a number > 0: the standard deviation of differences between two arms, in the "
        "metric's unit",
    ]
    assert SpreadAsked(None, None).faults(is_for_plan=False) == []
