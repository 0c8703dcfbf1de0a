"""A rehearsal that kills its process, hangs or writes past Python is a fault in one line; stdout stays ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

import ablation.run as run_module
from ablation.engine import driver
from ablation.engine.slots import Slots
from ablation.faults import FaultsError
from ablation.planning.rehearsal_process import probe_apart
from ablation.planning.request import CheckedStudy
from tests.toy_study import toy_plan

APP = typer.Typer()
APP.command()(run_module.main)
ALONE = Slots(count=1, cpus=1.0, gpus=0.0)
STUDY = """
import os, signal, subprocess, threading
from tests.toy_study import SPACE as TOY, ToyConfig, run_trial as follow
def run_trial(config: ToyConfig, context):
    os.write(1, b"written by number\\n")
    subprocess.run(["echo", "written by another program"], check=True)
    if config.toy.speed == 5:
        {slow}
    yield from follow(config, context)
SPACE = TOY.model_copy(update={{"trial": "{name}:run_trial"}})
"""


def checked(folder: Path, patch: pytest.MonkeyPatch, slow: str) -> CheckedStudy:
    """Prepare a study whose slow arms do something else first."""
    name = f"rehearsed_{folder.name}"
    (folder / f"{name}.py").write_text(STUDY.format(slow=slow, name=name))
    patch.syspath_prepend(str(folder))
    plan = toy_plan()
    space = plan.space.model_copy(update={"trial": f"{name}:run_trial"})
    return CheckedStudy(plan.model_copy(update={"space": space}), "quick", "as asked for", None)


@pytest.mark.parametrize(
    ("slow", "most_s", "reported", "shown"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", 600, "its process was killed by SIGSEGV; mend", "Segmentation fault"),
        ("os._exit(7)", 600, "its process ended with exit code 7; mend", "written by number"),
        ("threading.Event().wait()", 1, "no epoch within 1 s, see the traceback; mend", "in run_trial"),
        ("raise KeyError('slow')", 600, "it raised KeyError: 'slow'; mend", "raise KeyError"),
    ],
    ids=["crash", "exit", "hang", "exception"],
)
def test_what_ends_a_rehearsal_is_a_fault_that_names_the_arm(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    slow: str,
    most_s: float,
    reported: str,
    shown: str,
) -> None:
    with pytest.raises(FaultsError) as caught:
        probe_apart(checked(tmp_path, monkeypatch, slow), ALONE, most_s)
    (fault,) = caught.value.faults
    assert fault.startswith("the first epoch of baseline") and reported in fault, fault
    said = capfd.readouterr()
    assert said.out == "" and shown in said.err and "written by another program" in said.err


def test_a_rehearsal_that_works_is_measured_and_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    measured = probe_apart(checked(tmp_path, monkeypatch, "pass"), ALONE, 600)
    assert (measured.epoch_s, measured.arms_tried) == (0.01, len(toy_plan().arms))
    assert capfd.readouterr() == ("", "")


def test_a_plan_for_programs_is_json_from_the_first_byte(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    study = tmp_path / "talkative.py"
    study.write_text(STUDY.format(slow="pass", name="talkative"))
    found = CliRunner().invoke(APP, ["--space", str(study), "--budget", "quick", "--plan", "--json"])
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)["arms_begun"] == len(toy_plan().arms)
    assert capfd.readouterr().out == ""


def sweep(folder: Path, patch: pytest.MonkeyPatch, last: str) -> Result:
    """Begin a sweep, which is interrupted at once, of a study whose confirm trials do something in their last epoch."""

    def interrupt(*rest: object, **more: object) -> None:
        raise KeyboardInterrupt

    patch.setattr(driver, "sweep", interrupt)
    study = folder / f"confirms_{folder.name}.py"
    study.write_text(
        "import dataclasses, os\n"
        "from tests.toy_study import SPACE as TOY, ToyConfig, run_trial as follow\n"
        "def run_trial(config: ToyConfig, context):\n"
        "    for record in follow(config, context):\n"
        "        if context.phase == 'confirm' and record.epoch == context.epochs:\n"
        f"            {last}\n"
        "        yield record\n"
        f"SPACE = TOY.model_copy(update={{'trial': '{study.stem}:run_trial'}})\n"
    )
    asked = ["--space", str(study), "--budget", "quick", "--out", str(folder / "runs"), "--name", "run"]
    return CliRunner().invoke(APP, asked)


def test_a_sweep_whose_confirm_trials_would_break_the_contract_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = sweep(tmp_path, monkeypatch, "record = dataclasses.replace(record, metrics={'val_score': 0.5})")
    assert found.exit_code == 2
    assert "a confirm trial of reference: the record of epoch 2 lacks test_score" in found.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("last", "reported"), [("raise KeyError('labels')", "it raised KeyError: 'labels'"), ("os._exit(7)", "exit code 7")]
)
def test_what_a_confirm_trial_raises_is_a_note_and_the_sweep_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str, reported: str
) -> None:
    found = sweep(tmp_path, monkeypatch, last)
    assert found.exit_code == 130
    assert "note: tried before the sweep: a confirm trial of reference" in found.stderr and reported in found.stderr
    assert (tmp_path / "runs" / "run" / "study.json").is_file()


def test_epochs_too_long_to_be_tried_hold_a_sweep_up_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablation.execution.CONFIRM_TRIED_MOST_S", 0.01)
    found = sweep(tmp_path, monkeypatch, "pass")
    assert found.exit_code == 130
    assert "two epochs take longer than 0.01 s, so no confirm trial was tried" in found.stderr
