"""A study of one arm: it says how well the best configuration does, what that rests on, and compares nothing."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev

import pandas as pd
import pytest

from ablation.best import facts
from ablation.paths import RunPaths
from analysis.answer import answer
from analysis.caveats import caveats
from analysis.evidence import Evidence, gather
from analysis.findings import findings
from search_spaces.space import Budget, Float
from tests.support.made_runs import BRIDGES, Statuses, write_run
from tests.support.plain_loop import run_study
from tests.toy_study import plain_plan

THIN = "\N{NARROW NO-BREAK SPACE}"
BRIDGE: dict[str, dict[str, object]] = {"factors": {}, "reference": {}, "baseline": {}}


def made(root: Path, statuses: Statuses | None = None, **budget: int) -> Evidence:
    """Gather a made plain search whose strength is 0.70 + 0.01 a replicate + 0.001 a seed + a wobble."""
    asked = {"replicates": 1, "trials": 2, "seeds": 1, "epochs": 4, "grace_epochs": 2, "reduction_factor": 2, **budget}
    quick = Budget(**asked)
    return gather(
        write_run(root, BRIDGES.model_copy(update={**BRIDGE, "budgets": {"quick": quick}}), statuses=statuses)
    )


def scored(found: Evidence) -> list[float]:
    confirm = found.trials[found.trials["phase"] == "confirm"]
    return [float(value) for value in confirm["metric.test_strength"]]


def said(found: Evidence) -> tuple[str, ...]:
    return tuple(sentence.replace(THIN, " ") for sentence in answer(found))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> RunPaths[Path]:
    return run_study(plain_plan(), tmp_path_factory.mktemp("runs") / "toy")


def test_seeds_of_the_one_winner_give_mean_interval_and_spread(toy: RunPaths[Path]) -> None:
    rows = pd.read_parquet(toy.trials)
    confirm = rows[rows["phase"] == "confirm"]
    own = confirm["metric.test_score"].tolist()
    assert len(own) == 3 and confirm["config.toy.offset"].nunique() == 1
    first, second = said(gather(toy.root))
    assert first.startswith(
        f"The best configuration of 12 search trials reaches a test score of {100 * mean(own):.1f} %"
    )
    assert f"standard deviation {100 * stdev(own):.1f}" in first and first.endswith(", 3 seeds).")
    assert second.startswith("Validation chose the configuration, and nothing is compared")


def test_the_command_and_findings_name_the_same_configuration(toy: RunPaths[Path]) -> None:
    found, best = facts(toy.root), findings(toy.root)["best"]
    assert best["trial_id"] == found["trial_id"]
    assert best["configuration"] == pytest.approx(found["config"]) or best["configuration"] == found["config"]
    assert (best["own"]["mean"], best["own"]["n"]) == (pytest.approx(found["test"]), 3)
    assert (best["own"]["low"], best["own"]["high"]) == pytest.approx((found["low"], found["high"]))


def test_one_confirm_run_has_no_interval_and_says_what_that_leaves_open(tmp_path: Path) -> None:
    found = made(tmp_path / "run")
    first, second = said(found)
    assert (
        first == f"The best configuration of 2 search trials reaches a test strength of {100 * scored(found)[0]:.1f} %."
    )
    assert "one confirm run, so how much of it is luck is not known" in second


def test_one_value_of_a_replicate_is_not_called_one_confirm_run(tmp_path: Path) -> None:
    lost = {f"model/{replicate}/confirm/1": ("failed", "out of memory") for replicate in (0, 1)}
    found = made(tmp_path / "run", lost, replicates=3, trials=0, seeds=2)
    assert found.best is not None and (found.best.own.n, found.best.own.planned) == (1, 3)
    second = said(found)[-1]
    assert second == "Of 3 replicates one has all of its runs, so how much of the score is luck is not known."
    lost |= {"model/2/confirm/0": ("failed", "out of memory")}
    nothing = said(made(tmp_path / "nothing", lost, replicates=3, trials=0, seeds=2))
    assert "is not known." in nothing[0] and "confirm run" not in nothing[-1]


def test_searches_that_are_repeated_say_what_the_procedure_gives(tmp_path: Path) -> None:
    found = made(tmp_path / "run", replicates=4)
    first, second = said(found)
    assert first.startswith("The best configuration of 8 search trials reaches")
    assert (
        f"over 4 searches, each with its own confirm runs, the procedure gives {100 * mean(scored(found)):.1f}"
        in second
    )
    of = found.scores.set_index(["metric", "of"])
    assert of.loc[("strength", "procedure"), "n"] == 4 and of.loc[("strength", "configuration"), "n"] == 1
    assert ("beauty", "procedure") in of.index


def test_without_search_ten_replicates_are_ten_values_of_one_configuration(tmp_path: Path) -> None:
    found = made(tmp_path / "run", replicates=10, trials=0)
    first, _ = said(found)
    assert first.startswith(
        f"Trained without a search, the model reaches a test strength of {100 * mean(scored(found)):.1f}"
    )
    assert first.endswith(", 10 replicates).")
    assert found.scores["of"].unique().tolist() == ["configuration"]


def test_a_search_without_a_result_says_why(tmp_path: Path) -> None:
    found = made(tmp_path / "run", {"model/0/confirm/0": ("failed", "out of memory")}, seeds=2)
    assert found.best is not None and (found.best.own.n, found.best.own.planned) == (1, 2)
    lost = {f"model/0/confirm/{seed}": ("failed", "no_survivor") for seed in range(2)}
    first, _ = said(made(tmp_path / "lost", lost, seeds=2))
    assert first == "No configuration has been confirmed: of 2 confirm runs, 2 failed."
    waiting = {f"model/0/confirm/{seed}": ("pending", None) for seed in range(2)}
    first, _ = said(made(tmp_path / "waiting", waiting, seeds=2))
    assert first == "So far, no configuration has been confirmed yet: of 2 confirm runs, 2 pending."


def test_no_caveat_speaks_of_tests_that_there_are_not_and_values_at_an_edge_are_said(tmp_path: Path) -> None:
    edge = Float(low=0.1, high=1.0, default=0.2, log=True)
    space = BRIDGES.model_copy(update={**BRIDGE, "nuisance": {"build.rate": edge}})
    waiting = {"model/2/confirm/0": ("pending", None)}
    found = caveats(gather(write_run(tmp_path / "run", space, statuses=waiting)))
    assert "p value" not in " ".join(caveat.text for caveat in found)
    assert {caveat.code for caveat in found} >= {"open"}
    (best,) = [
        caveat.text
        for caveat in caveats(gather(write_run(tmp_path / "low", space, replicates=1)))
        if caveat.code == "at_edge"
    ]
    assert best == "build.rate lies at the low end of its range (0.1): a wider one might hold a better value."
