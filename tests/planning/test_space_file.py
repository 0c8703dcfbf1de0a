"""A space in YAML or TOML is the space in Python, and so are its faults."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ablation.faults import FaultsError
from ablation.planning.request import Request, check_request
from ablation.spaces import find_space
from ablation.trial import import_object
from ablation.user_code import UserCode
from search_spaces import sorting
from search_spaces.space import Budget, Choice, Comparison, Float, Int, Metric, Space, When

ROOT = Path(__file__).parents[2]
TWIN = Space(
    name="squares",
    description="squared features, or not",
    trial="code:train",
    factors={"model.squares": Choice(values=(True, False)), "model.kind": Choice(values=("no", "yes"), source="ours")},
    nuisance={
        "optim.lr": Float(low=1e-4, high=1.0, default=0.1, log=True),
        "depth": Int(low=1, high=4, default=2),
        "decay": Choice(values=(0.0, 1e-5)),
    },
    fixed={"batch": 64, "clip": 1e-3, "note": "010 and 1:30 and 2026-01-01"},
    reference={"model.squares": True, "model.kind": "no"},
    baseline={"model.squares": False, "model.kind": "yes"},
    conditions=(
        When(factor="model.squares", among=(False,), drops=("depth",), replaces={"model.kind": (("no", "yes"),)},
             reason="a line has no depth"),
    ),
    comparisons=(Comparison(against="reference"), Comparison(against="baseline", factor="model.kind", levels=("yes",))),
    metrics=("accuracy", Metric(name="loss", direction="minimize", unit="number")),
    budgets={"quick": Budget(replicates=3, trials=6, epochs=9, grace_epochs=1, reduction_factor=3, fixed={"seen": 10})},
)  # fmt: skip
YAML = """
# A comment.
name: squares
description: squared features, or not
trial: code.py:train
factors:
  model.squares: {values: [true, false]}
  model.kind: {values: [no, yes], source: ours}   # words: this is YAML 1.2
nuisance:
  optim.lr: {kind: float, low: 1e-4, high: 1, default: 0.1, log: true}
  depth: {kind: int, low: 1, high: 4, default: 2}
  decay: {kind: choice, values: [0.0, 1e-5]}
fixed: {batch: 64, clip: 1e-3, note: "010 and 1:30 and 2026-01-01"}
reference: {model.squares: true, model.kind: no}
baseline: {model.squares: false, model.kind: yes}
conditions:
  - factor: model.squares
    among: [false]
    drops: [depth]
    replaces: {model.kind: [[no, yes]]}
    reason: a line has no depth
comparisons: [{against: reference}, {against: baseline, factor: model.kind, levels: [yes]}]
metrics: [accuracy, {name: loss, direction: minimize, unit: number}]
budgets:
  quick: {replicates: 3, trials: 6, epochs: 9, grace_epochs: 1, reduction_factor: 3, fixed: {seen: 10}}
"""
TOML = """
name = "squares"
description = "squared features, or not"
trial = "code.py:train"
metrics = ["accuracy", {name = "loss", direction = "minimize", unit = "number"}]
fixed = {batch = 64, clip = 1e-3, note = "010 and 1:30 and 2026-01-01"}
reference = {"model.squares" = true, "model.kind" = "no"}
baseline = {"model.squares" = false, "model.kind" = "yes"}
comparisons = [{against = "reference"}, {against = "baseline", factor = "model.kind", levels = ["yes"]}]

[factors]
"model.squares" = {values = [true, false]}
"model.kind" = {values = ["no", "yes"], source = "ours"}

[nuisance]
"optim.lr" = {kind = "float", low = 1e-4, high = 1, default = 0.1, log = true}
depth = {kind = "int", low = 1, high = 4, default = 2}
decay = {kind = "choice", values = [0.0, 1e-5]}

[[conditions]]
factor = "model.squares"
among = [false]
drops = ["depth"]
replaces = {"model.kind" = [["no", "yes"]]}
reason = "a line has no depth"

[budgets.quick]
replicates = 3
trials = 6
epochs = 9
grace_epochs = 1
reduction_factor = 3
fixed = {seen = 10}
"""
CODE = """
import neighbour
def train(config, context):
    return neighbour.NAME
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a folder with a study's code in it, which is not where we are."""
    (tmp_path / "code.py").write_text(CODE)
    (tmp_path / "neighbour.py").write_text('NAME = "the neighbour"\n')
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("ablation.user_code._study_modules", {})
    kept = {name: sys.modules.pop(name, None) for name in ("code", "neighbour", "deeper")}
    yield tmp_path
    for name, module in kept.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module


def written(folder: Path, text: str, name: str = "study.yaml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def faults_of(given: str) -> tuple[str, ...]:
    with pytest.raises(FaultsError) as caught:
        find_space(given)
    return tuple(fault.replace(given, "FILE") for fault in caught.value.faults)


@pytest.mark.parametrize(("name", "text"), [("study.yaml", YAML), ("study.yml", YAML), ("study.toml", TOML)])
def test_a_file_is_its_twin_in_python(folder: Path, name: str, text: str) -> None:
    found = find_space(written(folder, text, name))
    assert found == TWIN
    assert repr(found) == repr(TWIN)  # 1 and True and 1.0 are equal, and mean different things
    assert import_object(found.trial)(None, None) == "the neighbour"
    assert UserCode.here().study_file == str(folder / "code.py")


def test_every_shipped_field_survives_the_way_through_yaml(folder: Path) -> None:
    text = yaml.safe_dump(sorting.SPACE.model_dump(mode="json"))
    assert find_space(written(folder, text)) == sorting.SPACE


@pytest.mark.parametrize("trial", ["neighbour_of_it:train", "deeper/trial.py:train"])
def test_code_is_looked_for_beside_the_file(folder: Path, trial: str) -> None:
    for code in ("neighbour_of_it.py", "deeper/trial.py"):
        (folder / code).parent.mkdir(exist_ok=True)
        (folder / code).write_text(CODE)
    given = written(folder, YAML.replace("code.py:train", trial))
    command = "import sys; from ablation.spaces import find_space; from ablation.trial import import_object\n"
    command += "space = find_space(sys.argv[1]); print(space.trial, import_object(space.trial)(None, None))"
    ran = subprocess.run(
        [sys.executable, "-P", "-c", command, given], cwd=ROOT, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ran.stdout.split(maxsplit=1) == [trial.replace("deeper/trial.py", "trial"), "the neighbour\n"], ran.stderr


def test_a_study_is_planned_from_a_file(folder: Path) -> None:
    plan = check_request(Request(written(folder, TOML, "study.toml"), budget="quick"), gpus=0).plan
    assert [arm.name for arm in plan.arms] == [arm.name for arm in TWIN.arms()]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("name:", "nam:", "nam is no key; did you mean 'name'? known: "),
        ("source: ours", "sauce: ours", "factors.model.kind.sauce is no key; did you mean 'source'? known: default, "),
        ("default: 0.1", "defalt: 0.1", "nuisance.optim.lr.defalt is no key; did you mean 'default'?"),
        ("default: 0.1", "defalt: 0.1", "nuisance.optim.lr.default is missing; give it"),
        ("kind: int, ", "", "nuisance.depth.kind is missing; give float, int or choice"),
        ("kind: int", "kind: integer", "nuisance.depth.kind is 'integer'; did you mean 'int'? known: choice, float, "),
        ("low: 1e-4", "low: tiny", "nuisance.optim.lr.low is 'tiny', but must be a valid number"),
        ("replicates: 3", "replicates: 0", "budgets.quick.replicates is 0, but must be greater than or equal to 1"),
        ("replicates", "replicats", "budgets.quick.replicats is no key; did you mean 'replicates'?"),
        ("[true, false]", "[[1], 2]", "factors.model.squares.values.0 is [1], but must be a number, a text, true or "),
        ("default: 0.1", "default: 7", "nuisance.optim.lr: default 7.0 lies outside 0.0001..1.0; widen the range"),
        ("model.kind: no}", "model.kind: maybe}", "reference sets model.kind to 'maybe'; choose from ['no', 'yes']"),
        ("{values: [true, false]}", "[true, false]", "factors.model.squares is [True, False], but must be a mapping"),
    ],
)
def test_a_fault_is_told_with_its_place_and_what_to_give(folder: Path, before: str, after: str, told: str) -> None:
    faults = faults_of(written(folder, YAML.replace(before, after, 1)))
    assert any(fault.startswith(f"space 'FILE': {told}") for fault in faults), faults
    assert not any("pydantic" in fault or "Extra inputs" in fault for fault in faults)


def test_a_fault_is_the_same_in_python(folder: Path) -> None:
    given = {**json.loads(TWIN.model_dump_json()), "nam": "x", "budgets": {}}
    del given["metrics"]
    in_yaml = faults_of(written(folder, yaml.safe_dump(given)))
    (folder / "wrong.py").write_text(f"from ablation import Space\nSPACE = Space.model_validate({given})\n")
    assert faults_of(str(folder / "wrong.py")) == in_yaml
    assert len(in_yaml) == 2


def test_a_dotted_name_without_quotation_marks_is_told(folder: Path) -> None:
    faults = faults_of(written(folder, TOML.replace('"model.squares" = {v', "model.squares = {v"), "study.toml"))
    assert any("factors.model.squares is no key; quote a name that has dots; " in fault for fault in faults), faults


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("study.yaml", "name: [", "cannot be read: while parsing"),
        ("study.toml", "name = ", "cannot be read: Invalid value (at "),
        ("study.yaml", YAML + "name: twice\n", "'name' is there twice"),
        ("study.yaml", YAML.replace("code.py", "gone.py"), "gone.py does not exist; name a file relative to FILE"),
        ("study.yaml", "!!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("study.yaml", "- a list", "it is ['a list'], but must be a mapping; Space has its keys"),
        ("study.yaml", "", "it is None, but must be a mapping"),
    ],
)
def test_what_cannot_be_read_is_told(folder: Path, name: str, text: str, told: str) -> None:
    (fault,) = faults_of(written(folder, text, name))
    assert told in fault


def test_a_missing_file_is_told() -> None:
    assert "No such file" in faults_of("missing.yaml")[0]
