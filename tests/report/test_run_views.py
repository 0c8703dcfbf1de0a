"""Timeline, live ledger, artifacts: what the report reads beside the tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ablation import tables
from ablation.faults import FaultsError
from ablation.ledger.events import Ended, Happening, Retried, Started
from ablation.ledger.log import Ledger
from ablation.paths import RunPaths
from analysis import live, load
from analysis.report.inputs import read
from analysis.tables import models, timeline
from tests.support.ledgers import append
from tests.support.made_runs import write_run
from tests.support.plain_loop import run_study
from tests.support.report_runs import SLOTS, START_UP_S, TRIAL_S, write_full_run
from tests.toy_study import toy_plan


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_full_run(tmp_path_factory.mktemp("full") / "run")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> RunPaths[Path]:
    return run_study(toy_plan(), tmp_path_factory.mktemp("toy") / "run")


def test_slots_and_idle_time_follow_from_the_clock(full: Path) -> None:
    log = live.events(full)
    found = timeline.attempts(log, load.trials(full))
    assert len(found) == 45
    assert set(found["slot"]) == set(range(SLOTS))
    assert found["start_s"].min() == START_UP_S
    assert (found["end_s"] - found["start_s"]).tolist() == pytest.approx([TRIAL_S] * 45)
    used = timeline.use(log, found)
    assert used is not None
    # 45 trials in pairs: 23 rounds of 10 s after 5 s, in 2 slots.
    assert (used.slots, used.sweep_s) == (2, 235.0)
    assert used.idle == pytest.approx(1 - 450 / 470)
    running = timeline.occupancy(found, points=48)
    assert running["running"].max() == 2
    assert running["running"].iloc[0] == 0


HAPPENINGS: dict[str, Happening] = {
    "started": Started(1),
    "retried": Retried("its worker died"),
    "ended": Ended("completed", None, 1.0, None),
}


def test_a_retried_trial_has_two_bars_and_time_between_sessions_is_cut_out(tmp_path: Path) -> None:
    now_s = [0.0]
    for opened_s, kinds in ((100.0, ("started", "retried", "started")), (9000.0, ("started", "ended"))):
        now_s[0] = opened_s
        with Ledger(tmp_path / "ledger", clock=lambda: now_s[0]) as ledger:
            append(ledger, "session_opened", process=1, resources={})
            for kind in kinds:
                now_s[0] += 10
                ledger.append(HAPPENINGS[kind], "reference/0/search/0")
    trials = pd.DataFrame({"trial_id": ["reference/0/search/0"], "arm": "reference", "phase": "search"})
    found = timeline.attempts(live.events(tmp_path), trials.assign(status="completed"))
    assert found["start_s"].tolist() == [10, 30, 40]
    assert found["end_s"].tolist() == [20, 30, 50]
    assert found["status"].tolist() == ["retried", "retried", "completed"]


def test_slots_of_several_nodes_follow_each_other_and_count_while_their_node_works(tmp_path: Path) -> None:
    now_s = [0.0]
    with Ledger(tmp_path / "ledger", clock=lambda: now_s[0]) as ledger:
        append(ledger, "session_opened", process=1, resources={})
        # On b from 10 to 40 one trial after the other, on a from 20 to 30 two at once.
        for moment_s, trial, happening in (
            (10, "one", Started(1, node="b")), (20, "two", Started(1, node="a")), (20, "three", Started(1, node="a")),
            (30, "one", HAPPENINGS["ended"]), (30, "two", HAPPENINGS["ended"]), (30, "three", HAPPENINGS["retried"]),
            (30, "three", Started(2, node="b")), (40, "three", HAPPENINGS["ended"]),
        ):  # fmt: skip
            now_s[0] = moment_s
            ledger.append(happening, trial)
    trials = pd.DataFrame({"trial_id": ["one", "two", "three"], "arm": "reference", "phase": "search"})
    log = live.events(tmp_path)
    found = timeline.attempts(log, trials.assign(status="completed"))
    assert found[["trial_id", "node", "slot"]].to_numpy().tolist() == [
        ["one", "b", 0], ["three", "a", 1], ["two", "a", 2], ["three", "b", 0],
    ]  # fmt: skip
    used = timeline.use(log, found)
    assert used is not None and (used.slots, used.nodes) == (3, 2)
    assert used.idle == pytest.approx(0.0)


def test_the_ledger_folds_into_the_tables_that_the_engine_writes(toy: RunPaths[Path]) -> None:
    study = load.study(toy.root)
    trials, epochs = live.tables(toy.root, study)
    written = load.trials(toy.root)
    shared = [name for name in written if name not in ("seed", "images_per_s", "checkpoint")]
    ordered = trials.set_index("trial_id").loc[written["trial_id"]].reset_index()
    said = {"reason": object, "stopped_at_rung": float}
    left, right = (table[shared].astype(said).fillna({"reason": ""}) for table in (ordered, written))
    pd.testing.assert_frame_equal(left, right, check_dtype=False)
    columns = ["trial_id", "epoch", "seq", "epoch_s", "metric.train_loss", "metric.val_score", "metric.test_score"]
    pd.testing.assert_frame_equal(epochs[columns], load.epochs(toy.root)[columns], check_dtype=False)


def test_tables_of_an_earlier_session_are_passed_over_for_the_ledger(tmp_path: Path) -> None:
    paths = run_study(toy_plan(), tmp_path / "run", most_epochs=40)
    stale = {path: path.read_bytes() for path in (paths.trials, paths.epochs, paths.summary)}
    study = load.study(paths.root)
    assert live.is_current(study, live.events(paths.root), load.trials(paths.root), load.epochs(paths.root))
    run_study(toy_plan(), paths.root, most_epochs=30)
    for path, content in stale.items():
        path.write_bytes(content)
    assert not live.is_current(study, live.events(paths.root), load.trials(paths.root), load.epochs(paths.root))
    inputs = read(paths.root)
    tables.materialise(paths)
    assert len(inputs.epochs) == len(load.epochs(paths.root)) > 60


def test_a_run_at_work_is_read_from_its_ledger_alone(tmp_path: Path) -> None:
    paths = run_study(toy_plan(), tmp_path / "run", most_epochs=25)
    for path in (paths.trials, paths.epochs, paths.summary):
        path.unlink()
    inputs = read(paths.root)
    assert len(inputs.epochs) == 25
    assert inputs.counts["planned"] == 5 * 3 * 5
    assert inputs.counts["pending"] > 0
    assert inputs.open_trials == inputs.counts["pending"] + inputs.counts["interrupted"]


def test_confusion_shares_average_replicates_of_the_true_class(full: Path) -> None:
    study, trials = load.study(full), load.trials(full)
    shares = models.confusion_shares(study, trials, load.confusions(full))
    mine = shares[shares["arm"] == "reference"]
    assert mine.groupby("label")["share"].sum().tolist() == pytest.approx([1.0, 1.0])
    recall = load.confusions(full).merge(trials[["trial_id", "arm"]], on="trial_id")
    hits = recall[(recall["arm"] == "reference") & (recall["label"] == 0) & (recall["predicted"] == 0)]["count"]
    hit = mine[(mine["label"] == 0) & (mine["predicted"] == 0)]["share"].item()
    assert hit == pytest.approx((hits / 1000).mean())


def test_attention_is_told_in_units_of_even_attention(full: Path) -> None:
    maps = models.attention(full, load.study(full), load.trials(full))
    mine = maps[(maps["arm"] == "baseline") & (maps["label"] == 1)]
    assert mine["relative"].tolist() == pytest.approx([1.6, 1.2, 0.8, 0.4])


def test_an_embedding_is_that_of_the_first_completed_confirm_trial(full: Path) -> None:
    points = models.embeddings(full, load.study(full), load.trials(full))
    assert set(points["trial_id"]) == {f"{arm}/0/confirm/0" for arm in set(load.trials(full)["arm"])}
    assert set(points["kind"]) == {"image", "center"}


def test_a_run_without_artifacts_has_none(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    study, trials = load.study(run), load.trials(run)
    assert models.embeddings(run, study, trials).empty
    assert models.attention(run, study, trials).empty
    assert models.confusion_shares(study, trials, load.confusions(run)).empty


def test_an_artifact_without_a_column_is_a_fault_that_names_it(tmp_path: Path) -> None:
    run = write_full_run(tmp_path / "run")
    trials = load.trials(run)
    path = RunPaths(run).artifact_dir("reference/0/confirm/0") / "attention.parquet"
    pd.read_parquet(path).rename(columns={"weight": "wait"}).to_parquet(path)
    with pytest.raises(FaultsError, match="no column 'weight'; did you mean 'wait'"):
        models.attention(run, load.study(run), trials)


def test_arms_that_another_beats_for_less_are_dominated() -> None:
    costs = pd.DataFrame({"arm": list("abcd"), "mean": [0.5, 0.7, 0.6, 0.9], "epochs": [1, 2, 3, 4]})
    assert models.undominated(costs, "epochs", True) == {"a", "b", "d"}
    assert models.undominated(costs.assign(mean=-costs["mean"]), "epochs", False) == {"a", "b", "d"}
