"""The analysis finds what was planted, and only that: a short form of benchmarks/planted_truth.py."""

import json
from pathlib import Path

import pytest

from analysis.findings import findings
from benchmarks import planted_truth
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
    import numpy as np

    from benchmarks.planted_runs import plant

    random = np.random.default_rng(14)
    truth = plant(tmp_path / "run", 0.7 + 0.01 * random.standard_normal((len(ARMS), 5)), random, is_shaky=False)
    found = findings(tmp_path / "run")
    assert not list(planted_truth.disagreements_with(found, truth))
    found["comparisons"][0]["difference"] += 1e-6
    found["not_completed"].append({"trial_id": "kind=b/0/confirm/0", "status": "failed"})
    assert len(list(planted_truth.disagreements_with(found, truth))) == 2
