"""A plan rehearses its study: what a sweep would refuse is reported before anything starts, with what to change."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablation.engine.slots import Slots
from ablation.faults import FaultsError
from ablation.planning import rehearsal
from ablation.planning.probe import probe
from ablation.planning.rehearsal import by_novelty, faults_in_words, rehearse
from ablation.planning.request import CheckedStudy
from ablation.trial import EpochRecord, TrialContext
from search_spaces import tcl
from search_spaces.metrics import Metric
from tests import toy_study
from tests.toy_study import ToyConfig, toy_plan

ALONE = Slots(count=1, cpus=1.0, gpus=0.0)
RUN_TRIAL = toy_study.run_trial
ALL = "the first epoch of all 5 arms, at the defaults"
BOTH = f"a confirm trial of reference and {ALL}"
UNVALIDATED = f"a trial of reference up to its first validation and {ALL}"
Change = Callable[[EpochRecord, TrialContext], Any]


def faults_of(monkeypatch: pytest.MonkeyPatch, run_trial: object) -> tuple[str, ...]:
    monkeypatch.setattr(toy_study, "run_trial", run_trial)
    with pytest.raises(FaultsError) as caught:
        probe(CheckedStudy(toy_plan(), "quick", "as asked for", None), ALONE)
    return caught.value.faults


def changed(change: Change) -> Callable[[ToyConfig, TrialContext], Iterator[Any]]:
    """Return the toy trial with every record changed."""

    def run_trial(config: ToyConfig, context: TrialContext) -> Iterator[Any]:
        for record in RUN_TRIAL(config, context):
            yield change(record, context)

    return run_trial


def renamed(record: EpochRecord, **names: str) -> EpochRecord:
    return replace(record, metrics={names.get(name, name): value for name, value in record.metrics.items()})


@pytest.mark.parametrize(
    ("change", "where", "reported"),
    [
        (lambda record, _: renamed(record, val_score="score"), UNVALIDATED, "must have that name, but it has 'score'"),
        (lambda record, _: renamed(record, test_score="score"), "a confirm trial", "in the last epoch of a confirm"),
        (lambda record, _: dict(record.metrics), "a confirm trial", "yielded {'val_score'"),
        (lambda record, _: [record], "a confirm trial", "yielded [EpochRecord"),
        (lambda record, _: None, BOTH, "but yielded None"),
        (lambda record, _: replace(record, metrics=[0.5]), "a confirm trial", "with a mapping of metrics"),
        (
            lambda record, _: replace(record, metrics={**record.metrics, "val_score": torch.tensor(0.5)}),
            BOTH,
            "val_score is tensor(0.5000); give float(…) of it, such as val_score.item()",
        ),
        (lambda record, _: replace(record, epoch=record.epoch - 1), BOTH, "epoch 0 was reported after epoch 0; epochs"),
        (
            lambda record, _: replace(record, epoch=2 * record.epoch - 1),
            "a confirm trial",
            "epoch 3 was reported after",
        ),
        (
            lambda record, _: replace(renamed(record, test_score="x"), epoch=1),
            "a confirm trial",
            "epoch 1 was reported twice",
        ),
        (lambda record, _: renamed(record, note="test_note"), "", "test_note in epoch 1: test data are scored at"),
        (lambda record, _: "x" * 1_000_000, BOTH, "(1000002 letters)"),
    ],
)
def test_records_that_break_the_contract_are_told_with_what_to_change(
    monkeypatch: pytest.MonkeyPatch, change: Change, where: str, reported: str
) -> None:
    faults = faults_of(monkeypatch, changed(change))
    assert any(where in fault and reported in fault for fault in faults), faults
    for fault in faults:
        assert fault.endswith("; mend tests.toy_study:run_trial (docs/own_model.md has the contract)")
        assert len(fault) < 1000


def test_a_metric_beside_the_primary_one_is_asked_for_too() -> None:
    plan = toy_plan()
    plan = plan.model_copy(
        update={"space": plan.space.model_copy(update={"metrics": (Metric(name="score"), Metric(name="recall"))})}
    )
    with pytest.raises(FaultsError) as caught:
        probe(CheckedStudy(plan, "quick", "as asked for", None), ALONE)
    (fault,) = caught.value.faults
    assert f"{UNVALIDATED}: the record of epoch 1 lacks val_recall" in fault


def test_a_trial_that_is_no_generator_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_trial(config: ToyConfig, context: TrialContext) -> list[EpochRecord]:
        return list(RUN_TRIAL(config, context))

    (fault,) = faults_of(monkeypatch, run_trial)
    assert fault.startswith(f"{BOTH}: run_trial must be a generator that yields EpochRecords, but returned a list")


def test_a_trial_that_ends_early_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_trial(config: ToyConfig, context: TrialContext) -> Iterator[EpochRecord]:
        yield next(RUN_TRIAL(config, context))

    (fault,) = faults_of(monkeypatch, run_trial)
    assert "a confirm trial of reference: run_trial ended after 1 of 2 epochs (context.epochs)" in fault


def test_arms_that_fail_are_told_all_at_once_and_a_fault_of_many_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_trial(config: ToyConfig, context: TrialContext) -> Iterator[EpochRecord]:
        print("hello from the trial")
        if config.toy.speed == 5:
            raise KeyError("slow")
        if config.toy.bonus:
            raise SystemExit("no bonus")
        yield from RUN_TRIAL(config, context)

    slow, bonus = faults_of(monkeypatch, run_trial)
    assert slow.startswith("the first epoch of baseline, speed=5.0, at the defaults: it raised KeyError: 'slow'; mend")
    assert bonus.startswith(
        "the first epoch of bonus=0.05, bonus=-0.05, at the defaults: it raised SystemExit: no bonus"
    )
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("Traceback") == 2 and said.err.count("hello from the trial") == 2


def test_a_confirm_trial_that_fails_where_a_search_trial_does_not_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_trial(config: ToyConfig, context: TrialContext) -> Iterator[EpochRecord]:
        for record in RUN_TRIAL(config, context):
            if context.phase == "confirm" and record.epoch == context.epochs:
                raise ValueError("no test data")
            yield record

    (fault,) = faults_of(monkeypatch, run_trial)
    assert fault.startswith("a confirm trial of reference: it raised ValueError: no test data")


def test_a_trial_that_does_not_stop_when_closed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_trial(config: ToyConfig, context: TrialContext) -> Iterator[EpochRecord]:
        for record in RUN_TRIAL(config, context):
            try:
                yield record
            except GeneratorExit:
                yield record

    assert any(
        ALL in fault and "generator ignored GeneratorExit" in fault for fault in faults_of(monkeypatch, run_trial)
    )


def test_numbers_of_other_libraries_and_metrics_that_mean_nothing_pass(tmp_path: Path) -> None:
    found = rehearse(toy_plan(), tmp_path)
    assert faults_in_words(found, toy_plan()) == [] and np.isnan(found.epochs[0].metrics["note"])


def test_a_study_of_slow_epochs_is_rehearsed_as_far_as_time_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "FIRST_EPOCHS_MOST_S", 0.0)
    assert rehearse(toy_plan(), tmp_path).arms == ["baseline"]


def test_arms_with_the_most_new_levels_come_first() -> None:
    arms = list(by_novelty(tcl.SPACE.arms("factorial")))
    assert sorted(arm.name for arm in arms) == sorted(arm.name for arm in tcl.SPACE.arms("factorial"))
    levels = {(factor, level) for factor, choice in tcl.SPACE.factors.items() for level in choice.values}
    assert arms[-1].name == "reference"
    assert set(arms[-1].levels.items()).union(*(arm.levels.items() for arm in arms[:5])) == levels


def test_what_one_arms_trial_changes_in_the_process_the_next_arms_does_not_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[Path, torch.dtype]] = []

    def run_trial(config: ToyConfig, context: TrialContext) -> Iterator[EpochRecord]:
        found.append((Path.cwd(), torch.get_default_dtype()))
        os.chdir(tmp_path)
        torch.set_default_dtype(torch.float64)
        yield from RUN_TRIAL(config, context)

    monkeypatch.setattr(toy_study, "run_trial", run_trial)
    here = (Path.cwd(), torch.get_default_dtype())
    rehearse(toy_plan(), tmp_path)
    assert len(found) == 6 and set(found) == {here} == {(Path.cwd(), torch.get_default_dtype())}
