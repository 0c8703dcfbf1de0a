"""Test images as a source of luck, models against models, calibration, survival: against hand and library."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from analysis import effects, load
from analysis.statistics import item_agreement, resampling, survival
from tests.support.made_runs import write_run

ONE_GROUP = np.ones((1, 400))


def crossed(random: np.random.Generator, replicate_sd: float, image_sd: float, rest_sd: float) -> np.ndarray:
    """Draw differences of 8 replicates by 400 images with known components."""
    rest_RN = rest_sd * random.standard_normal((8, 400))
    return replicate_sd * random.standard_normal((8, 1)) + image_sd * random.standard_normal((1, 400)) + rest_RN


def test_each_source_of_luck_is_seen_where_it_is() -> None:
    random = np.random.default_rng(6)
    _, replicates, images, both, _, _ = resampling.two_way(crossed(random, 0.1, 0.0, 0.0), ONE_GROUP, random)
    assert images == pytest.approx(0.0, abs=1e-12)
    assert both == pytest.approx(replicates, rel=0.1)
    _, replicates, images, both, _, _ = resampling.two_way(crossed(random, 0.0, 1.0, 0.0), ONE_GROUP, random)
    assert replicates == pytest.approx(0.0, abs=1e-12)
    assert images == pytest.approx(1.0 / 400**0.5, rel=0.2)
    assert both == pytest.approx(images, rel=0.1)


def test_the_interval_is_the_paired_t_interval_where_images_do_not_matter() -> None:
    random = np.random.default_rng(7)
    per_replicate_R = random.standard_normal(8)
    found = resampling.two_way(np.repeat(per_replicate_R[:, None], 400, axis=1), ONE_GROUP, random, draws=20_000)
    expected = stats.ttest_1samp(per_replicate_R, 0).confidence_interval(0.95)
    assert found[0] == pytest.approx(per_replicate_R.mean())
    assert found[1] == pytest.approx(stats.sem(per_replicate_R))
    assert found[4:] == pytest.approx((expected.low, expected.high), rel=0.02, abs=0.02)


def test_the_two_way_interval_covers_both_kinds_of_luck() -> None:
    random = np.random.default_rng(8)
    covered_both = covered_t = 0
    for _ in range(300):
        differences_RN = crossed(random, 0.03, 1.0, 0.1)
        _, _, _, _, low, high = resampling.two_way(differences_RN, ONE_GROUP, random, draws=200)
        covered_both += bool(low <= 0 <= high)
        interval = stats.ttest_1samp(differences_RN.mean(axis=1), 0).confidence_interval(0.95)
        covered_t += bool(interval.low <= 0 <= interval.high)
    assert covered_both / 300 > 0.92
    assert covered_t / 300 < 0.6  # what a t interval over replicates does not promise


def test_macro_recall_is_the_mean_over_classes() -> None:
    differences_RN = np.array([[1.0, 1.0, 0.0, -1.0], [1.0, 1.0, 0.0, -1.0]])
    classes_KN = np.array([[1.0, 0, 0, 0], [0, 1.0, 1.0, 1.0]])
    difference = resampling.two_way(differences_RN, classes_KN, np.random.default_rng(9))[0]
    assert difference == pytest.approx((1.0 + 0.0) / 2)


def test_generators_belong_to_seed_and_name() -> None:
    draws = {resampling.generator(*key).random() for key in [(0, "a"), (0, "a"), (0, "b"), (1, "a")]}
    assert len(draws) == 3


def write_predictions(run: Path, share: dict[str, float], images: int = 500, like_metric: bool = True) -> None:
    """Leave predictions of which a planted share is right, and let the trials' test metric say the same."""
    trials = pd.read_parquet(run / "trials.parquet")
    random = np.random.default_rng(10)
    labels_N = np.arange(images) % 2
    for place, trial in trials[trials["phase"] == "confirm"].iterrows():
        right_N = random.random(images) < share.get(str(trial["arm"]), 0.7)
        folder = run / "artifacts" / str(trial["trial_id"]).replace("/", "__")
        folder.mkdir(parents=True)
        table = pd.DataFrame({"image": [f"{n:04d}.png" for n in range(images)], "label": labels_N})
        table = table.assign(predicted=np.where(right_N, labels_N, 1 - labels_N), confidence=0.8)
        table.to_parquet(folder / "predictions.parquet", index=False)
        if like_metric:
            trials.loc[[place], "metric.test_strength"] = right_N.mean()
    trials.to_parquet(run / "trials.parquet", index=False)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def test_stored_predictions_give_the_primary_metric_and_its_uncertainty(run: Path) -> None:
    write_predictions(run, {"material=wood": 0.5})
    study, trials = load.study(run), load.trials(run)
    table = effects.replicates(study, trials)
    found = resampling.sampling_table(study, trials, table, load.predictions(run)).set_index("arm")
    tested = effects.comparisons_table(study, table).set_index("arm")
    assert set(found["metric"]) == {"strength"}
    assert set(found["images"]) == {500}
    assert found["difference"].to_numpy() == pytest.approx(tested.loc[found.index, "difference"].to_numpy())
    assert found["se_replicates"].to_numpy() == pytest.approx((tested.loc[found.index, "sd"] / 3**0.5).to_numpy())
    again = resampling.sampling_table(study, trials, table, load.predictions(run))
    pd.testing.assert_frame_equal(found.reset_index()[again.columns], again)


def test_predictions_that_do_not_give_the_metric_are_called_what_they_are(run: Path) -> None:
    write_predictions(run, {}, like_metric=False)
    study, trials = load.study(run), load.trials(run)
    found = resampling.sampling_table(study, trials, effects.replicates(study, trials), load.predictions(run))
    assert set(found["metric"]) == {"share correct"}


def test_trials_that_share_no_image_are_not_compared_by_images(run: Path) -> None:
    write_predictions(run, {})
    study, trials, predictions = load.study(run), load.trials(run), load.predictions(run)
    apart = predictions.assign(image=predictions["trial_id"] + predictions["image"])
    assert resampling.sampling_table(study, trials, effects.replicates(study, trials), apart).empty
    assert item_agreement.mcnemar_table(study, trials, apart).empty


def test_without_predictions_there_is_nothing_to_say(run: Path) -> None:
    study, trials = load.study(run), load.trials(run)
    none = load.predictions(run)
    assert resampling.sampling_table(study, trials, effects.replicates(study, trials), none).empty
    assert item_agreement.mcnemar_table(study, trials, none).empty
    assert [table.empty for table in item_agreement.calibration(study, trials, none)] == [True, True]


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (3, 9), (40, 22), (5, 5)])
def test_mcnemar_agrees_with_statsmodels(only_first: int, only_second: int) -> None:
    expected = mcnemar([[7, only_first], [only_second, 8]], exact=True).pvalue
    assert item_agreement.mcnemar_p(only_first, only_second) == pytest.approx(float(expected))


def test_mcnemar_by_hand() -> None:
    assert item_agreement.mcnemar_p(5, 0) == pytest.approx(2 / 32)


def test_the_best_model_is_chosen_by_validation_and_compared_image_by_image(run: Path) -> None:
    write_predictions(run, {})
    study, trials = load.study(run), load.trials(run)
    models = item_agreement.best_models(study, trials)
    assert models["reference"] == "reference/2/confirm/0"  # made runs score higher with every replicate
    found = item_agreement.mcnemar_table(study, trials, load.predictions(run))
    predictions = load.predictions(run).set_index(["trial_id", "image"])
    right = (predictions["label"] == predictions["predicted"]).unstack("trial_id")
    for row in found.to_dict("records"):
        first, second = right[row["trial_id"]], right[row["against_trial_id"]]
        assert (row["only_arm"], row["only_against"]) == (int((first & ~second).sum()), int((second & ~first).sum()))


def test_calibration_error_by_hand() -> None:
    confidence, right = [0.9, 0.6, 0.8, 0.7], [True, False, True, True]
    # Two bins of two: 0.6 and 0.7 with one of two right, 0.8 and 0.9 with both right.
    error, table = item_agreement.calibration_error(confidence, right, bins=2)
    assert error == pytest.approx((abs(0.5 - 0.65) + abs(1.0 - 0.85)) / 2)
    assert table["count"].tolist() == [2, 2]
    assert table["confidence"].tolist() == pytest.approx([0.65, 0.85])
    assert item_agreement.calibration_error(confidence[::-1], right[::-1], bins=2)[0] == pytest.approx(error)


def test_calibrated_confidences_have_a_small_error_and_bold_ones_their_excess() -> None:
    random = np.random.default_rng(11)
    chance_N = random.uniform(0.5, 0.9, 60_000)
    right_N = random.random(60_000) < chance_N
    assert item_agreement.calibration_error(chance_N, right_N)[0] < 0.02
    assert item_agreement.calibration_error(chance_N + 0.1, right_N)[0] == pytest.approx(0.1, abs=0.01)


def test_few_images_and_none() -> None:
    error, table = item_agreement.calibration_error([0.5, 0.7], [1, 0], bins=15)
    assert error == pytest.approx((0.5 + 0.7) / 2)
    assert len(table) == 2
    assert np.isnan(item_agreement.calibration_error([], [])[0])


def test_every_arms_calibration_is_the_mean_over_replicates(run: Path) -> None:
    write_predictions(run, {"material=wood": 0.5})
    study, trials = load.study(run), load.trials(run)
    errors, reliability = item_agreement.calibration(study, trials, load.predictions(run), bins=1)
    shares = effects.replicates(study, trials).groupby("arm")["strength"]
    gaps = shares.apply(lambda share_R: (0.8 - share_R).abs().mean())
    found = errors.set_index("arm")
    assert found["error"].to_dict() == pytest.approx(gaps.to_dict())
    assert set(found["n"]) == {3}
    assert reliability["count"].tolist() == [1500] * 5
    assert reliability.set_index("arm")["accuracy"].to_dict() == pytest.approx(shares.mean().to_dict())


def test_unequal_shares_agree_with_full_enumeration() -> None:
    successes, trials = np.array([1, 4, 5]), np.array([6, 5, 6])
    tables = [(a, b, 10 - a - b) for a in range(7) for b in range(6) if 0 <= 10 - a - b <= 6]
    chances = [stats.multivariate_hypergeom.pmf(table, trials, 10) for table in tables]
    distances = [((np.array(table) - trials * 10 / 17) ** 2 / trials).sum() for table in tables]
    seen = ((successes - trials * 10 / 17) ** 2 / trials).sum()
    expected = sum(chance for chance, far in zip(chances, distances, strict=True) if far >= seen - 1e-12)
    found = survival.unequal_shares(successes, trials, np.random.default_rng(12))
    assert found.p == pytest.approx(expected, abs=0.01)
    table = np.stack([successes, trials - successes])
    assert found.chi2 == pytest.approx(float(stats.chi2_contingency(table, correction=False).statistic))


def test_equal_shares_are_rarely_called_unequal_and_lost_arms_always() -> None:
    random = np.random.default_rng(13)
    trials = np.full(6, 40)
    calls = [survival.unequal_shares(random.binomial(40, 0.4, 6), trials, random, 500).is_unequal for _ in range(400)]
    assert np.mean(calls) < 0.08
    assert survival.unequal_shares([16, 16, 16, 1], [40] * 4, random).is_unequal
    assert np.isnan(survival.unequal_shares([4, 4], [4, 4], random).p)


def test_an_arm_whose_searches_diverge_is_flagged(tmp_path: Path) -> None:
    shaky: dict[str, tuple[str, str | None]] = {
        f"span=1.0/{replicate}/search/{index}": ("diverged", "nan") for replicate in range(8) for index in range(2)
    }
    shaky["baseline/0/search/1"] = ("pending", None)
    run = write_run(tmp_path / "run", replicates=8, statuses=shaky)
    table, test = survival.survival_table(load.study(run), load.trials(run))
    assert test.is_unequal
    assert table.set_index("arm")["flagged"].to_dict() == {
        **dict.fromkeys(["reference", "material=wood", "span=100.0", "baseline"], False),
        "span=1.0": True,
    }
    assert table[["ended", "survived"]].to_numpy().tolist()[-1] == [15, 8]
