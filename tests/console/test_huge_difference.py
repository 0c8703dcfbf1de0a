"""A study that could find huge differences only says so, and the command that it gives is of one that finds less."""

from __future__ import annotations

import io
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from scipy import stats

import ablation.run as run_module
from ablation.console.huge_difference import command_with, only_huge
from ablation.console.messages import TextMessages
from ablation.console.plan_facts import header_facts
from ablation.planning.request import CheckedStudy, Request, check_request
from tests.toy_study import SPACE


def checked(**asked: Any) -> CheckedStudy:
    return check_request(Request(SPACE, budget="quick", **asked), gpus=0)


def header(study: CheckedStudy, is_resumed: bool = False) -> str:
    out = io.StringIO()
    TextMessages(Console(file=out, width=400)).header(study, Path("runs/toy"), is_resumed)
    return out.getvalue()


def chance(replicates: int) -> float:
    """Return how often a paired t test finds a true difference of two standard deviations."""
    edge, found = stats.t.ppf(0.975, replicates - 1), stats.nct(replicates - 1, 2 * replicates**0.5)
    return float(found.sf(edge))


def test_the_replicates_given_are_the_fewest_that_find_two_standard_deviations() -> None:
    found = only_huge(checked(arms=("baseline",), replicates=3).plan)
    assert found is not None
    assert chance(found.replicates_needed - 1) < 0.8 <= chance(found.replicates_needed)
    assert only_huge(checked(arms=("baseline",), replicates=found.replicates_needed).plan) is None


def test_nothing_is_said_where_nothing_is_compared_or_enough_is_found() -> None:
    assert only_huge(checked(arms=("reference",), replicates=2).plan) is None
    assert "warning" not in header(checked(replicates=12))


def test_the_command_given_plans_a_study_that_finds_less(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = "--space tests.toy_study:SPACE --budget=quick --arms baseline --name x --plan"
    monkeypatch.setattr(sys, "argv", ["ablation plan", *typed.split()])
    (line,) = [line for line in header(checked(arms=("baseline",))).splitlines() if line.startswith("warning:")]
    program, name, *arguments = shlex.split(line.partition("detect 2: ")[2])
    app = typer.Typer(add_completion=False)
    app.command()(run_module.main)
    given = typer.main.get_command(app).make_context(name, arguments).params
    asked = Request(given["space"], budget=given["budget"], replicates=given["replicates"], arms=tuple(given["arms"]))
    assert (program, name, given["name"]) == ("ablation", "run", None)
    assert only_huge(check_request(asked, gpus=0).plan) is None


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            "ablation|run|--space|s.py|--replicates=3|--name=x|--seed|1",
            "ablation run --space s.py --seed 1 --replicates 9",
        ),
        (
            "python|-m|ablation.run|--plan|--json|--spread|0.1|--space|s",
            "python -m ablation.run --space s --replicates 9",
        ),
        ("notebook.py|--space|other", "run(…, replicates=9)"),
        ("run.py|--fast", "run(…, replicates=9)"),
    ],
)
def test_the_command_is_the_one_that_was_typed_with_other_replicates(typed: str, said: str) -> None:
    assert command_with(9, typed.split("|")) == said


def test_programs_are_given_the_same_and_a_run_that_goes_on_is_not_warned_of_again() -> None:
    study = checked(arms=("baseline",))
    assert "warning" in header(study) and "warning" not in header(study, is_resumed=True)
    facts = header_facts(study)["only_huge"]
    assert facts["detectable_sd"] > 2 and chance(facts["replicates_needed"]) >= 0.8
