"""What a run directory gives to the analysis, and what it says where something is missing."""

import json
from pathlib import Path

import pandas as pd
import pytest

from ablation.faults import FaultsError
from ablation.paths import earlier_names, file_safe
from analysis import load
from tests.support.made_runs import write_run
from tests.support.plain_loop import run_study
from tests.toy_study import toy_plan


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", statuses={"baseline/1/confirm/0": ("pending", None)}, artifacts=True)


def test_trials_come_in_the_order_of_the_plan_whatever_the_file_says(run: Path) -> None:
    ordered = load.trials(run)
    pd.read_parquet(run / "trials.parquet").sample(frac=1, random_state=0).to_parquet(run / "trials.parquet")
    pd.testing.assert_frame_equal(load.trials(run), ordered)
    assert list(dict.fromkeys(ordered["arm"])) == ["reference", "material=wood", "span=1.0", "span=100.0", "baseline"]
    assert ordered["trial_id"].tolist()[:3] == ["reference/0/search/0", "reference/0/search/1", "reference/0/confirm/0"]


def test_trials_that_did_not_complete_are_there(run: Path) -> None:
    assert "pending" in set(load.trials(run)["status"])
    counts = load.accounting(run)
    assert counts["pending"] == 1
    assert counts["planned"] == 45 == sum(counts[status] for status in load.STATUSES)


def test_only_the_columns_asked_for_are_read(run: Path) -> None:
    assert load.trials(run, ["trial_id", "status"]).columns.tolist() == ["trial_id", "status"]
    assert load.epochs(run, ["metric.val_strength"]).columns.tolist() == ["metric.val_strength"]


def test_artifacts_come_with_their_trial(run: Path) -> None:
    predictions = load.predictions(run)
    assert predictions.columns.tolist() == ["trial_id", "image", "label", "predicted", "confidence"]
    assert "reference/0/confirm/0" in set(predictions["trial_id"])
    assert set(predictions["trial_id"]) == set(load.confusions(run)["trial_id"])


def test_confusions_are_counted_from_predictions_where_only_these_were_left(run: Path) -> None:
    for path in run.glob("artifacts/*/confusion.parquet"):
        path.unlink()
    counts = load.confusions(run)
    assert counts["count"].sum() == len(load.predictions(run))
    assert counts.columns.tolist() == ["trial_id", "label", "predicted", "count"]


def test_artifacts_of_an_arm_whose_name_holds_what_parts_folders_keep_their_trial(run: Path) -> None:
    (run / "study.json").write_text((run / "study.json").read_text().replace('"span=1.0"', '"a__b=1.0"'))
    for replicate in range(3):  # the last as earlier versions named it
        new = f"a__b=1.0/{replicate}/confirm/0"
        name = next(earlier_names(new)) if replicate == 2 else file_safe(new)
        (run / "artifacts" / file_safe(f"span=1.0/{replicate}/confirm/0")).rename(run / "artifacts" / name)
    expected = {f"a__b=1.0/{replicate}/confirm/0" for replicate in range(3)}
    assert expected <= set(load.predictions(run)["trial_id"])
    assert expected <= set(load.confusions(run)["trial_id"])


def test_what_no_trial_of_the_plan_left_is_not_read(run: Path) -> None:
    left = load.predictions(run)
    stray = run / "artifacts" / "nobody__0__confirm__0" / "predictions.parquet"
    stray.parent.mkdir()
    stray.write_bytes(b"no table")
    pd.testing.assert_frame_equal(load.predictions(run), left)
    assert set(load.predictions(run, among=["reference/1/confirm/0"])["trial_id"]) == {"reference/1/confirm/0"}


@pytest.mark.parametrize("near", [b"PAR1", b'"pandas_type"'], ids=["page", "notes of pandas"])
def test_a_damaged_artifact_is_refused_by_name_or_read_as_it_was(run: Path, near: bytes) -> None:
    left = load.predictions(run)
    path = run / "artifacts" / "baseline__0__confirm__0" / "predictions.parquet"
    good = path.read_bytes()
    refused, start = 0, good.index(near) + 4
    for at in range(start, start + 56):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :])
        try:
            assert len(load.predictions(run)) == len(left)
        except FaultsError as error:
            refused += 1
            assert "predictions.parquet is damaged (" in str(error)
            assert str(error).endswith("; restore it from a copy")
    assert (refused > 0) == (near == b"PAR1")


def test_a_study_without_artifacts_has_none(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert load.predictions(run).empty
    assert load.confusions(run).empty


def test_several_runs_are_told_apart_by_a_column(run: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", replicates=2)
    both = load.trials([run, other])
    assert both.columns[0] == "run"
    assert both.groupby("run", sort=False).size().to_dict() == {"run": 45, "other": 30}
    pd.testing.assert_frame_equal(
        both[both["run"] == "run"].drop(columns="run")[load.trials(run).columns], load.trials(run), check_dtype=False
    )
    curves = load.epochs([run, other], ["trial_id", "metric.val_strength"])
    assert curves.columns.tolist() == ["run", "trial_id", "metric.val_strength"]
    assert len(curves) == len(load.epochs(run)) + len(load.epochs(other))


def test_runs_of_one_name_are_told_apart_by_what_was_given(run: Path, tmp_path: Path) -> None:
    twin = write_run(tmp_path / "elsewhere" / "run")
    assert set(load.trials([run, twin])["run"]) == {str(run), str(twin)}
    with pytest.raises(FaultsError, match="no run was given"):
        load.trials([])


def test_a_run_is_read_by_its_address_too(run: Path) -> None:
    address = run.as_uri()
    pd.testing.assert_frame_equal(load.trials(address), load.trials(run))
    pd.testing.assert_frame_equal(load.epochs(address), load.epochs(run))
    pd.testing.assert_frame_equal(load.predictions(address), load.predictions(run))
    assert load.study(address) == load.study(run)
    assert load.accounting(address) == load.accounting(run)
    with pytest.raises(FaultsError, match=r"^/.*study\.json does not exist; give a run directory"):
        load.study(address + "-other")


def test_an_address_that_nobody_knows_is_refused() -> None:
    with pytest.raises(FaultsError, match=r"ftp9://a/b cannot be opened .*; give a directory, or an address"):
        load.study("ftp9://a/b")


def test_epochs_are_sorted_by_trial_and_epoch_whatever_the_file_says(run: Path) -> None:
    raw = pd.read_parquet(run / "epochs.parquet")
    raw.sample(frac=1, random_state=0).to_parquet(run / "epochs.parquet")
    expected = raw.sort_values(["trial_id", "epoch"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(load.epochs(run), expected)
    raw.iloc[:0].to_parquet(run / "epochs.parquet")
    assert load.epochs(run).empty


def test_a_primary_metric_that_the_space_lacks_is_refused(run: Path) -> None:
    document = json.loads((run / "study.json").read_text())
    document["plan"]["metric"] = "weight"
    (run / "study.json").write_text(json.dumps(document))
    with pytest.raises(FaultsError, match="metric is 'weight', but the space bridges has strength, beauty"):
        load.study(run)


@pytest.mark.parametrize("name", ["study.json", "trials.parquet", "epochs.parquet"])
def test_a_missing_file_is_named_with_the_remedy(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(FaultsError, match=rf"{name} does not exist; (give a run directory|python -m ablation.tables)"):
        load.trials(run)
        load.epochs(run)


def test_a_missing_column_is_named(run: Path) -> None:
    pd.read_parquet(run / "trials.parquet").drop(columns="wall_s").to_parquet(run / "trials.parquet")
    with pytest.raises(FaultsError, match="has no column 'wall_s'"):
        load.trials(run)


def test_an_unknown_status_is_refused(run: Path) -> None:
    pd.read_parquet(run / "trials.parquet").assign(status="finished").to_parquet(run / "trials.parquet")
    with pytest.raises(FaultsError, match="status 'finished' is unknown"):
        load.trials(run)


def test_a_summary_that_plans_other_trials_is_refused(run: Path) -> None:
    (run / "summary.json").write_text('{"planned": 46}')
    with pytest.raises(FaultsError, match=r"plans 46 trials, trials\.parquet lists 45"):
        load.accounting(run)


@pytest.mark.parametrize(
    ("text", "rule"),
    [("{", "is damaged"), ('{"schema_version": 9}', "schema_version is 9, .* update this package"), ("[]", "no study")],
)
def test_a_damaged_study_is_refused(run: Path, text: str, rule: str) -> None:
    (run / "study.json").write_text(text)
    with pytest.raises(FaultsError, match=rule):
        load.study(run)


def test_every_missing_part_of_a_plan_is_told_at_once(run: Path) -> None:
    document = json.loads((run / "study.json").read_text())
    del document["plan"]["arms"], document["plan"]["space"]["name"]
    (run / "study.json").write_text(json.dumps(document))
    with pytest.raises(FaultsError) as error:
        load.study(run)
    (fault,) = error.value.faults
    assert "plan.arms: Field required" in fault and "plan.space.name: Field required" in fault


@pytest.mark.parametrize("name", ["study.json", "trials.parquet", "epochs.parquet"])
@pytest.mark.parametrize("how", ["flipped", "cut", "empty"])
def test_a_file_that_is_not_as_it_was_written_is_refused_by_name(tmp_path: Path, name: str, how: str) -> None:
    paths = run_study(toy_plan(), tmp_path / "toy", most_epochs=20)
    path = paths.root / name
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content[: {"flipped": len(content), "cut": len(content) // 2, "empty": 0}[how]])
    remedy = "restore it" if name == "study.json" else "python -m ablation.tables"
    with pytest.raises(FaultsError, match=rf"{name} is (damaged|no JSON).*{remedy}"):
        load.study(paths.root)
        load.trials(paths.root)
        load.epochs(paths.root)
