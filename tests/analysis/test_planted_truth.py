"""The analysis finds what was planted, and only that: a short form of benchmarks/planted_truth.py."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from analysis.findings import findings
from benchmarks import planted_truth, rival_tests
from benchmarks.noise_laws import LAWS
from benchmarks.planted_runs import ARMS

STUDIES = 600


@pytest.mark.parametrize("replicates", planted_truth.REPLICATES)
@pytest.mark.parametrize("noise", ["normal", "skewed"])
def test_drawn_studies_are_covered_and_rarely_cried_wolf_over(noise: planted_truth.Noise, replicates: int) -> None:
    for effects in ("none", "mixed"):
        cell = planted_truth.vectorised(noise, effects, replicates, STUDIES)
        assert 0.93 < cell["coverage"] < 0.985
        assert cell["family_wise_error"] < 0.08
        assert cell["wrong_signed_claim"] < 0.025


def test_power_grows_with_replicates() -> None:
    powers = [planted_truth.vectorised("normal", "mixed", replicates, 300)["power"] for replicates in (5, 10, 20)]
    assert powers == sorted(powers)
    assert powers[-1] > 2 * powers[0]


@pytest.mark.parametrize("comparisons", [2, 12])
@pytest.mark.parametrize("law", LAWS)
def test_no_law_of_noise_makes_the_test_cry_wolf(law: str, comparisons: int) -> None:
    found = rival_tests.cell(law, 3, comparisons, 800)
    assert found["moderated_t"]["family_wise_error"] < 0.08
    assert found["moderated_t"]["coverage"] > 0.88
    assert found["equivalence"]["falsely_claimed"] < 0.08


def test_borrowing_finds_what_the_paired_t_misses_and_pooling_claims_what_is_not_there() -> None:
    equal = rival_tests.cell("normal", 3, 12, 800)
    assert equal["moderated_t"]["power"]["4"] > 0.5 > 0.2 > equal["paired_t"]["power"]["4"]
    assert 0.94 < equal["moderated_t"]["coverage"] < 0.98
    noisy = rival_tests.cell("reference 3 times as noisy", 3, 12, 800)
    assert noisy["pooled_t"]["family_wise_error"] > 0.15


def test_pooling_is_the_analysis_of_variance_with_blocks() -> None:
    scores_AR = np.random.default_rng(4).normal(0, 1, (4, 5)) + np.arange(5)
    arm, replicate = (index.ravel() for index in np.indices(scores_AR.shape))
    long = pd.DataFrame({"score": scores_AR.ravel(), "arm": arm, "replicate": replicate})
    fitted = smf.ols("score ~ C(arm) + C(replicate)", long).fit()
    found = rival_tests.pooled_t(scores_AR[None])
    low, high = fitted.conf_int().loc["C(arm)[T.2]"]
    assert (found.low_SC[0, 1], found.high_SC[0, 1]) == pytest.approx((low, high))


def test_a_missed_bound_of_the_test_is_named() -> None:
    good = {"family_wise_error": 0.05, "coverage": 0.95, "power": {"4": 0.6}}
    found = {"law": "normal", "replicates": 3, "comparisons": 12, "moderated_t": good}
    found["equivalence"] = {"falsely_claimed": 0.05}
    assert not list(rival_tests.missed_by_tests(found))
    bad = found | {"moderated_t": {"family_wise_error": 0.06, "coverage": 0.93, "power": {"4": 0.4}}}
    assert len(list(rival_tests.missed_by_tests(bad))) == 3
    assert len(list(rival_tests.missed_by_tests(bad | {"law": "skewed"}))) == 1
    assert len(list(rival_tests.missed_by_tests(found | {"equivalence": {"falsely_claimed": 0.06}}))) == 1


def test_the_upper_bound_of_a_share_is_exact() -> None:
    # 0 of 10: (1 − p)^10 = 0.05.
    assert rival_tests.upper_bound(0, 10) == pytest.approx(1 - 0.05**0.1)


def test_a_bound_that_is_missed_is_named() -> None:
    cell = {"noise": "normal", "effects": "none", "replicates": 5}
    good = cell | {"coverage": 0.95, "family_wise_error": 0.05, "wrong_signed_claim": 0.0}
    assert not list(planted_truth.missed_by_arrays(good))
    bad = cell | {"coverage": 0.90, "family_wise_error": 0.06, "wrong_signed_claim": 0.03}
    assert len(list(planted_truth.missed_by_arrays(bad))) == 3
    assert not list(planted_truth.missed_by_arrays(bad | {"noise": "unequal"}))


def test_whole_studies_say_through_ledger_and_tables_what_the_arrays_say(tmp_path: Path) -> None:
    result = planted_truth.whole_studies(2, tmp_path)
    assert result["first_disagreements"] == []
    assert result["unequal_survival_planted_and_flagged"] == [1, 1]
    assert not list(planted_truth.missed_by_runs({**result, "unequal_survival_not_planted_but_flagged": [0, 1]}))
    truth = json.loads((tmp_path / "truth" / "planted-000.json").read_text())
    assert len(truth["effects"]) == len(ARMS) == len(truth["scores"])
    assert not any("truth" in str(path) for path in (tmp_path / "runs").rglob("*"))


def test_a_wrong_number_in_findings_is_a_disagreement(tmp_path: Path) -> None:
    from benchmarks.planted_runs import plant

    random = np.random.default_rng(14)
    truth = plant(tmp_path / "run", 0.7 + 0.01 * random.standard_normal((len(ARMS), 5)), random, is_shaky=False)
    found = findings(tmp_path / "run")
    assert not list(planted_truth.disagreements_with(found, truth))
    found["comparisons"][0]["difference"] += 1e-6
    found["not_completed"].append({"trial_id": "kind=b/0/confirm/0", "status": "failed"})
    assert len(list(planted_truth.disagreements_with(found, truth))) == 2
