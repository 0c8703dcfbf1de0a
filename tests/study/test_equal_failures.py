"""When every trial fails alike the sweep pauses; failures are reported by their reasons."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from ablation.console.messages import Account, TextMessages
from ablation.console.progress import Progress
from ablation.engine.slots import Slots
from ablation.failures import alike, by_reason, in_words, last_lines
from ablation.ledger.log import Ledger
from ablation.paths import RunPaths
from ablation.study.study import Study
from ablation.terminal import console
from ablation.trial import EpochRecord
from tests.toy_study import toy_plan

Play = Callable[[Study], None]


def start(study: Study) -> str:
    assignment = study.next_assignment()
    assert assignment is not None
    study.started(assignment.trial.trial_id)
    return assignment.trial.trial_id


def train(study: Study, trial_id: str, epochs: int) -> None:
    for epoch in range(1, epochs + 1):
        study.report(trial_id, EpochRecord(epoch, 0.1, {"val_score": 0.5}), 0.1, None)


def fail(study: Study, trial_id: str, reason: str = "ValueError: no") -> None:
    study.end(trial_id, "failed", reason)


def fail_many(study: Study, count: int, reason: str = "ValueError: no {}", epochs: int = 0) -> None:
    for number in range(count):
        trial_id = start(study)
        train(study, trial_id, epochs)
        fail(study, trial_id, reason.format(number))


def outlived(study: Study, failures: int) -> None:
    start(study)
    fail_many(study, failures)


def lose_workers(study: Study) -> None:
    fail_many(study, 4)
    study.retried(start(study), "WorkerDied")


def report_an_epoch(study: Study) -> None:
    fail_many(study, 4)
    train(study, start(study), 1)
    fail_many(study, 30)


def fail_in_two_ways(study: Study) -> None:
    fail_many(study, 4)
    fail_many(study, 4, "KeyError: other")


def confirm_one(study: Study) -> None:
    for _ in range(5 * 4):
        trial_id = start(study)
        train(study, trial_id, 9)
    fail_many(study, 20)


@pytest.mark.parametrize(
    ("play", "pauses"),
    [
        (lambda study: fail_many(study, 4), False),
        (lambda study: fail_many(study, 5), True),
        (lambda study: fail_many(study, 5, epochs=1), True),
        (report_an_epoch, False),
        (fail_in_two_ways, False),
        (lose_workers, False),
        (confirm_one, False),
        # A trial that began before all of them, and is only slower, may be one that works.
        (lambda study: outlived(study, 19), False),
        (lambda study: outlived(study, 20), True),
    ],
)
def test_a_study_pauses_once_five_trials_failed_alike_and_none_got_further(
    tmp_path: Path, play: Play, pauses: bool
) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        study = Study(toy_plan(budget="standard"), ledger)
        study.open_session(0, {"max_equal_failures": 5})
        play(study)
        assert study.equal_failures.are_enough == pauses


def test_a_pause_can_be_turned_off(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        study = Study(toy_plan(), ledger)
        study.open_session(0, {"max_equal_failures": 0})
        fail_many(study, 20)
        assert not study.equal_failures.are_enough


def test_a_study_that_went_on_counts_from_nought_and_knows_what_worked(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        study = Study(toy_plan(), ledger)
        study.open_session(0, {"max_equal_failures": 5})
        fail_many(study, 5)
    with Ledger(tmp_path / "ledger") as ledger:
        study = Study(toy_plan(), ledger)
        assert study.reopen_failed() == 5
        study.open_session(0, {"max_equal_failures": 5})
        fail_many(study, 4)
        assert not study.equal_failures.are_enough
        train(study, start(study), 9)
    with Ledger(tmp_path / "ledger") as ledger:
        study = Study(toy_plan(), ledger)
        study.open_session(0, {"max_equal_failures": 5})
        fail_many(study, 10)
        assert not study.equal_failures.are_enough


def test_failures_are_grouped_by_what_their_reasons_share(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    paths.log("a/0/search/0").parent.mkdir(parents=True)
    paths.log("a/0/search/0").write_text("started\nTraceback\n  line\nValueError: [/x] 1\n")
    ends = [
        ("a/0/search/0", "failed", "ValueError: [/x] 1\nmore"),
        ("a/0/search/1", "completed", None),
        ("a/0/search/2", "failed", "ValueError: [/x] 23"),
        ("a/0/search/3", "diverged", "val_score not finite in epoch 3"),
        *((f"b/0/search/{n}", "failed", "Error" + "abcdef"[n] * 1000) for n in range(6)),
    ]
    found = by_reason(ends)
    assert [failures.count for failures in found] == [2, *[1] * 7]
    lines = list(in_words(found, paths))
    assert lines[0] == f"2 × ValueError: [/x] 1 ({paths.log('a/0/search/0')})"
    assert lines[1] == "1 × diverged: val_score not finite in epoch 3"
    assert lines[-1] == "3 more, for 3 other reasons: trials.parquet has them"
    assert all(len(line) < 400 for line in lines)
    assert last_lines(paths.log("a/0/search/0"))[-1] == "ValueError: [/x] 1"
    assert alike("at 0x7f12 of 3") == alike("at 0xab of 4")


def test_the_accounting_of_a_paused_sweep_says_why_and_how_to_go_on(tmp_path: Path) -> None:
    log = RunPaths(tmp_path).log("a/0/search/0")
    log.parent.mkdir(parents=True)
    log.write_text("Traceback\n  here\nValueError: no\n")
    summary = dict.fromkeys(("completed", "stopped", "diverged", "interrupted"), 0)
    summary |= {"planned": 9, "failed": 5, "pending": 4, "sweep_wall_s": 1}
    found = tuple(by_reason((f"a/0/search/{n}", "failed", "ValueError: no") for n in range(5)))
    file = io.StringIO()
    account = Account(tmp_path, "paused", 1, summary, None, found, "again --retry-failed")
    TextMessages(console(file=file)).accounting(account)
    reported = file.getvalue()
    assert f"5 × ValueError: no ({log})" in reported
    assert "paused: trials fail alike and none works" in reported and "  ValueError: no\n" in reported
    assert "run failed trials again, once it is mended, with: again --retry-failed" in reported


def test_progress_tells_each_kind_of_failure_and_retry_once_while_it_happens(tmp_path: Path) -> None:
    file, paths = io.StringIO(), RunPaths(tmp_path)
    with Ledger(paths.ledger) as ledger:
        study = Study(toy_plan(), ledger)
        study.open_session(0, {})
        with (
            Progress(study, Slots(2, 1.0, 0.0), console=console(file=file), paths=paths) as progress,
            study.followed_by(progress.note),
        ):
            first = start(study)
            paths.log(first).parent.mkdir(parents=True)
            paths.log(first).write_text("said")
            study.retried(first, "MemoryError: 3 GiB")
            study.started(first)
            study.retried(first, "MemoryError: 4 GiB")
            study.started(first)
            fail(study, first)
            fail_many(study, 3)
    lines = file.getvalue().splitlines()
    assert lines[1:3] == [
        f"{first} starts again: MemoryError: 3 GiB (log: {paths.log(first)})",
        f"{first} failed: ValueError: no (log: {paths.log(first)})",
    ]
    assert "failed" in lines[-1] and "2 retried" in lines[-1]
