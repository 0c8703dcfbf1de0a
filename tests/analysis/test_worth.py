"""Worth has one sign: with minus without, and larger is better, whichever way the metric goes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis.evidence import Evidence, gather
from analysis.numbers import SHARE
from analysis.report.table_files import latex, paper_components
from analysis.tables.worth import worth_table
from search_spaces.space import Comparison
from tests.support.made_runs import BRIDGES, write_run
from tests.support.spaces import with_direction


def ranked(found: Evidence) -> pd.DataFrame:
    return worth_table(found.study, found.arms, found.components, found.comparisons)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return gather(write_run(tmp_path_factory.mktemp("worth") / "run", design="factorial"))


def test_worth_is_the_reference_minus_each_arm_and_each_component_minus_the_baseline(found: Evidence) -> None:
    table, scores = ranked(found), found.replicates
    for row in table.to_dict("records"):
        with_, without = (scores.loc[scores["arm"] == row[side], "strength"].to_numpy() for side in ("with", "without"))
        assert row["worth"] == pytest.approx((with_ - without).mean()), row["label"]
        assert row["low"] <= row["worth"] <= row["high"]
    assert table["worth"].is_monotonic_decreasing
    assert set(table["without"]) > {"baseline"}
    assert any(label.startswith("alone: ") for label in table["label"])


def test_where_less_is_better_worth_is_turned_round(found: Evidence, tmp_path: Path) -> None:
    less = gather(write_run(tmp_path / "run", with_direction(BRIDGES, "minimize"), design="factorial"))
    more = ranked(found).set_index("label")["worth"]
    turned = ranked(less).set_index("label")["worth"]
    assert turned.sort_index().tolist() == pytest.approx((-more).sort_index().tolist())


def test_a_pair_that_is_declared_the_other_way_round_is_tested_all_the_same(tmp_path: Path) -> None:
    space = BRIDGES.model_copy(update={"comparisons": (Comparison(against="baseline"),)})
    found = gather(write_run(tmp_path / "run", space, replicates=6))
    tested = found.comparisons.set_index("arm")
    assert tested.loc["reference", "against"] == "baseline" and tested.loc["reference", "significant"]
    assert ranked(found).set_index("label").loc["instead of baseline", "significant"]


def test_components_for_a_paper_have_words_for_headings(found: Evidence) -> None:
    heading = latex(paper_components(found.components, SHARE, higher_is_better=True)).splitlines()[2]
    assert heading.startswith(
        "component & level & instead of & added to the baseline (points) & 95 \\% interval, added"
    )
    assert "_" not in heading
