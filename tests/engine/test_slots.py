"""Slots stay full: in which order a study hands out its trials, and how that is measured."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ablation.engine import slots as engine_slots
from ablation.ledger.log import Ledger
from ablation.study.study import CONFIRM_KEPT_PER_SLOT, Study
from ablation.trial import EpochRecord
from benchmarks import slots
from tests.toy_study import toy_plan


@pytest.mark.parametrize("shape", slots.SHAPES.values(), ids=slots.SHAPES)
def test_the_tail_of_a_study_is_short(shape: tuple[int, int, int, int]) -> None:
    assert 1.0 <= slots.simulated(*shape) <= slots.MOST_SIMULATED


def test_confirm_trials_come_first_while_many_are_left_and_last_when_few_are(tmp_path: Path) -> None:
    plan = toy_plan()
    phases: dict[int, list[str]] = {}
    for count in (1, 1000):
        with Ledger(tmp_path / str(count)) as ledger:
            study = Study(plan, ledger)
            study.open_session(process=0, resources={})
            phases[count] = []
            while (assignment := study.next_assignment(count)) is not None:
                trial = assignment.trial
                phases[count].append(trial.phase)
                study.started(trial.trial_id)
                for epoch in range(1, trial.epochs + 1):
                    last = {"test_score": 0.5} if trial.phase == "confirm" and epoch == trial.epochs else {}
                    if not study.report(trial.trial_id, EpochRecord(epoch, 0.1, {"val_score": 0.5, **last}), 1.0, None):
                        break
            assert study.is_finished
    confirm = phases[1].count("confirm")
    # With one slot, each replicate is confirmed as soon as it can be until but one confirm trial is left.
    early = phases[1][: plan.budget.trials * (confirm - 1) + confirm]
    assert early.count("confirm") >= confirm - 1 - CONFIRM_KEPT_PER_SLOT
    # With more slots than trials, none waits for another: the search goes first.
    assert phases[1000] == ["search"] * phases[1000].count("search") + ["confirm"] * confirm


@pytest.mark.parametrize(("is_there", "found"), [(True, 3), (False, 0)])
def test_torch_is_asked_for_gpus_only_where_there_may_be_one(
    is_there: bool, found: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "device"
    if is_there:
        device.touch()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(engine_slots, "GPU_DEVICES", (tmp_path / "other", device))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(device_count=lambda: 3)))
    assert engine_slots.visible_gpus(None) == found


def test_the_busy_share_counts_from_the_first_full_moment_to_the_last_start() -> None:
    assert slots.busy_share([(0, 4), (1, 3), (3, 5), (5, 6)], slots=2) == pytest.approx((2 * 3 + 1) / 8)
    assert slots.busy_share([(0, 1), (2, 3)], slots=2) == 0.0


def test_workers_wait_for_the_confirm_trials_of_their_replicate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # When the last search trials have ended, six confirm trials become ready: no worker was ended before.
    monkeypatch.setenv("PYTHONPATH", str(slots.ROOT))
    study = tmp_path / "waves.py"
    study.write_text(
        "from benchmarks.slots import sleeping_space\n"
        "from search_spaces.space import Budget\n"
        "budget = Budget(replicates=2, trials=2, seeds=3, epochs=4, grace_epochs=4, reduction_factor=2)\n"
        "SPACE = sleeping_space(1, budget)\n"
    )
    command = ["ablation.run", "--space", str(study), "--no-report", "--out", str(tmp_path), "--cpus-per-trial", "0.1"]
    _, workers = slots.timed([*command, "--max-concurrent", "4"])
    assert workers == 4
