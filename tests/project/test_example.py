"""The kept study under docs/example: whole, and the numbers of docs/experiments.md are its numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ablation import study_file
from ablation.paths import RunPaths
from ablation.planning.settings import with_fixed
from analysis import load
from analysis.audit.checks import audit
from analysis.effects import arms_table, comparisons_table, replicates
from search_spaces import tcl
from search_spaces.wording import without_wording

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs/example"
LOG = (ROOT / "docs/experiments.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table with that heading."""
    table = LOG.split(heading, 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def percent(value: float, sign: str = "") -> str:
    return f"{100 * value:{sign}.1f}".replace("-", "−")


def test_the_example_is_whole() -> None:
    assert audit(EXAMPLE) == []
    assert sum(path.stat().st_size for path in EXAMPLE.rglob("*") if path.is_file()) < 2e6
    assert load.accounting(EXAMPLE)["completed"] == 92


def test_it_would_go_on_with_the_study_as_it_ships_today() -> None:
    recorded = study_file.read(RunPaths(EXAMPLE))
    asked = with_fixed(tcl.SPACE, tcl.SPACE.budgets[recorded.budget_name].fixed)
    assert without_wording(asked) == without_wording(recorded.plan.space)
    assert all(arm in asked.arms() for arm in recorded.plan.arms)


def test_the_logs_arms_are_the_examples() -> None:
    study, trials = load.study(EXAMPLE), load.trials(EXAMPLE)
    table = arms_table(study, replicates(study, trials)).to_dict("records")
    found = rows("| arm | test accuracy, % |")
    assert [row[0] for row in found] == [reported["arm"] for reported in table]
    for (_, accuracy, interval, recall, recall_interval), reported in zip(found, table, strict=True):
        assert accuracy == percent(reported["accuracy"])
        assert interval == f"{percent(reported['accuracy_low'])} to {percent(reported['accuracy_high'])}"
        assert recall == percent(reported["macro_recall"])
        assert recall_interval == f"{percent(reported['macro_recall_low'])} to {percent(reported['macro_recall_high'])}"


def test_the_logs_comparisons_are_the_examples() -> None:
    study, trials = load.study(EXAMPLE), load.trials(EXAMPLE)
    table = comparisons_table(study, replicates(study, trials))
    found = rows("| arm | against | difference |")
    assert [row[:2] for row in found] == table[["arm", "against"]].to_numpy().tolist()
    for row, reported in zip(found, table.to_dict("records"), strict=True):
        assert row[2] == percent(reported["difference"], "+")
        assert row[3] == f"{percent(reported['low'], '+')} to {percent(reported['high'], '+')}"
        assert float(row[4]) == pytest.approx(reported["p_holm"], abs=0.005)


def test_no_path_of_a_machine_is_kept() -> None:
    text = (EXAMPLE / "study.json").read_text()
    assert re.findall(r"/(?:root|work|tmp|home)/", text) == []
