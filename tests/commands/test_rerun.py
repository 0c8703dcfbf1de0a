"""A trial run again: the same metrics bit for bit, or reported where not; the run directory stays as it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ablation.agreement import Agreement, Difference, in_words
from ablation.faults import FaultsError
from ablation.ledger.log import Ledger, read_events
from ablation.ledger.records import Records, fold
from ablation.paths import RunPaths
from ablation.rerun import rerun, show
from ablation.trial import EpochRecord, TrialContext
from tests import toy_study
from tests.support.ledgers import append
from tests.support.plain_loop import run_study
from tests.toy_study import ToyConfig, toy_plan

ROOT = Path(__file__).parents[2]
APP = typer.Typer()
APP.command()(show)

Change = Callable[[EpochRecord], EpochRecord]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunPaths[Path]:
    return run_study(toy_plan(), tmp_path_factory.mktemp("runs") / "toy")


def records_of(paths: RunPaths[Path]) -> Records:
    return fold(read_events(paths.ledger))


def some(paths: RunPaths[Path], outcome: str, phase: str) -> str:
    """Return the first trial of the phase that ended so."""
    return next(key for key, state in records_of(paths).items() if state.outcome == outcome and f"/{phase}/" in key)


def changed(monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    """Let the model under study compute otherwise from now on."""
    original = toy_study.run_trial

    def run_trial(config: ToyConfig, context: TrialContext) -> Iterator[EpochRecord]:
        yield from map(change, original(config, context))

    monkeypatch.setattr(toy_study, "run_trial", run_trial)


@pytest.mark.parametrize(
    ("outcome", "phase"), [("completed", "search"), ("completed", "confirm"), ("stopped", "search")]
)
def test_every_recorded_epoch_comes_out_the_same_bit_for_bit(
    finished: RunPaths[Path], outcome: str, phase: str
) -> None:
    trial_id = some(finished, outcome, phase)
    state = records_of(finished)[trial_id]
    reported: list[tuple[int, float]] = []
    agreement = rerun(
        finished.root,
        trial_id,
        say=lambda row, record: reported.append((row.epoch, record.metrics["val_score"])),
        trust=True,
    )
    assert agreement == Agreement(trial_id, len(state.epochs), len(state.epochs), ())
    assert agreement.is_exact
    assert reported == [(row.epoch, row.metrics["val_score"]) for row in state.epochs]


def test_the_run_directory_stays_as_it_is_and_its_driver_goes_on(finished: RunPaths[Path]) -> None:
    before = {path: path.read_bytes() for path in finished.root.rglob("*") if path.is_file()}
    rerun(finished.root, some(finished, "completed", "confirm"), trust=True)
    assert {path: path.read_bytes() for path in finished.root.rglob("*") if path.is_file()} == before


def test_a_trial_of_a_sweep_under_way_is_run_as_far_as_it_is_recorded(tmp_path: Path) -> None:
    paths = run_study(toy_plan(), tmp_path / "toy", most_epochs=9)
    open_trial = next(key for key, state in records_of(paths).items() if state.outcome is None and state.epochs)
    with Ledger(paths.ledger) as ledger:
        agreement = rerun(paths.root, open_trial, trust=True)
        append(ledger, "started", open_trial, attempt=2)
        ledger.flush()
    assert agreement.is_exact
    assert agreement.epochs == len(records_of(paths)[open_trial].epochs) > 0


def test_a_difference_is_found_where_it_was_made(finished: RunPaths[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    trial_id = some(finished, "completed", "search")

    def change(record: EpochRecord) -> EpochRecord:
        metrics = dict(record.metrics)
        if record.epoch == 3:
            metrics["train_loss"] *= 1 + 1e-3
        if record.epoch == 4:
            metrics["val_score"] *= 1 + 1e-8
            metrics["extra"] = 1.0
            del metrics["note"]
        return replace(record, metrics=metrics, epoch_s=99.0)

    changed(monkeypatch, change)
    agreement = rerun(finished.root, trial_id, trust=True)
    assert [(difference.epoch, difference.metric) for difference in agreement.differing] == [
        (3, "train_loss"),
        (4, "val_score"),
        (4, "note"),
        (4, "extra"),
    ]
    recorded = records_of(finished)[trial_id].epochs[2].metrics["train_loss"]
    assert agreement.differing[0] == Difference(3, "train_loss", recorded, recorded * (1 + 1e-3))
    assert not agreement.is_exact and not agreement.is_rounding
    assert rerun(finished.root, trial_id, epochs=2, trust=True).is_exact
    assert agreement.differing[-1].relative == float("inf")


def test_rounding_is_told_from_a_change(finished: RunPaths[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    trial_id = some(finished, "completed", "search")
    changed(
        monkeypatch,
        lambda record: replace(
            record, metrics={**record.metrics, "val_score": record.metrics["val_score"] * (1 + record.epoch * 1e-9)}
        ),
    )
    agreement = rerun(finished.root, trial_id, trust=True)
    assert agreement.is_rounding and not agreement.is_exact
    assert agreement.worst is not None
    assert (agreement.worst.metric, agreement.worst.epoch) == ("val_score", 9)
    assert agreement.worst.relative == pytest.approx(9e-9, rel=1e-3)
    assert "within float rounding" in in_words(agreement)[-1]
    shown = CliRunner().invoke(APP, ["--trust", str(finished.root), trial_id])
    assert shown.exit_code == 1
    assert "≠" in shown.stdout and "val_score of epoch 9" in shown.stdout


@pytest.mark.parametrize(
    ("misbehave", "reason"),
    [
        ("raise", "ToyError: asked to"),
        ("missing", "the record of epoch 1 lacks val_score"),
        ("none", "a record holds numbers, but val_score is None"),
    ],
)
def test_a_failure_for_the_same_reason_agrees(tmp_path: Path, misbehave: str, reason: str) -> None:
    paths = run_study(toy_plan(misbehave=misbehave), tmp_path / "toy")
    trial_id = some(paths, "failed", "search")
    agreement = rerun(paths.root, trial_id, trust=True)
    assert agreement.is_exact and (agreement.failure_again or "").startswith(reason)
    assert agreement.epochs == len(records_of(paths)[trial_id].epochs)
    shown = CliRunner().invoke(APP, ["--trust", str(paths.root), trial_id])
    assert shown.exit_code == 0, shown.output
    assert f"fails again, for the same reason: {reason}" in shown.stdout
    assert ("Traceback" in shown.stderr) == (misbehave == "raise")


def test_a_failure_that_does_not_come_again_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = run_study(toy_plan(misbehave="missing"), tmp_path / "toy")
    trial_id = some(paths, "failed", "search")
    changed(monkeypatch, lambda record: replace(record, metrics={**record.metrics, "val_score": 0.5}))
    agreement = rerun(paths.root, trial_id, trust=True)
    assert not agreement.is_exact and agreement.failure_again is None
    assert "now it is 'none'" in in_words(agreement)[0]


def test_a_new_failure_differs_and_shows_its_traceback(
    finished: RunPaths[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    trial_id = some(finished, "completed", "search")

    def change(record: EpochRecord) -> EpochRecord:
        if record.epoch == 4:
            raise toy_study.ToyError("only now")
        return record

    changed(monkeypatch, change)
    shown = CliRunner().invoke(APP, ["--trust", str(finished.root), trial_id])
    assert shown.exit_code == 1
    assert "Traceback" in shown.stderr and "it fails now, and did not before: ToyError: only now" in shown.stdout
    assert not rerun(finished.root, trial_id, trust=True).is_exact
    assert rerun(finished.root, trial_id, trust=True).epochs == 3
    assert rerun(finished.root, trial_id, epochs=3, trust=True).is_exact


def test_a_diverged_trial_diverges_again(tmp_path: Path) -> None:
    paths = run_study(toy_plan(misbehave="nan"), tmp_path / "toy")
    assert rerun(paths.root, some(paths, "diverged", "search"), trust=True).is_exact


def test_the_trial_gets_what_its_session_gave_it_unless_told_otherwise(
    finished: RunPaths[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[TrialContext] = []
    original = toy_study.run_trial

    def run_trial(config: ToyConfig, context: TrialContext) -> Iterator[EpochRecord]:
        seen.append(context)
        yield from original(config, context)

    monkeypatch.setattr(toy_study, "run_trial", run_trial)
    trial_id = some(finished, "completed", "confirm")
    with Ledger(finished.ledger) as ledger:
        given = {"cpus_per_trial": 3.0, "gpus_per_trial": 0}
        append(ledger, "session_opened", process=1, resources=given, searcher={})
        append(ledger, "started", trial_id, attempt=2)
        append(ledger, "session_opened", process=2, resources={"cpus_per_trial": 7.0}, searcher={})
    rerun(finished.root, trial_id, trust=True)
    rerun(finished.root, trial_id, device="cuda:1", threads=2, trust=True)
    assert [(context.device, context.cpu_threads) for context in seen] == [("cpu", 3), ("cuda:1", 2)]
    planned = next(trial for trial in toy_plan().trials() if trial.trial_id == trial_id)
    assert (seen[0].seed, seen[0].replicate_seed, seen[0].epochs) == (
        planned.seed,
        planned.replicate_seed,
        planned.epochs,
    )
    for context in seen:
        for folder in (context.checkpoint_dir, context.artifact_dir):
            assert folder is not None and not folder.is_relative_to(finished.root) and not folder.exists()


def test_bad_input_is_told_with_exit_code_2(tmp_path: Path) -> None:
    paths = run_study(toy_plan(), tmp_path / "toy", most_epochs=1)

    def reported(*arguments: str) -> str:
        shown = CliRunner().invoke(APP, list(arguments))
        assert shown.exit_code == 2, shown.output
        return shown.stderr

    assert "nearest: reference/0/search/1" in reported(str(paths.root), "reference/0/serch/1")
    assert "no proposal yet" in reported(str(paths.root), "baseline/2/confirm/0")
    assert "no recorded epoch yet" in reported(str(paths.root), "bonus=0.05/0/search/0")
    assert "is no run directory" in reported(str(tmp_path / "nothing"), "reference/0/search/0")
    both = reported(str(paths.root), "reference/0/search/0", "--epochs", "0", "--threads", "-1")
    assert "--epochs is 0" in both and "--threads is -1" in both


def test_confirm_trials_without_survivor_cannot_be_run(tmp_path: Path) -> None:
    paths = run_study(toy_plan(misbehave="raise"), tmp_path / "toy")
    with pytest.raises(FaultsError, match="no_survivor"):
        rerun(paths.root, some(paths, "failed", "confirm"), trust=True)


def test_hardware_other_than_recorded_is_named(finished: RunPaths[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    trial_id = some(finished, "completed", "search")
    assert "recorded elsewhere" not in CliRunner().invoke(APP, ["--trust", str(finished.root), trial_id]).stdout
    monkeypatch.setattr("platform.machine", lambda: "abacus")
    assert "→ abacus" in CliRunner().invoke(APP, ["--trust", str(finished.root), trial_id]).stdout


def test_ray_is_never_imported(tmp_path: Path) -> None:
    paths = run_study(toy_plan(misbehave="raise"), tmp_path / "toy")
    trial_id = some(paths, "failed", "search")
    check = (
        f"import sys; from ablation.rerun import rerun; rerun({str(paths.root)!r}, {trial_id!r}, trust=True); "
        "print('ray' in sys.modules)"
    )
    asked = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert asked.stdout.splitlines()[-1] == "False"
