"""Bad input is reported all at once, before anything starts, with exit code 2; plans are printed without running."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import ablation.run as run_module
from ablation.planning.request import Request, check_request
from search_spaces.space import Choice
from tests.toy_study import SPACE

ROOT = Path(__file__).parents[2]
APP = typer.Typer()
APP.command()(run_module.main)


@pytest.fixture(autouse=True)
def away_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ABLATION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def refuse(*arguments: object) -> None:
        raise AssertionError("nothing may start")

    monkeypatch.setattr(run_module, "run_prepared", refuse)
    yield


def reported(*arguments: str) -> str:
    """Run the command with input that is at fault and return what it says."""
    result = CliRunner().invoke(APP, list(arguments))
    assert result.exit_code == 2, result.output
    assert not list(Path().glob("runs/*"))
    return result.output


def toy(*arguments: str) -> tuple[str, ...]:
    return "--space", "tests.toy_study:SPACE", *arguments


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--space", "tlc"), "did you mean 'tcl'?"),
        (("--space", "missing.py"), "missing.py does not exist"),
        (("--space", "tests.toy_study:NOTHING"), "has no 'NOTHING'"),
        (("--space", "no.such.module:SPACE"), "cannot import 'no.such.module'"),
        (toy("--set", "toy.spede=1"), "did you mean 'toy.speed'?"),
        (toy("--set", "toy.misbehave"), "must be key=value"),
        (toy("--set", "toy.offset=9"), "toy.offset is 9, but must be less than or equal to 3"),
        *(
            (toy("--set", f"toy.offset={value}"), f"--set toy.offset is {value}, but must be a finite number")
            for value in ("Infinity", "-Infinity", "NaN", "nan", "-inf", "1e999")
        ),
        (toy("--set", "toy.bonus=1"), "choose its levels with --arms"),
        (toy("--set", "toy.offset=soon"), "toy.offset is 'soon', but must be a valid number"),
        (toy("--replicates", "1"), "--replicates is 1, but differences between arms have a spread from 2 on"),
        (toy("--replicates", "0"), "--replicates is 0, but must be greater than or equal to 1"),
        (toy("--trials", "-1"), "--trials is -1"),
        (toy("--epochs", "-3"), "--epochs is -3"),
        (toy("--eta", "1"), "--eta is 1, but must be greater than or equal to 2"),
        (toy("--grace", "0"), "--grace is 0, but must be greater than or equal to 1"),
        (toy("--grace", "9"), "--grace is 9, but must be less than the 9 epochs of training"),
        (toy("--early-stopping", "no"), "--early-stopping is 'no', but must be 'asha' or 'none'"),
        (toy("--early-stopping", "none", "--eta", "4", "--grace", "2"), "--eta and --grace: about early stopping"),
        (toy("--seed", "-1"), "--seed is -1"),
        (toy("--budget", "quik"), "did you mean 'quick'?"),
        (toy("--design", "factor"), "did you mean 'factorial'?"),
        (toy("--metric", "scores"), "did you mean 'score'?"),
        (toy("--arms", "bones*"), "matches no arm"),
        (toy("--data", "rafdb:x"), "takes no data"),
        (toy("--name", "a/b"), "--name is 'a/b'"),
        (toy("--name", "a" * 300), "at most 100"),
        (toy("--name", "new", "--resume"), "found no run"),
        (toy("--cpus-per-trial", "0"), "--cpus-per-trial is 0.0, but must be greater than 0"),
        (toy("--cpus-per-trial", "4096"), "--cpus-per-trial is 4096, but this machine has"),
        (toy("--gpus-per-trial", "64"), "--gpus-per-trial is 64, but this machine has"),
        (toy("--gpus-per-trial", "-1"), "--gpus-per-trial is '-1', but must be"),
        (toy("--gpus-per-trial", "some"), "--gpus-per-trial is 'some'"),
        (toy("--max-concurrent", "0"), "--max-concurrent is 0"),
        (toy("--max-nodes", "2"), "--max-nodes is for a cluster that grows; give its --address"),
        (toy("--max-nodes", "2", "--address", "auto"), "nodes that --max-nodes waits for cannot be asked"),
        (toy("--log-format", "xml"), "--log-format is 'xml', but must be 'text' or 'json'"),
        (toy("--spread", "0.1"), "--spread and --spread-from are for --plan"),
        (toy("--plan", "--spread", "0"), "--spread is 0, but must be a number > 0"),
        (toy("--plan", "--spread", "1", "--spread-from", "runs/x"), "both give a spread; keep one"),
        (toy("--plan", "--spread-from", "elsewhere"), "--spread-from: elsewhere is no run directory"),
        (toy("--plan", "--set", "toy.misbehave=raise"), "a confirm trial of reference: it raised ToyError"),
        (("--space", "tcl", "--data", "rafdb:nowhere"), "nowhere"),
        (("--space", "tcl", "--data", "imagenet:x"), "'imagenet' is no kind of data"),
        (("--space", "tcl", "--set", "loss.wieght=1"), "did you mean 'loss.weight'?"),
        (("--space", "tcl", "--set", "train.batch_size=1"), "train.batch_size is 1"),
    ],
)
def test_bad_input_is_refused_with_value_rule_and_remedy(arguments: tuple[str, ...], expected: str) -> None:
    assert expected in reported(*arguments)


def test_all_faults_are_told_at_once() -> None:
    output = reported(
        "--space", "tcl", "--data", "rafdb:nowhere", "--set", "x.y=1", "--set", "optim.momentum=2",
        "--replicates", "0", "--metric", "f1", "--name", "a b", "--max-concurrent", "0",
    )  # fmt: skip
    for part in ("nowhere", "'x.y'", "optim.momentum is 2", "--replicates", "--metric", "--name", "--max-concurrent"):
        assert part in output, part
    assert output.count("error:") == 7


def test_every_fault_of_a_data_directory_is_told(tmp_path: Path) -> None:
    data = tmp_path / "raf"
    (data / "EmoLabel").mkdir(parents=True)
    (data / "Image/aligned").mkdir(parents=True)
    for name in ("train_00001", "train_00002", "test_0001"):
        Image.new("RGB", (10, 10)).save(data / f"Image/aligned/{name}_aligned.jpg")
    (data / "Image/aligned/train_00002_aligned.jpg").write_bytes(b"no picture")
    lines = ["train_00001.jpg 8", "train_00002.jpg 1", "train_00003.jpg 2", "test_0001.jpg 3"]
    (data / "EmoLabel/list_patition_label.txt").write_text("\n".join(lines))
    output = reported("--space", "tcl", "--data", f"rafdb:{data}")
    for part in ("train_00001", "8", "train_00002_aligned.jpg", "train_00003"):
        assert part in output, part


def test_a_name_that_exists_needs_resume(tmp_path: Path) -> None:
    (tmp_path / "elsewhere/mine").mkdir(parents=True)
    assert "holds no study; delete it" in reported(*toy("--name", "mine", "--out", "elsewhere"))
    (tmp_path / "elsewhere/mine/study.json").touch()
    assert "go on with it by --resume" in reported(*toy("--name", "mine", "--out", "elsewhere"))


def test_a_name_that_is_taken_is_refused_before_a_study_is_imported(tmp_path: Path) -> None:
    (tmp_path / "elsewhere/mine").mkdir(parents=True)
    (tmp_path / "elsewhere/mine/study.json").touch()
    study = tmp_path / "study.py"
    study.write_text("raise ValueError('imported')")
    asked = "--space", str(study), "--out", "elsewhere"
    assert "imported" in reported(*asked)
    taken = reported(*asked, "--name", "mine", "--max-concurrent", "0")
    assert "go on with it by --resume" in taken and "--max-concurrent" in taken and "imported" not in taken


def test_a_resume_without_a_run_names_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "elsewhere/mine").mkdir(parents=True)
    (tmp_path / "elsewhere/mine/study.json").touch()
    for given in ((), ("--name", "other")):
        assert "give the --name of one (elsewhere has mine)" in reported(*toy(*given, "--resume", "--out", "elsewhere"))


def test_an_arm_that_has_the_name_asked_for_is_meant_before_those_that_match() -> None:
    space = SPACE.model_copy(
        update={
            "factors": {"toy.misbehave": Choice(values=("no", "x[y]", "xy"))},
            "fixed": {},
            "reference": {"toy.misbehave": "no"},
            "baseline": {"toy.misbehave": "no"},
        }
    )
    for pattern, names in (("misbehave=x[y]", ["misbehave=x[y]"]), ("misbehave=?[y]", ["misbehave=xy"])):
        plan = check_request(Request(space, arms=(pattern,)), 0).plan
        assert [arm.name for arm in plan.arms] == ["reference", *names]


def test_a_space_file_with_faults_lists_them_in_the_spaces_words() -> None:
    Path("wrong.py").write_text(
        "from tests.toy_study import SPACE\n"
        "from search_spaces.space import Choice, Space\n"
        "given = {**SPACE.model_dump(), 'metrics': ('arm',), 'nuisance': {'toy.offset': Choice(values=(1, True))}}\n"
        "SPACE = Space.model_validate(given)\n"
    )
    output = reported("--space", "wrong.py")
    assert "space 'wrong.py': levels 1 and True of toy.offset are equal" in output
    assert "space 'wrong.py': metric 'arm' is a column" in output
    assert "validation error" not in output


def test_a_plan_is_printed_and_nothing_runs() -> None:
    result = CliRunner().invoke(APP, list(toy("--plan", "--json")))
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)
    assert plan["trials"] == 5 * 3 * (4 + 1)
    assert plan["epochs_most"] == plan["trials"] * 9
    assert plan["sweep_expected_s"] < plan["sweep_most_s"]
    words = CliRunner().invoke(APP, list(toy("--plan", "--spread", "0.01"))).stdout
    for part in (
        "bonus=0.05",
        "75 trials",
        "epochs: 675 at most",
        "time: about",
        "CPU-hours: about",
        "4 declared comparisons",
        f"in score: {0.01 * plan['detectable_sd']:.3g}, where one standard deviation of such differences is 0.01",
        f"half that difference: {plan['half']['replicates_needed']} replicates",
    ):
        assert part in words, part
    assert not list(Path().glob("runs/*"))


def test_a_space_file_that_cannot_be_imported_is_told() -> None:
    Path("broken.py").write_text("this is no python")
    assert "broken.py cannot be imported: SyntaxError" in reported("--space", "broken.py")


def test_ray_is_not_imported_before_the_input_was_checked() -> None:
    check = (
        "import sys; from ablation.planning.request import Request, check_request; "
        "check_request(Request('tests.toy_study:SPACE'), 0); print('ray' in sys.modules)"
    )
    asked = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "False"


def test_help_lists_every_option_in_a_group() -> None:
    command = typer.main.get_command(APP)
    groups: dict[str, list[str]] = {}
    for parameter in command.params:
        groups.setdefault(str(getattr(parameter, "rich_help_panel", None)), []).append(str(parameter.name))
    assert set(groups) - {"None"} == {"What is asked", "Effort", "Search", "Machine", "Plan", "The run"}
    assert set(groups.get("None", ())) <= {"help", "install_completion", "show_completion"}
    assert groups["Search"][:4] == ["sampler", "early_stopping", "eta", "grace"]
