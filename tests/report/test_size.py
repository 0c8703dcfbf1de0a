"""A study of many arms or metrics has a page that stays small: figures and tables show some, files have all."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.report.build import Report, render
from analysis.report.inputs import MOST_ARMS
from analysis.report.rendering import MOST_ROWS
from analysis.report.search.curves import MOST_METRICS
from search_spaces.space import Arm, Budget, Choice
from tests.support.made_runs import BRIDGES, write_run

LEVELS = tuple(float(level) for level in range(1, MOST_ROWS + 20))
BEST = "span=77.0"


def best_at_77(arm: Arm, replicate: int, seed: int) -> float:
    return 0.9 if arm.name == BEST else 0.7 + 0.01 * replicate + 0.0001 * len(arm.name)


def many_arms(root: Path) -> Report:
    space = BRIDGES.model_copy(
        update={
            "factors": {**BRIDGES.factors, "deck.span": Choice(values=LEVELS)},
            "budgets": {"quick": Budget(replicates=2, trials=1, epochs=2, grace_epochs=1, reduction_factor=2)},
        }
    )
    return render(write_run(root, space, value=best_at_77))


def test_figures_draw_reference_baseline_and_the_best_of_many_arms_and_tables_have_all(tmp_path: Path) -> None:
    report = many_arms(tmp_path / "run")
    drawn = report.figures["curves"].arms
    assert len(drawn) == MOST_ARMS
    assert {"reference", "baseline", BEST} <= set(drawn)
    assert f"{MOST_ARMS} of {len(report.inputs.arms)}: reference, baseline and the best" in report.page
    assert f"The first {MOST_ROWS} of {len(report.inputs.arms)} rows." in report.page
    assert report.files["arms.csv"].count("\n") == len(report.inputs.arms) + 1


def test_curves_are_drawn_of_some_of_many_metrics_the_spaces_first(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    epochs = pd.read_parquet(run / "epochs.parquet")
    free = pd.DataFrame(0.5, epochs.index, [f"metric.a{place}" for place in range(3 * MOST_METRICS)])
    pd.concat([epochs, free], axis=1).to_parquet(run / "epochs.parquet", index=False)
    report = render(run)
    names = [spec["name"] for spec in report.figures["curves"].specs]
    assert len(names) == MOST_METRICS
    assert {"val strength", "val beauty"} <= set(names)
    assert "without 96 of the columns" in report.page
    assert "metric.a119" in report.files["curves.csv"]


def test_classes_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    report = render(write_run(tmp_path / "run", artifacts=True, classes=("calm", "calm")))
    assert report.failures == ()
    assert set(report.tables["recall"]["class_name"]) == {"calm (0)", "calm (1)"}
