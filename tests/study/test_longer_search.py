"""A search without comparisons grows: it goes on where it was, and what is best then is confirmed by new trials."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from ablation import study_file, tables
from ablation.best import facts
from ablation.best_trial import best_trial, best_trials
from ablation.ledger.log import Ledger
from ablation.paths import RunPaths
from ablation.plan import Plan
from ablation.planning.growth import larger
from ablation.study.growth import open_study
from analysis import caveats, load
from analysis.audit.checks import audit
from analysis.evidence import gather
from analysis.report.inputs import read
from analysis.report.models import view as models_view
from analysis.report.search import view as search_view
from tests.support.plain_loop import carry_out, run_study
from tests.toy_study import plain_plan, toy_plan

FEW, MANY = 6, 24


def grow(paths: RunPaths[Path], plan: Plan, most_epochs: int | None = None) -> pd.DataFrame:
    with Ledger(paths.ledger) as ledger:
        carry_out(open_study(study_file.read(paths), ledger, plan), paths, most_epochs=most_epochs)
    tables.materialise(paths)
    return pd.read_parquet(paths.trials).set_index("trial_id")


def best_search(trials: pd.DataFrame, among: int) -> pd.Series:
    search = trials[(trials["phase"] == "search") & (trials["status"] == "completed") & (trials["index"] < among)]
    return search.sort_values(["metric.val_score", "index"], ascending=[False, True]).iloc[0]


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> RunPaths[Path]:
    return run_study(plain_plan(trials=FEW), tmp_path_factory.mktemp("runs") / "few")


@pytest.fixture
def grown(few: RunPaths[Path], tmp_path: Path) -> RunPaths[Path]:
    paths = RunPaths(Path(shutil.copytree(few.root, tmp_path / "few")))
    grow(paths, plain_plan(trials=FEW).with_trials(MANY))
    return paths


def test_what_was_done_stays_and_the_new_winner_is_confirmed_by_new_trials(
    few: RunPaths[Path], grown: RunPaths[Path]
) -> None:
    before, after = (pd.read_parquet(paths.trials).set_index("trial_id") for paths in (few, grown))
    pd.testing.assert_frame_equal(after.loc[before.index], before)
    assert (after["phase"] == "search").sum() == MANY and (after["phase"] == "confirm").sum() == 2 * 3
    for first, among in ((0, FEW), (3, MANY)):
        confirm = after.loc[[f"model/0/confirm/{first + seed}" for seed in range(3)]]
        chosen = best_search(after, among)
        assert confirm["config.toy.offset"].unique().tolist() == [chosen["config.toy.offset"]]
    assert best_search(after, FEW).name != best_search(after, MANY).name  # the test has something to see
    assert after["seed"].nunique() == len(after)
    assert audit(grown.root) == []


def test_a_longer_search_goes_on_after_an_interruption(few: RunPaths[Path], tmp_path: Path) -> None:
    paths = RunPaths(Path(shutil.copytree(few.root, tmp_path / "often")))
    plan = plain_plan(trials=FEW).with_trials(MANY)
    assert "pending" in set(grow(paths, plan, most_epochs=7)["status"])
    with Ledger(paths.ledger) as ledger:  # by the folder alone: the plan is in the ledger
        carry_out(open_study(study_file.read(paths), ledger), paths)
    tables.materialise(paths)
    assert set(pd.read_parquet(paths.trials)["status"]) == {"completed", "stopped"}
    assert audit(paths.root) == []


def test_the_score_is_that_of_what_was_confirmed_last_and_the_page_says_that_it_grew(grown: RunPaths[Path]) -> None:
    trials = pd.read_parquet(grown.trials).set_index("trial_id")
    last = trials.loc[[f"model/0/confirm/{seed}" for seed in (3, 4, 5)]]
    found = gather(grown.root)
    assert found.best is not None and found.best.trial_id in last.index
    assert found.best.own.mean == pytest.approx(last["metric.test_score"].mean())
    assert found.best.procedure.mean == pytest.approx(last["metric.test_score"].mean())
    assert facts(grown.root)["test"] == pytest.approx(last["metric.test_score"].mean())
    study = load.study(grown.root)
    text = caveats.growth(study)
    assert text is not None
    assert "from 1 replicate of 6 search trials to 1 replicate of 24 search trials, with 3 confirm results" in text
    one = caveats.growth(replace(study, growths=({**study.growths[0], "confirmed_before": 1},)))
    assert one is not None and "with 1 confirm result there to be looked at" in one


def rewrite(paths: RunPaths[Path], trials: pd.DataFrame) -> None:
    """Put other trials in place of a run's, without the digests that would tell."""
    trials.reset_index().to_parquet(paths.trials, index=False)
    paths.summary.write_text(json.dumps({**json.loads(paths.summary.read_text()), "sha256": {}}))


def test_the_best_is_among_what_was_confirmed_last_however_good_an_earlier_one_was(grown: RunPaths[Path]) -> None:
    trials = pd.read_parquet(grown.trials).set_index("trial_id")
    trials.loc["model/0/confirm/1", "metric.val_score"] = 0.999
    rewrite(grown, trials)
    found, best = facts(grown.root), gather(grown.root).best
    assert best is not None and best.trial_id == found["trial_id"] == best_trial(grown.root).trial_id
    assert found["trial_id"] in {"model/0/confirm/3", "model/0/confirm/4", "model/0/confirm/5"}
    assert (best.own.n, best.own.planned) == (3, 3) and found["n"] == 3
    assert best_trials(grown.root)[3].trial_id == "model/0/confirm/1"  # should the others' checkpoints be lost


def test_a_winner_that_stays_is_scored_by_its_new_confirm_trials_alone(grown: RunPaths[Path]) -> None:
    trials = pd.read_parquet(grown.trials).set_index("trial_id")
    names = [str(name) for name in trials if str(name).startswith("config.")]
    for seed in range(3):
        trials.loc[f"model/0/confirm/{seed}", names] = trials.loc["model/0/confirm/3", names]
    rewrite(grown, trials)
    last = trials.loc[[f"model/0/confirm/{seed}" for seed in (3, 4, 5)], "metric.test_score"]
    found, best = facts(grown.root), gather(grown.root).best
    assert best is not None and best.own.n == found["n"] == 3
    assert best.own.mean == pytest.approx(found["test"]) == pytest.approx(last.mean())


def test_until_the_new_winner_is_confirmed_the_earlier_one_is_the_best(few: RunPaths[Path], tmp_path: Path) -> None:
    paths = RunPaths(Path(shutil.copytree(few.root, tmp_path / "few")))
    grow(paths, plain_plan(trials=FEW).with_trials(MANY), most_epochs=7)
    best = gather(paths.root).best
    assert best is not None
    assert best.trial_id == facts(paths.root)["trial_id"] == facts(few.root)["trial_id"]


def test_what_the_page_shows_of_confirmed_models_is_of_those_confirmed_last(grown: RunPaths[Path]) -> None:
    for seed in range(6):
        folder = grown.artifact_dir(f"model/0/confirm/{seed}")
        folder.mkdir(parents=True, exist_ok=True)
        cells = [(0, int(seed < 3), 10), (1, 1, 10)]  # those of before never see class 0
        counts = pd.DataFrame(cells, columns=["label", "predicted", "count"])
        counts.to_parquet(folder / "confusion.parquet", index=False)
    trials, inputs = pd.read_parquet(grown.trials).set_index("trial_id"), read(grown.root)
    made = {
        section.name: section.make(inputs).tables
        for part in (models_view.PART, search_view.PART)
        for section in part.sections
        if section.name in ("curves", "confusion", "tuned")
    }
    assert set(made["curves"]["curves"]["trials"]) == {3}
    shares = made["confusion"]["confusion"].set_index(["label", "predicted"])["share"]
    assert shares.to_dict() == {(0, 0): 1.0, (1, 1): 1.0}
    chosen = made["tuned"]["chosen"].set_index("name")["value"]
    assert chosen["toy.offset"] == trials.loc["model/0/confirm/3", "config.toy.offset"]
    assert chosen["toy.offset"] != trials.loc["model/0/confirm/0", "config.toy.offset"]


def test_the_spread_of_seeds_is_that_of_one_configuration(tmp_path: Path) -> None:
    plan = plain_plan(trials=FEW, replicates=2)
    paths = run_study(plan, tmp_path / "two")
    trials = grow(paths, plan.with_trials(MANY))
    last = trials[(trials["phase"] == "confirm") & (trials["index"] >= 3)]
    expected = last.groupby("replicate")["metric.test_score"].var().mean()
    sources = gather(paths.root).variance_sources.set_index("source")
    assert sources.loc["seed", "variance"] == pytest.approx(expected)


def asked(plan: Plan, trials: int) -> tuple[Plan, list[str]]:
    faults: list[str] = []
    file = study_file.describe("x", plan, "quick", None, ["x"])
    return larger(file, plan, None, trials, None, (), faults), faults


def test_only_a_search_that_compares_nothing_grows_and_none_shrinks() -> None:
    plan, faults = asked(plain_plan(trials=FEW), MANY)
    assert faults == [] and plan.stages == (FEW, MANY) and plan.trial_count == MANY + 2 * 3
    again, faults = asked(plan, MANY)
    assert faults == [] and again == plan
    assert asked(plan, FEW)[1] == ["--trials is 6, but the run has 24; a study grows, and never shrinks"]
    (fault,) = asked(toy_plan(), 40)[1]
    assert fault.startswith("--trials is 40, but the run compares arms, and a search that goes on after a look")
    assert "searches nothing" in asked(plain_plan(trials=0), 5)[1][0]
