"""A study may be validated every few epochs, if where early stopping decides and at the end, which the plan checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from ablation.engine.slots import Slots
from ablation.faults import FaultsError
from ablation.plan import Plan
from ablation.planning.probe import Probe, probe
from ablation.planning.request import CheckedStudy
from ablation.trial import EpochRecord, TrialContext
from analysis.audit.checks import audit
from analysis.report import build
from search_spaces.space import Budget
from tests import toy_study
from tests.support.plain_loop import run_study
from tests.toy_study import ToyConfig, toy_plan

RUN_TRIAL = toy_study.run_trial
Validates = Callable[[int, TrialContext], bool]


def plan_of(epochs: int, grace_epochs: int, trials: int = 4) -> Plan:
    budget = Budget(replicates=2, trials=trials, epochs=epochs, grace_epochs=grace_epochs, reduction_factor=2)
    return toy_plan().model_copy(update={"budget": budget})


def validated(monkeypatch: pytest.MonkeyPatch, validates: Validates, trained: list[int] | None = None) -> None:
    """Let the toy trial leave validation out where ``validates`` says no; such an epoch takes a tenth of the time."""

    def run_trial(config: ToyConfig, context: TrialContext) -> Iterator[EpochRecord]:
        for record in RUN_TRIAL(config, context):
            if trained is not None:
                trained.append(record.epoch)
            kept = {name: value for name, value in record.metrics.items() if name != "val_score"}
            yield record if validates(record.epoch, context) else replace(record, metrics=kept, epoch_s=0.001)

    monkeypatch.setattr(toy_study, "run_trial", run_trial)


def probed(plan: Plan) -> Probe:
    return probe(CheckedStudy(plan, "quick", "as asked for", None), Slots(count=1, cpus=1.0, gpus=0.0))


@pytest.mark.parametrize(
    ("epochs", "grace_epochs", "validates"),
    [
        (12, 3, lambda epoch, _: epoch % 3 == 0),
        (12, 6, lambda epoch, _: epoch % 3 == 0),
        (11, 3, lambda epoch, context: epoch % 3 == 0 or epoch == context.epochs),
        (9, 2, lambda epoch, context: epoch in (*context.checkpoint_epochs, context.epochs)),
        (4, 4, lambda epoch, context: epoch == context.epochs),
        (2, 2, lambda epoch, context: epoch == 2),
    ],
)
def test_validation_where_it_is_needed_is_enough(
    monkeypatch: pytest.MonkeyPatch, epochs: int, grace_epochs: int, validates: Validates
) -> None:
    validated(monkeypatch, validates)
    probed(plan_of(epochs, grace_epochs))


@pytest.mark.parametrize(
    ("epochs", "grace_epochs", "reported"),
    [
        (12, 1, "the record of epoch 1 lacks val_score"),
        (12, 2, "the record of epoch 2 lacks val_score"),
        (12, 4, "early stopping decides after epochs 4, 8 (context.checkpoint_epochs): validate there, too, or choose"),
        (11, 3, "the last, epoch 11, has none; validate after epoch context.epochs, too, or give --epochs 9 or 12"),
    ],
)
def test_a_budget_that_validation_misses_is_reported_with_what_to_change(
    monkeypatch: pytest.MonkeyPatch, epochs: int, grace_epochs: int, reported: str
) -> None:
    validated(monkeypatch, lambda epoch, _: epoch % 3 == 0)
    with pytest.raises(FaultsError) as caught:
        probed(plan_of(epochs, grace_epochs))
    assert any(reported in fault for fault in caught.value.faults), caught.value.faults


def test_a_study_without_search_needs_its_last_epoch_only(monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[int] = []
    validated(monkeypatch, lambda epoch, _: epoch % 5 == 0, trained)
    probed(plan_of(10, 1, trials=0))
    assert max(trained) == 5  # and no longer than that takes to see


def test_an_epoch_costs_its_share_of_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    validated(monkeypatch, lambda epoch, _: epoch % 3 == 0)
    assert probed(plan_of(12, 3)).epoch_s == pytest.approx((2 * 0.001 + 0.01) / 3)


def test_a_sparsely_validated_study_ends_whole_and_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    validated(monkeypatch, lambda epoch, _: epoch % 3 == 0)
    paths = run_study(plan_of(12, 3), tmp_path / "sparse")
    trials, epochs = pd.read_parquet(paths.trials), pd.read_parquet(paths.epochs)
    assert set(trials["status"]) == {"completed", "stopped"}
    assert set(epochs.loc[epochs["metric.val_score"].notna(), "epoch"]) == {3, 6, 9, 12}
    assert audit(paths.root) == []
    assert "could not be made" not in build.build(paths.root).read_text()
