"""A study in progress, run without Ray: flow, fairness, failures, and going on where it stopped."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablation import study_file, tables
from ablation.ledger.log import Ledger, read_events
from ablation.ledger.records import ConflictError, TrialState
from ablation.paths import RunPaths
from ablation.plan import Plan, PlannedTrial
from ablation.study.searcher import propose
from ablation.study.study import Study
from ablation.trial import EpochRecord
from analysis.audit.checks import audit
from search_spaces.metrics import Direction
from search_spaces.space import Design
from tests.support.ledgers import append
from tests.support.plain_loop import run_study
from tests.support.spaces import with_direction
from tests.toy_study import toy_plan


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunPaths[Path]:
    return run_study(toy_plan(), tmp_path_factory.mktemp("runs") / "finished")


def trials(paths: RunPaths[Path]) -> pd.DataFrame:
    return pd.read_parquet(paths.trials)


def test_every_planned_trial_is_accounted_for(finished: RunPaths[Path]) -> None:
    table = trials(finished)
    assert table["trial_id"].tolist() == [trial.trial_id for trial in toy_plan().trials()]
    assert set(table["status"]) == {"completed", "stopped"}
    assert audit(finished.root) == []


def test_every_search_has_a_survivor_and_every_replicate_is_confirmed(finished: RunPaths[Path]) -> None:
    table = trials(finished)
    survivors = table[(table["phase"] == "search") & (table["status"] == "completed")]
    assert len(survivors.groupby(["arm", "replicate"])) == len(toy_plan().arms) * 3
    assert (table[table["phase"] == "confirm"]["status"] == "completed").all()


def test_a_replicate_goes_on_to_its_confirm_run_while_others_still_search(finished: RunPaths[Path]) -> None:
    events = read_events(finished.ledger)
    first_confirm = next(event.seq for event in events if event.trial_id and "/confirm/" in event.trial_id)
    last_search = max(event.seq for event in events if event.trial_id and "/search/" in event.trial_id)
    assert first_confirm < last_search


def test_all_arms_start_their_searches_from_the_same_points(finished: RunPaths[Path]) -> None:
    table = trials(finished)
    plan = toy_plan()
    first = table[(table["phase"] == "search") & (table["index"] < plan.startup_trials)]
    assert (first.groupby(["replicate", "index"])["config.toy.offset"].nunique() == 1).all()
    assert first[first["index"] == 0]["config.toy.offset"].unique().tolist() == [1.0]
    assert first[first["index"] == 1]["config.toy.offset"].nunique() == plan.budget.replicates


@pytest.mark.parametrize("kept_epochs", [1, 40, 150, 290])
def test_an_interrupted_study_goes_on_to_the_same_result(
    tmp_path: Path, finished: RunPaths[Path], kept_epochs: int
) -> None:
    root = tmp_path / "interrupted"
    run_study(toy_plan(), root, at_a_time=1, most_epochs=kept_epochs)
    assert {"pending"} <= set(trials(RunPaths(root))["status"])
    resumed = run_study(toy_plan(), root, at_a_time=1)
    whole = run_study(toy_plan(), tmp_path / "whole", at_a_time=1)
    assert audit(resumed.root) == []
    kept = [name for name in trials(whole).columns if name not in ("wall_s", "attempts")]
    pd.testing.assert_frame_equal(trials(resumed)[kept], trials(whole)[kept])


def test_a_ledger_cut_anywhere_goes_on_to_a_sound_end(tmp_path: Path, finished: RunPaths[Path]) -> None:
    events = read_events(finished.ledger)
    for cut in range(1, len(events), 101):
        paths = RunPaths(tmp_path / str(cut))
        paths.root.mkdir()
        shutil.copy(finished.study, paths.study)
        with Ledger(paths.ledger) as ledger:
            for event in events[:cut]:
                append(ledger, event.kind, event.trial_id, **event.payload)
        tables.materialise(paths)
        assert audit(paths.root) == [], cut
        run_study(toy_plan(), paths.root)
        assert audit(paths.root) == [], cut
        assert set(trials(paths)["status"]) == {"completed", "stopped"}


def test_a_ledger_whose_decision_does_not_follow_is_refused(tmp_path: Path, finished: RunPaths[Path]) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        for event in read_events(finished.ledger):
            turned = {"goes_on": not event.payload["goes_on"]} if event.kind == "decided" else {}
            append(ledger, event.kind, event.trial_id, **{**event.payload, **turned})
    with Ledger(tmp_path / "ledger") as ledger, pytest.raises(ConflictError, match="does not follow"):
        Study(toy_plan(), ledger)


def test_numbers_of_other_libraries_are_taken(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        study = Study(toy_plan(), ledger)
        assignment = study.next_assignment()
        assert assignment is not None
        metrics: dict[str, Any] = {"val_score": np.float32(0.5), "count": np.int64(3)}
        record = EpochRecord(epoch=np.int64(1), epoch_s=np.float32(0.1), metrics=metrics)  # type: ignore[arg-type]
        assert study.report(assignment.trial.trial_id, record, 0.1, None)
    (epoch,) = (event for event in read_events(tmp_path / "ledger") if event.kind == "epoch")
    assert epoch.payload["metrics"] == {"val_score": 0.5, "count": 3.0}


def test_a_finished_study_does_nothing_more(finished: RunPaths[Path]) -> None:
    before = trials(finished)
    again = run_study(toy_plan(), finished.root)
    pd.testing.assert_frame_equal(before, trials(again))


@pytest.mark.parametrize(
    ("misbehave", "status", "reason"),
    [
        ("raise", "failed", "ToyError: asked to"),
        ("nan", "diverged", "train_loss not finite in epoch 1"),
        ("none", "failed", "val_score is None"),
        ("missing", "failed", "lacks val_score"),
        ("short", "failed", "ended early"),
    ],
)
def test_a_trial_that_misbehaves_ends_alone_and_is_counted(
    tmp_path: Path, misbehave: str, status: str, reason: str
) -> None:
    paths = run_study(toy_plan(misbehave=misbehave), tmp_path / "run")
    table = trials(paths)
    search = table[table["phase"] == "search"]
    # At rung 1 some are stopped before they can misbehave in epoch 2.
    assert set(search["status"]) <= {status, "stopped"}
    assert search[search["status"] == status]["reason"].str.contains(reason, regex=False).all()
    confirm = table[table["phase"] == "confirm"]
    assert set(confirm["status"]) == {"failed"} and set(confirm["reason"]) == {"no_survivor"}
    assert audit(paths.root) == []


@pytest.mark.parametrize(
    ("direction", "curves", "chosen"),
    [
        # The last epoch counts, not the best one.
        ("maximize", [[0.9, 0.9, 0.1], [0.2, 0.2, 0.3], [0.8, 0.1, 0.2]], 1),
        ("minimize", [[0.1, 0.1, 0.9], [0.8, 0.8, 0.7], [0.2, 0.9, 0.8]], 1),
        # Ties go to the lower index.
        ("maximize", [[0.5, 0.5, 0.1], [0.3, 0.3, 0.4], [0.3, 0.3, 0.4]], 1),
        # One stopped early is censored: whatever its value, it is no candidate.
        ("maximize", [[0.9], [0.1, 0.1, 0.1], [0.2, 0.2, 0.2]], 2),
    ],
)
def test_a_replicate_confirms_the_best_full_length_trial_by_its_last_epoch(
    tmp_path: Path, direction: Direction, curves: list[list[float]], chosen: int
) -> None:
    plan = toy_plan()
    # No rungs: the curves say who is stopped.
    budget = plan.budget.model_copy(update={"trials": len(curves), "epochs": 3, "grace_epochs": 3})
    space = with_direction(plan.space, direction)
    plan = plan.model_copy(update={"budget": budget, "space": space})
    with Ledger(tmp_path / "ledger") as ledger:
        study = Study(plan, ledger)
        study.open_session(process=0, resources={})
        while (assignment := study.next_assignment()) is not None:
            trial = assignment.trial
            study.started(trial.trial_id)
            curve = curves[trial.index] if trial.phase == "search" else [0.0] * 3
            for epoch, value in enumerate(curve, start=1):
                test = {"test_score": 0.0} if trial.phase == "confirm" and epoch == 3 else {}
                study.report(trial.trial_id, EpochRecord(epoch, 0.1, {"val_score": value, **test}), 0.1, None)
            study.end(trial.trial_id, "stopped")
        confirmed = [trial for trial in plan.trials() if trial.phase == "confirm"]
        for trial in confirmed:
            proposals = [
                study.records[f"{trial.arm}/{trial.replicate}/search/{index}"].proposal for index in range(len(curves))
            ]
            assert [study.records[trial.trial_id].proposal == proposal for proposal in proposals] == [
                index == chosen for index in range(len(curves))
            ]
    assert len(confirmed) == len(plan.arms) * budget.replicates


def test_optuna_hears_of_stopped_trials_as_pruned_and_of_running_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    import optuna

    plan = _long_plan()
    reported: list[Any] = []

    def note(study: optuna.Study, added: list[Any]) -> None:
        reported.extend(added)

    monkeypatch.setattr(optuna.Study, "add_trials", note)
    trial = next(trial for trial in plan.trials() if trial.index == plan.startup_trials)
    outcomes: list[Any] = ["completed", "stopped", "failed", "diverged", None]
    states = [TrialState(str(n), proposal={"toy.offset": 0.5}, outcome=outcome) for n, outcome in enumerate(outcomes)]
    for state in states:
        _add_epoch(state)
    propose(plan, trial, states)
    kinds = Counter(frozen.state.name for frozen in reported)
    assert kinds == {"COMPLETE": 1, "PRUNED": 1, "FAIL": 2, "RUNNING": 1}
    pruned = next(frozen for frozen in reported if frozen.state.name == "PRUNED")
    assert pruned.intermediate_values == {1: 0.25}


def test_proposals_repeat_given_the_same_records_and_differ_between_indices() -> None:
    plan = _long_plan()
    late = [trial for trial in plan.trials() if trial.arm == "reference" and trial.index >= plan.startup_trials][:2]
    states = [TrialState(str(n), proposal={"toy.offset": n / 4}, outcome="completed") for n in range(6)]
    for state in states:
        _add_epoch(state)
    once, again, other = (propose(plan, trial, states) for trial in (late[0], late[0], late[1]))
    assert once == again != other


def _long_plan() -> Plan:
    plan = toy_plan()
    return plan.model_copy(update={"budget": plan.budget.model_copy(update={"trials": 12})})


def _add_epoch(state: TrialState) -> None:
    from ablation.ledger.records import EpochRow

    state.epochs.append(EpochRow(epoch=1, seq=0, epoch_s=0.1, images=1, metrics={"val_score": 0.25}))


def fail_first(paths: RunPaths[Path], plan: Plan, trial_ids: tuple[str, ...]) -> None:
    """Run a study in which the named trials fail at once."""
    study_file.write(study_file.describe(paths.root.name, plan, "quick", None, ["tests"]), paths)
    with Ledger(paths.ledger) as ledger:
        study = Study(plan, ledger)
        study.open_session(process=0, resources={})
        while (assignment := study.next_assignment()) is not None:
            trial = assignment.trial
            study.started(trial.trial_id)
            if trial.trial_id in trial_ids:
                study.end(trial.trial_id, "failed", "asked to")
            else:
                run_to_end(study, trial)
    tables.materialise(paths)


def run_to_end(study: Study, trial: PlannedTrial) -> None:
    for epoch in range(1, trial.epochs + 1):
        metrics = {"val_score": trial.index + epoch / 100}
        if trial.phase == "confirm" and epoch == trial.epochs:
            metrics["test_score"] = 0.5
        if not study.report(trial.trial_id, EpochRecord(epoch, 0.1, metrics), 0.1, None):
            return


def small_plan() -> Plan:
    plan = toy_plan()
    budget = plan.budget.model_copy(update={"replicates": 2, "trials": 2})
    return plan.model_copy(update={"budget": budget, "arms": plan.arms[:2], "comparisons": ()})


def reopened(paths: RunPaths[Path]) -> list[str | None]:
    with Ledger(paths.ledger) as ledger:
        study = Study(study_file.read(paths).plan, ledger)
        study.reopen_failed()
    return [event.trial_id for event in read_events(paths.ledger) if event.kind == "reopened"]


def test_a_search_without_survivor_is_reopened_with_its_confirm_run(tmp_path: Path) -> None:
    paths, plan = RunPaths(tmp_path / "failed"), small_plan()
    name = plan.arms[1].name
    lost = (f"{name}/0/search/0", f"{name}/0/search/1", f"{name}/0/confirm/0")
    fail_first(paths, plan, lost[:2])
    assert trials(paths).set_index("trial_id")["reason"][lost[2]] == "no_survivor"
    assert set(reopened(paths)) == set(lost)
    tables.materialise(paths)
    assert audit(paths.root) == []
    resumed = run_study(plan, paths.root)
    assert set(trials(resumed)["status"]) <= {"completed", "stopped"}
    assert audit(paths.root) == []


def test_a_failed_search_trial_of_a_confirmed_replicate_stays_failed(tmp_path: Path) -> None:
    paths, plan = RunPaths(tmp_path / "failed"), small_plan()
    name = plan.arms[1].name
    fail_first(paths, plan, (f"{name}/0/search/1",))
    assert reopened(paths) == []


def test_a_failed_confirm_run_is_reopened_with_the_proposal_it_had(tmp_path: Path) -> None:
    paths, plan = RunPaths(tmp_path / "failed"), small_plan()
    lost = f"{plan.arms[1].name}/0/confirm/0"
    fail_first(paths, plan, (lost,))
    assert reopened(paths) == [lost]
    run_study(plan, paths.root)
    row = trials(paths).set_index("trial_id").loc[lost]
    assert (row["status"], row["attempts"]) == ("completed", 2)
    assert audit(paths.root) == []


def test_a_ledger_cut_at_any_event_around_a_rung_decides_in_the_order_of_arrival(tmp_path: Path) -> None:
    """A cut between an epoch and its decision must not let a trial that arrived later decide first."""
    plan = small_plan()
    whole = run_study(plan, tmp_path / "whole")
    events = read_events(whole.ledger)
    cuts = [event.seq for event in events if event.kind == "decided"]
    for cut in cuts:
        paths = RunPaths(tmp_path / str(cut))
        paths.root.mkdir()
        shutil.copy(whole.study, paths.study)
        with Ledger(paths.ledger) as ledger:
            for event in events[:cut]:
                append(ledger, event.kind, event.trial_id, **event.payload)
        with Ledger(paths.ledger) as ledger:
            study = Study(plan, ledger)
            study.open_session(process=0, resources={})
            # Whatever comes next, it arrived later than what the cut left undecided.
            last = next(event for event in read_events(whole.ledger) if event.seq == cut)
            arm, replicate = str(last.trial_id).split("/")[:2]
            assert study.state.rung_values[arm, int(replicate), last.payload["rung"]][-1] == last.payload["value"]


def test_a_reason_that_is_no_text_reaches_the_table(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path / "run")
    plan = small_plan()
    study_file.write(study_file.describe("run", plan, "quick", None, ["tests"]), paths)
    with Ledger(paths.ledger) as ledger:
        study = Study(plan, ledger)
        study.open_session(process=0, resources={})
        trial_id = started(study)
        study.end(trial_id, "failed", "cannot decode \udcff.jpg")
    tables.materialise(paths)
    assert trials(paths).set_index("trial_id").loc[trial_id, "reason"] == "cannot decode \\udcff.jpg"


def test_a_search_trial_whose_last_epoch_is_in_the_ledger_is_not_run_again(tmp_path: Path) -> None:
    plan = small_plan()
    whole = run_study(plan, tmp_path / "whole")
    events = read_events(whole.ledger)
    ends = [
        e for e in events if e.kind == "ended" and "/search/" in str(e.trial_id) and e.payload["outcome"] == "completed"
    ]
    assert ends
    for end in ends:
        paths = RunPaths(tmp_path / str(end.seq))
        with Ledger(paths.ledger) as ledger:
            for event in events[: end.seq]:
                append(ledger, event.kind, event.trial_id, **event.payload)
        with Ledger(paths.ledger) as ledger:
            study = Study(plan, ledger)
            study.open_session(process=0, resources={})
            assert study.records[str(end.trial_id)].outcome == "completed"


def started(study: Study) -> str:
    assignment = study.next_assignment()
    assert assignment is not None
    study.started(assignment.trial.trial_id)
    return assignment.trial.trial_id


def reported(study: Study, trial_id: str, epoch: int, value: float) -> bool:
    return study.report(trial_id, EpochRecord(epoch, 0.1, {"val_score": value}), 0.1, None)


def test_an_epoch_that_a_newer_attempt_tells_otherwise_replaces_the_old_one_but_no_decision(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        study = Study(toy_plan(), ledger)
        trial_id = started(study)
        for epoch, value in enumerate((0.1, 0.2, 0.3), start=1):
            assert reported(study, trial_id, epoch, value)
        study.retried(trial_id, "worker lost")
        study.started(trial_id)
        assert reported(study, trial_id, 1, 0.1) and reported(study, trial_id, 2, 0.25)
        assert [row.metrics["val_score"] for row in study.records[trial_id].epochs] == [0.1, 0.25]
        assert study.records[trial_id].superseded == 2
        assert reported(study, trial_id, 3, 0.35)
    events = read_events(tmp_path / "ledger")
    assert [event.payload["rung"] for event in events if event.kind == "decided"] == [1, 3]
    with Ledger(tmp_path / "ledger") as ledger:
        again = Study(toy_plan(), ledger).records[trial_id]
    assert [row.metrics["val_score"] for row in again.epochs] == [0.1, 0.25, 0.35]


def test_an_epoch_that_the_same_attempt_tells_otherwise_fails_the_trial(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        study = Study(toy_plan(), ledger)
        trial_id = started(study)
        reported(study, trial_id, 1, 0.1)
        assert not reported(study, trial_id, 1, 0.2)
        assert study.records[trial_id].reason == "epoch 1 was reported twice, with other metrics"


def test_a_ledger_whose_proposal_does_not_follow_is_refused(tmp_path: Path, finished: RunPaths[Path]) -> None:
    moved = "baseline/0/search/2"
    with Ledger(tmp_path / "ledger") as ledger:
        for event in read_events(finished.ledger):
            changed = (
                {"proposal": {"toy.offset": 0.123}} if event.kind == "proposed" and event.trial_id == moved else {}
            )
            append(ledger, event.kind, event.trial_id, **{**event.payload, **changed})
    with Ledger(tmp_path / "ledger") as ledger, pytest.raises(ConflictError, match=f"proposal for {moved} does not"):
        Study(toy_plan(), ledger)


def test_a_ledger_of_another_study_is_refused(tmp_path: Path, finished: RunPaths[Path]) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        for event in read_events(finished.ledger):
            append(ledger, event.kind, event.trial_id, **event.payload)
    with Ledger(tmp_path / "ledger") as ledger, pytest.raises(ConflictError, match="which is not planned"):
        Study(small_plan(), ledger)


@pytest.mark.parametrize("design", ["one-at-a-time", "factorial", "joint"])
@pytest.mark.parametrize("misbehave", ["no", "raise", "nan"])
def test_as_many_trials_are_proposed_in_every_arm_and_replicate_whatever_becomes_of_them(
    tmp_path: Path, design: Design, misbehave: str
) -> None:
    """Failures count and are not replaced; read from the ledger's Parquet parts alone."""
    plan = toy_plan(misbehave=misbehave)
    arms = plan.space.arms(design)
    plan = plan.model_copy(update={"design": design, "arms": arms, "comparisons": plan.space.declared(arms)})
    paths = run_study(plan, tmp_path / "run")
    events = pd.concat(pd.read_parquet(part) for part in paths.ledger.glob("*.parquet"))
    proposed = events[(events["kind"] == "proposed") & events["trial_id"].str.contains("/search/")]
    counts = proposed["trial_id"].str.rsplit("/", n=2).str[0].value_counts()
    expected = {f"{arm.name}/{replicate}" for arm in arms for replicate in range(plan.budget.replicates)}
    assert set(counts.index) == expected
    assert set(counts) == {plan.budget.trials}
    table = trials(paths)
    if misbehave != "no":
        assert {"failed", "diverged"} & set(table["status"])
    assert table.groupby(["arm", "replicate", "phase"]).size().groupby("phase").nunique().eq(1).all()
    assert audit(paths.root) == []
