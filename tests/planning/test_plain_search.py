"""A space without factors: one arm, no comparison, a plan that says what is searched and what the score rests on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablation.console.plan_facts import plan_facts
from ablation.console.plan_text import print_header
from ablation.engine.slots import Slots
from ablation.faults import FaultsError
from ablation.planning.probe import Probe
from ablation.planning.request import CheckedStudy, Request, check_request
from ablation.spaces import find_space
from ablation.terminal import console
from tests.toy_study import PLAIN


def checked(**asked: Any) -> CheckedStudy:
    return check_request(replace(Request(PLAIN, budget="quick"), **asked), gpus=0)


def test_a_plain_search_is_one_arm_and_may_have_one_replicate() -> None:
    plan = checked().plan
    assert [arm.name for arm in plan.arms] == ["model"]
    assert plan.comparisons == ()
    assert plan.trial_count == 12 + 3
    assert next(plan.trials()).trial_id == "model/0/search/0"


def test_the_header_counts_runs_and_names_no_arm(capsys: pytest.CaptureFixture[str]) -> None:
    print_header(console(), checked())
    said = " ".join(capsys.readouterr().out.split())
    assert "1 replicate × (12 search + 3 confirm) = 15 trials of up to 9 epochs" in said
    assert "arm" not in said


@pytest.mark.parametrize("design", ["factorial", "joint"])
def test_a_design_combines_factors_and_is_refused_without_them(design: str) -> None:
    with pytest.raises(FaultsError, match=f"--design is '{design}', but the space has no factors to combine"):
        check_request(Request(PLAIN, design=design, budget="quick"), gpus=0)


def test_ten_replicates_without_search_are_ten_runs_of_the_defaults() -> None:
    plan = checked(trials=0, replicates=10, seeds=1).plan
    assert {(trial.phase, trial.index) for trial in plan.trials()} == {("confirm", 0)}
    assert len({trial.seed for trial in plan.trials()}) == plan.trial_count == 10


def test_a_plan_without_comparisons_has_no_power_to_tell() -> None:
    facts = plan_facts(checked(), Probe(0.1, 0, 0.5, 1), Slots(1, 1.0, 0.0))
    assert facts["half"] is None and facts["detectable"] is None and facts["comparisons"] == ()


def test_a_file_of_data_says_a_plain_search_in_a_few_lines(tmp_path: Path) -> None:
    written = {
        "plain.yaml": (
            "name: toy-plain\ntrial: tests.toy_study:run_trial\nmetrics: [score]\n"
            "nuisance:\n  toy.offset: {kind: float, low: -2, high: 2, default: 1}\n"
            "budgets:\n  quick: {replicates: 1, trials: 12, epochs: 9, grace_epochs: 1, reduction_factor: 3}\n"
        ),
        "plain.toml": (
            'name = "toy-plain"\ntrial = "tests.toy_study:run_trial"\nmetrics = ["score"]\n'
            '[nuisance."toy.offset"]\nkind = "float"\nlow = -2\nhigh = 2\ndefault = 1\n'
            "[budgets.quick]\nreplicates = 1\ntrials = 12\nepochs = 9\ngrace_epochs = 1\nreduction_factor = 3\n"
        ),
    }
    for name, text in written.items():
        (tmp_path / name).write_text(text)
    spaces = [find_space(str(tmp_path / name)) for name in written]
    assert spaces[0] == spaces[1]
    (arm,) = spaces[0].arms()
    assert (arm.name, arm.searched) == ("model", ("toy.offset",))
