"""The best configuration in a line: all that its arm searched, be it a hyperparameter or a factor."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ablation.console.best_text import best_facts, best_in_words
from ablation.plan import Plan
from search_spaces.space import Design
from tests.support.plain_loop import run_study
from tests.toy_study import SPACE, toy_plan


def designed(design: Design) -> Plan:
    arms = SPACE.arms(design)
    return toy_plan().model_copy(update={"design": design, "arms": arms, "comparisons": SPACE.declared(arms)})


@pytest.mark.parametrize("design", ["one-at-a-time", "joint"])
def test_the_best_configuration_has_all_that_its_arm_searched(tmp_path: Path, design: Design) -> None:
    paths = run_study(designed(design), tmp_path / "toy")
    found = best_facts(paths.root)
    assert found is not None
    trials = pd.read_parquet(paths.trials).set_index("trial_id")
    proposed = trials.loc[found["trial_id"]]
    names = {*SPACE.nuisance, *(SPACE.factors if design == "joint" else ())}
    expected = {name: proposed[f"config.{name}"] for name in names if not pd.isna(proposed[f"config.{name}"])}
    assert found["config"] == expected
    (line,) = best_in_words(found)
    assert all(f"{name}=" in line for name in expected)


def test_nothing_is_said_of_a_run_that_has_confirmed_nothing(tmp_path: Path) -> None:
    assert best_facts(tmp_path) is None and best_in_words(None) == []
