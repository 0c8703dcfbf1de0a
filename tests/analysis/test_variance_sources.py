"""Where the spread of scores comes from: what the draw of images adds, what a page says, and what it cannot say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ablation.variance_components import variance_components
from analysis import load
from analysis.effects import replicates
from analysis.evidence import gather
from analysis.numbers import SHARE
from analysis.report.build import build
from analysis.tables.variance_sources import image_variance, sentence, variance_sources
from search_spaces.space import Arm
from tests.support.made_runs import write_run


def test_images_of_equal_difficulty_add_what_a_coin_does_and_no_more() -> None:
    random = np.random.default_rng(5)
    one_run_RN = (random.random((1, 4000)) < 0.8).astype(float)
    p = float(one_run_RN.mean())
    assert image_variance(one_run_RN, np.ones((1, 4000))) == pytest.approx(p * (1 - p) / 3999)
    # Ten runs disagree about images that are all alike: nothing is left for the images themselves.
    ten_RN = (random.random((10, 4000)) < 0.8).astype(float)
    assert image_variance(ten_RN, np.ones((1, 4000))) < 0.1 * p * (1 - p) / 4000


def test_the_draw_of_images_adds_what_drawing_them_again_shows() -> None:
    random = np.random.default_rng(6)
    scores, estimates = [], []
    for _ in range(300):
        easy_N = random.beta(0.5, 0.2, size=200)  # of a population of images
        right_RN = (random.random((20, 200)) < easy_N).astype(float)
        scores.append(easy_N.mean())
        estimates.append(image_variance(right_RN, np.ones((1, 200))))
    assert np.mean(estimates) == pytest.approx(np.var(scores), rel=0.15)


def test_a_mean_over_classes_weighs_images_by_their_class() -> None:
    groups_KN = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1]])
    right_RN = np.array([[1, 0, 1, 1, 1, 0]])
    by_hand = (0.5 / 2 + 0.25 / 4) / 4  # sample variances 1/2 and 1/4, of 2 and 4 images; each class weighs a half
    assert image_variance(right_RN, groups_KN) == pytest.approx(by_hand)


def noisy(arm: Arm, replicate: int, seed: int) -> float:
    random = np.random.default_rng([len(arm.name), replicate])
    return 0.7 + 0.05 * float(random.normal()) + 0.01 * float(np.random.default_rng([replicate, seed, 9]).normal())


def test_a_run_with_two_seeds_says_where_its_spread_comes_from(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", value=noisy, replicates=4, seeds=2, artifacts=True)
    found = gather(run).variance_sources
    arms = load.trials(run).query("phase == 'confirm'").groupby("arm")
    scores = [rows.pivot(index="replicate", columns="index", values="metric.test_strength") for _, rows in arms]
    known = variance_components(np.stack(scores))
    assert known is not None
    rows = found[found["of"] == "score"].set_index("source")
    assert rows["variance"][["replicate", "seed"]].tolist() == pytest.approx([known.between, known.within])
    assert rows["share"].sum() == pytest.approx(1)
    # What arms share cancels in a difference: here the seed's part, which is the same in all of them.
    (variance,) = found.loc[(found["of"] == "difference") & (found["source"] == "seed"), "variance"]
    assert variance == pytest.approx(0, abs=1e-12)
    page = build(run, tmp_path / "out").read_text()
    assert "Where the spread comes from" in page and "by its replicate (the luck of the search)" in page
    listed = json.loads((tmp_path / "out/findings.json").read_text())["description"]["variance_sources"]
    assert [row["source"] for row in listed[:2]] == ["replicate", "seed"]


def test_with_one_run_a_replicate_it_says_that_nothing_can_be_split(tmp_path: Path) -> None:
    study, trials = load.study(run := write_run(tmp_path / "run")), load.trials(run)
    found = variance_sources(study, trials, replicates(study, trials), load.predictions(run))
    assert found.empty
    assert "the luck of its search and of its seed cannot be told apart" in sentence(found, study, SHARE)
    assert "(<code>--seeds 2</code>)" in build(run, tmp_path / "out").read_text()


def test_predictions_from_which_the_score_follows_add_the_draw_of_images(tmp_path: Path) -> None:
    images = 200

    def share(arm: Arm, replicate: int, seed: int) -> float:
        return 0.7 + 0.01 * (replicate % 2) + 0.005 * seed

    study = load.study(run := write_run(tmp_path / "run", value=share, replicates=4, seeds=2))
    trials = load.trials(run)
    confirmed, random = trials[trials["phase"] == "confirm"], np.random.default_rng(8)
    hard_N = random.permutation(images)  # the same images are hard for all, so they make most of the spread
    parts = []
    for trial_id, score in zip(confirmed["trial_id"], confirmed["metric.test_strength"], strict=True):
        wrong = hard_N < images - round(images * score)
        parts.append(
            pd.DataFrame({"trial_id": trial_id, "image": range(images), "label": 0, "predicted": wrong.astype(int)})
        )
    found = variance_sources(study, trials, replicates(study, trials), pd.concat(parts).assign(confidence=0.5))
    (variance,) = found.loc[found["source"] == "test images", "variance"]
    p = confirmed["metric.test_strength"].mean()
    assert variance == pytest.approx(
        p * (1 - p) / images, rel=0.1
    )  # one image is as a coin that falls the same for all
    assert found.loc[found["of"] == "score", "share"].sum() == pytest.approx(1)
    assert "by its draw of test images, sd 3" in sentence(found, study, SHARE)
