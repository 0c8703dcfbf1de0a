"""The best configuration: chosen by validation as the command chooses it, scored by what really trained it."""

from pathlib import Path
from statistics import mean, stdev

import pandas as pd
import pytest
from scipy.special import logit

from ablation.best import facts
from ablation.paths import RunPaths
from analysis import effects, load
from analysis.tables.best import Best, best
from search_spaces.space import Arm, Budget
from tests.support.made_runs import BRIDGES, write_run


def found(run: Path) -> Best:
    study, trials = load.study(run), load.trials(run)
    chosen = best(study, trials, effects.replicates(study, trials))
    assert chosen is not None
    return chosen


def alike(arm: Arm, replicate: int, seed: int) -> float:
    return 0.5


def test_ties_are_broken_as_the_command_breaks_them(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", value=alike)
    trials = pd.read_parquet(RunPaths(run).trials)
    place = [f"{trial.arm}/{trial.replicate}/{trial.phase}/{trial.index}" for trial in load.study(run).plan.trials()]
    trials.set_index("trial_id").loc[place].reset_index().to_parquet(RunPaths(run).trials, index=False)
    assert found(run).trial_id == facts(run)["trial_id"] == "reference/0/confirm/0"


def test_a_configuration_of_one_replicate_is_scored_over_its_seeds_and_the_procedure_over_replicates(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path / "run", seeds=3)
    trials = pd.read_parquet(RunPaths(run).trials)
    confirm = trials[trials["phase"] == "confirm"]
    top = confirm.sort_values("metric.val_strength").iloc[-1]
    chosen = found(run)
    assert chosen.trial_id == top["trial_id"]
    mine = confirm[confirm["arm"] == top["arm"]]
    own = mine.loc[mine["replicate"] == top["replicate"], "metric.test_strength"].tolist()
    assert (chosen.own.unit, chosen.own.n, chosen.own.planned) == ("seed", 3, 3)
    assert (chosen.own.mean, chosen.own.sd) == pytest.approx((mean(own), stdev(own)))
    by_replicate = mine.groupby("replicate")["metric.test_strength"].mean().tolist()
    assert (chosen.procedure.unit, chosen.procedure.n) == ("replicate", 3)
    assert (chosen.procedure.mean, chosen.procedure.sd) == pytest.approx((mean(by_replicate), stdev(by_replicate)))
    found_mean = mean(by_replicate)
    reach = 4.302653 * stdev(by_replicate) / 3**0.5 / (found_mean * (1 - found_mean))  # t of 2 degrees, from a table
    assert logit(chosen.procedure.high) - logit(found_mean) == pytest.approx(reach, rel=1e-6)


def test_without_search_all_replicates_trained_the_configuration(tmp_path: Path) -> None:
    idle = Budget(replicates=5, trials=0, epochs=4, grace_epochs=2, reduction_factor=2)
    run = write_run(tmp_path / "run", BRIDGES.model_copy(update={"budgets": {"quick": idle}}))
    assert (found(run).own.unit, found(run).own.n) == ("replicate", 5)
    assert found(run).own == found(run).procedure


def test_searched_values_say_where_they_were_searched_and_come_first(tmp_path: Path) -> None:
    rows = found(write_run(tmp_path / "run")).configuration.to_dict("records")
    assert rows[0] == {"name": "build.rate", "value": 0.4, "default": 0.1, "searched": "0.01 to 1, logarithmic"}
    assert [row["name"] for row in rows[1:]] == ["deck.material", "deck.span"]
    assert not any(row["searched"] or row["default"] for row in rows[1:])


def test_nothing_is_best_before_a_confirm_trial_has_completed(tmp_path: Path) -> None:
    statuses = {f"{arm.name}/{r}/confirm/0": ("pending", None) for arm in BRIDGES.arms() for r in range(3)}
    run = write_run(tmp_path / "run", statuses=statuses)
    study, trials = load.study(run), load.trials(run)
    assert best(study, trials, effects.replicates(study, trials)) is None
