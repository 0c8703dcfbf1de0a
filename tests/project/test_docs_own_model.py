"""docs/own_model.md: its study is as short as it says, runs, resumes, and accepts the options that the page shows."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer.main

import ablation.run as run_module
from ablation.paths import RunPaths
from ablation.planning.request import Request, check_request
from ablation.spaces import find_space
from ablation.trial import TrialContext, build_config, import_object
from tests.support.plain_loop import run_study

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/own_model.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
STUDY = PYTHON[0]
MOST_LINES = 60


@pytest.fixture
def study_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Put the page's study into a folder of its own, which is then where we are."""
    (tmp_path / "my_surface.py").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("my_surface", None)
    yield "my_surface.py"
    sys.modules.pop("my_surface", None)


def commands() -> list[list[str]]:
    typed = "".join(re.findall(r"^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
    return [shlex.split(line.removeprefix("$ ")) for line in typed.splitlines()]


def test_the_study_is_short_and_readme_has_another() -> None:
    assert STUDY.startswith('"""my_surface.py')
    assert len([line for line in STUDY.splitlines() if line.strip()]) < MOST_LINES
    assert STUDY not in (ROOT / "README.md").read_text()


def test_the_space_in_yaml_is_the_pages_space(study_file: str) -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    Path("my_surface.yaml").write_text(block)
    assert find_space("my_surface.yaml") == find_space(study_file)


def test_the_study_runs_and_finds_that_the_network_needs_both_parts(study_file: str, tmp_path: Path) -> None:
    plan = check_request(Request(study_file, budget="quick", replicates=2, trials=2, epochs=3), gpus=0).plan
    paths = run_study(plan, tmp_path / "runs/surface")
    trials = pd.read_parquet(paths.trials)
    assert set(trials["status"]) <= {"completed", "stopped"}
    mean = trials.groupby("arm")["metric.test_rmse"].mean()
    assert set(mean.index) == {"reference", "tanh=False", "scaled=False", "baseline"}
    assert (mean.drop("reference") > 1.5 * mean["reference"]).all()


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_a_resumed_trial_repeats_the_uninterrupted_one(study_file: str, tmp_path: Path, stopped_after: int) -> None:
    run_trial: Any = import_object(find_space(study_file).trial)
    config = build_config(run_trial, {})
    whole = TrialContext("t", "confirm", epochs=3, seed=1, replicate_seed=2, checkpoint_dir=tmp_path / "whole")
    halves = replace(whole, checkpoint_dir=tmp_path / "halves", checkpoint_epochs=(stopped_after,))
    expected = [record.metrics for record in run_trial(config, whole)]
    first = list(islice(run_trial(config, halves), stopped_after + 1))
    resumed = list(run_trial(config, halves))
    assert [record.metrics for record in resumed] == expected
    # Records of epochs trained before come again as they were, times included.
    assert resumed[:stopped_after] == first[:stopped_after]
    assert [any(name.startswith("test_") for name in metrics) for metrics in expected] == [False, False, True]


def test_the_loop_by_hand_prints_an_epoch_a_line(study_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    import_object(find_space(study_file).trial)
    loop = next(block for block in PYTHON if "for record in run_trial" in block)
    exec(compile(loop, "docs/own_model.md", "exec"), {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["1", "2", "3"]


def test_options_on_the_page_are_options_of_the_command_and_are_accepted(study_file: str) -> None:
    app = typer.Typer()
    app.command()(run_module.main)
    known = {name for option in typer.main.get_command(app).params for name in (*option.opts, *option.secondary_opts)}
    typed = commands()
    assert len(typed) == 7
    for words in typed:
        assert words[:3] == ["python", "-m", "ablation.run"]
        assert {word for word in words if word.startswith("--")} <= known
        given = [(words[place], words[place + 1]) for place, word in enumerate(words[:-1]) if word.startswith("--")]
        request = Request(
            dict(given)["--space"],
            budget=dict(given)["--budget"],
            design=dict(given).get("--design", "one-at-a-time"),
            settings=tuple(value for option, value in given if option == "--set"),
            arms=tuple(value for option, value in given if option == "--arms"),
            sampler=dict(given).get("--sampler"),
            early_stopping=dict(given).get("--early-stopping"),
        )
        assert check_request(request, gpus=0).plan.arms[0].name == "reference"


def test_the_notebook_example_calls_run_as_it_is(study_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Request] = []

    def checked(request: Request, name: str | None, out: Path, *rest: object, **options: object) -> Any:
        calls.append(request)
        return type("PlannedRun", (), {"paths": RunPaths(out / str(name))})

    import_object(find_space(study_file).trial)
    monkeypatch.setattr(run_module, "plan_run", checked)
    monkeypatch.setattr(run_module, "run_prepared", lambda study, report, **rest: 0)
    exec(compile(PYTHON[-1], "docs/own_model.md", "exec"), {})
    (request,) = calls
    plan = check_request(request, gpus=0).plan
    assert [arm.name for arm in plan.arms] == ["reference", "scaled=False"]
    assert plan.space.fixed["hidden"] == 8 and "hidden" not in plan.space.nuisance


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#\s]+)\)", PAGE)
    assert targets and [target for target in targets if not (ROOT / "docs" / target).exists()] == []
