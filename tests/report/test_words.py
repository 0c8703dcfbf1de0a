"""Words and numbers that the evidence bears out: digits follow intervals; where nothing is known, that is said."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest

from ablation.paths import RunPaths
from analysis.findings import findings
from analysis.numbers import SHARE, Unit
from analysis.report.build import Report, render
from analysis.report.figures import escaped, in_template
from analysis.report.models.class_figures import recall_map
from analysis.report.run.wording import effort_sentence
from analysis.report.search.wording import importance_summary
from search_spaces.space import Arm
from tests.support.made_runs import BRIDGES, write_run
from tests.support.spaces import with_direction

THIN = "\N{NARROW NO-BREAK SPACE}"


def nearly_all(arm: Arm, replicate: int, seed: int) -> float:
    effect = 0.0002 if arm.name == "material=wood" else 0.0
    return 0.9990 + effect + 0.00001 * replicate + 0.000002 * ((len(arm.name) * (replicate + 1) * 7) % 11)


@pytest.fixture(scope="module")
def fine(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return render(write_run(tmp_path_factory.mktemp("fine") / "run", value=nearly_all))


def test_a_small_difference_is_printed_with_the_digits_of_its_interval(fine: Report) -> None:
    shown = fine.page.replace(THIN, " ")
    claim = r"material=wood is better than the reference by (\S+) percentage points \(95 % interval (\S+) to (\S+)\)"
    found = re.search(claim, shown)
    assert found is not None
    difference, low, high = map(float, found.groups())
    assert 0.015 < low < difference < high < 0.025
    texts = [row["verdict"]["text"].replace(THIN, " ") for row in json.loads(fine.findings)["comparisons"]]
    assert f"by {found[1]} percentage points (95 % interval {found[2]} to {found[3]};" in texts[0]
    for table in ("arms", "comparisons"):
        for ending in ("md", "tex"):
            assert f"+{found[1]}" in fine.files[f"{table}.{ending}"], (table, ending)


@pytest.mark.parametrize(
    ("low", "high", "digits"),
    [(0.1, 0.2, 1), (0.001, 0.003, 2), (0.00018, 0.00021, 3), (0.00002, 0.00002, 4), (0.0, 0.0, 1)],
)
def test_digits_follow_the_intervals_width(low: float, high: float, digits: int) -> None:
    assert SHARE.at(low, high).digits == digits


@pytest.mark.parametrize("end", [float("nan"), float("inf")])
def test_an_interval_without_ends_changes_no_digits(end: float) -> None:
    assert Unit(1.0, "", "", 3).at(0.5, end).digits == 3


def test_where_all_diverged_the_page_says_that(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    trials = pd.read_parquet(run / "trials.parquet")
    late = trials["phase"] == "confirm"
    trials.loc[late, ["status", "reason"]] = ["diverged", "val_strength is nan"]
    trials.to_parquet(run / "trials.parquet", index=False)
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(summary | {"completed": 15, "diverged": 15}))
    page = render(run).page
    assert (
        "Nothing can be said: the 4 declared comparisons of test strength have no replicate that both arms have" in page
    )
    assert "Of 15 confirm trials: 15 diverged." in page
    assert "measurable" not in page


def test_where_one_replicate_is_done_the_page_says_that(tmp_path: Path) -> None:
    arms = [arm.name for arm in BRIDGES.arms()]
    open_trials = {f"{arm}/{replicate}/confirm/0": ("pending", None) for arm in arms for replicate in (1, 2)}
    page = render(write_run(tmp_path / "run", statuses=open_trials)).page
    assert "Nothing can be said yet: the 4 declared comparisons of test strength have one replicate" in page
    assert "Of 15 confirm trials: 5 completed, 10 pending." in page


@pytest.mark.parametrize(
    ("effect", "said"),
    [
        (0.0, "test strength is the same in both arms of each"),
        (0.1, "test strength differs by the same amount in"),
    ],
)
def test_where_nothing_differs_the_page_says_that(tmp_path: Path, effect: float, said: str) -> None:
    run = write_run(tmp_path / "run", value=lambda arm, *_: 0.5 + effect * (arm.name != "reference"))
    assert said in render(run).page


def test_tables_say_when_less_is_better(tmp_path: Path) -> None:
    less = render(write_run(tmp_path / "run", with_direction(BRIDGES, "minimize")))
    for name in ("arms.md", "arms.tex", "comparisons.md", "comparisons.tex"):
        assert "less is better" in less.files[name].splitlines()[0 if name.endswith("md") else 2], name
    assert less.page.count("(less is better)") >= 3


def test_tables_say_nothing_of_it_where_more_is_better(fine: Report) -> None:
    assert "less is better" not in fine.page + "".join(fine.files.values())


def test_quotation_marks_are_no_entities_in_figures() -> None:
    assert escaped('it\'s "a" < b & c') == 'it\'s "a" &lt; b &amp; c'
    assert in_template("100 %{x}") == "100 &#37;{x}"


def test_a_long_reason_is_cut_in_page_findings_and_tables(tmp_path: Path) -> None:
    reason = "first words " + "x" * 2_000_000 + " last words"
    lost = {f"{arm.name}/0/search/0": ("failed", reason) for arm in BRIDGES.arms()}
    run = write_run(tmp_path / "run", statuses=lost)
    report = render(run)
    for text in (report.page, report.findings, report.files["not_completed.csv"]):
        assert "first words" in text
        assert "last words" in text
        assert "letters left out" in text
    assert sum(map(len, [report.page, report.findings, *report.files.values()])) < 8e6
    assert findings(run)["not_completed"][0]["reason"].endswith("last words")


def test_one_of_a_thing_is_said_in_the_singular(tmp_path: Path) -> None:
    rows = [{"search": 1, "epochs": 1, "wall_s": 2.0}]
    assert effort_sentence(rows, None).startswith("There was 1 search trial. In all, 1 epoch was trained in")
    of_one = pd.DataFrame({"rho": [0.5], "rho_low": [0.1], "rho_high": [0.9], "trials": [12]})
    assert importance_summary(of_one).startswith("1 of 1 interval excludes 0, where")
    recalls = pd.DataFrame({"arm": ["a"], "class_name": ["calm"], "mean": [0.5], "low": [math.nan], "n": [1]})
    assert recall_map(recalls.assign(high=math.nan), "mean")["data"][0]["customdata"] == [["no interval, 1 replicate"]]


def test_replicates_that_an_arm_lost_are_named_in_the_plural(tmp_path: Path) -> None:
    lost = {f"span=1.0/{replicate}/confirm/0": ("failed", "out of memory") for replicate in (0, 2)}
    assert "no result from replicates 0, 2; left out" in render(write_run(tmp_path / "run", statuses=lost)).page


def test_a_command_is_shown_as_it_can_be_typed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    file = RunPaths(run).study
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, "command": ["ablation", "run", "--arms", "*", "--title", "two words"]}))
    assert "<code>ablation run --arms &#39;*&#39; --title &#39;two words&#39;</code>" in render(run).page
