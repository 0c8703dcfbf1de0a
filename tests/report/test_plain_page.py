"""The page of a study of one arm: the best configuration first, its score, and nothing of what compares arms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ablation.paths import RunPaths
from analysis.report.build import Report, render
from search_spaces.space import Budget
from tests.report.test_report import Page
from tests.support.made_runs import BRIDGES, write_run
from tests.support.plain_loop import run_study
from tests.toy_study import plain_plan

COMPARING = ("differences", "arms", "comparisons", "responses", "components", "marginals", "effects", "cost")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return render(run_study(plain_plan(replicates=2), tmp_path_factory.mktemp("runs") / "toy").root)


@pytest.fixture(scope="module")
def page(report: Report) -> Page:
    return Page(report.page)


def test_answer_and_best_configuration_come_first_and_the_search_stays(page: Page, report: Report) -> None:
    assert not report.failures
    sections = ["answer", "configuration", "score", "scores", "confirmed", "search", "curves", "survival", "best"]
    sections += ["importance", "slices", "tuned", "run", "effort", "method"]
    assert [name for name in page.ids if name in sections] == sections
    assert not set(COMPARING) & set(page.ids)
    head = page.text.partition("Accounting")[0]
    assert "toy.offset" in head.partition("1 fixed hyperparameter")[0]
    assert "1 fixed hyperparameter toy.misbehave no" in head


def test_nothing_on_the_page_speaks_of_other_arms_or_tests(page: Page) -> None:
    for word in ("reference", "baseline", "Holm", "every arm", "Every arm", "significant", "p value", "-time design"):
        assert word not in page.text, word
    assert "Search report" in page.text
    assert "We studied one model in 2 independent replicates. In every replicate hyperparameters were" in page.text
    assert "2 replicates × (12 search trials + 3 confirm runs) of 9 epochs" in page.text


def test_tables_for_papers_hold_scores_and_configuration_and_no_differences(report: Report) -> None:
    assert {"scores.tex", "best_configuration.tex", "confirm_runs.csv", "replicates.csv"} <= set(report.files)
    assert not [name for name in report.files if name.startswith(("arms", "comparisons", "differences"))]
    assert "best configuration" not in report.files["scores.tex"] and "procedure" in report.files["scores.tex"]
    assert "2 replicates" in report.files["scores.md"] and "3 seeds" in report.files["scores.md"]


def with_checkpoint(root: Path, predictor: str | None) -> str:
    plain: dict[str, Any] = {"factors": {}, "reference": {}, "baseline": {}, "predictor": predictor}
    budget = Budget(replicates=1, trials=2, epochs=4, grace_epochs=2, reduction_factor=2)
    run = write_run(root, BRIDGES.model_copy(update={**plain, "budgets": {"quick": budget}}))
    trials = pd.read_parquet(RunPaths(run).trials)
    trials["checkpoint"] = trials["trial_id"].map({"model/0/confirm/0": "checkpoints/x/epoch-00004-0.safetensors"})
    trials.to_parquet(RunPaths(run).trials, index=False)
    return Page(render(run).page).text


def test_two_lines_load_the_model_or_its_checkpoint_if_there_is_no_predictor(tmp_path: Path) -> None:
    loads = "from ablation import load_best model = load_best('runs/made-bridges', trust=True)"
    assert loads in with_checkpoint(tmp_path / "model", "made.bridges:Predictor")
    path = "runs/made-bridges/checkpoints/x/epoch-00004-0.safetensors"
    loads = f"from ablation import checkpoint, store saved = checkpoint.load(store.located('{path}'))"
    assert loads in with_checkpoint(tmp_path / "checkpoint", None)


def test_a_study_without_search_says_so_and_scores_all_its_runs(tmp_path: Path) -> None:
    report = render(run_study(plain_plan(trials=0, replicates=10, seeds=1), tmp_path / "seeds").root)
    text = Page(report.page).text
    assert not report.failures
    assert "Score report" in text and "What every run was trained with: nothing was searched." in text
    assert "the model was trained at the defaults" in text
    assert report.tables["scores"][["of", "n", "unit"]].to_numpy().tolist() == [["configuration", 10, "replicate"]]
    assert len(report.tables["confirm_runs"]) == 10 and report.tables["confirm_runs"]["is_best"].all()
