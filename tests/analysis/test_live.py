"""Runs that grow, crash and go on: the report follows what counts of the ledger, whatever state the tables are in."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pytest
from pyarrow import fs

from ablation import store, study_file, tables
from ablation.faults import FaultsError
from ablation.ledger.events import Grown
from ablation.ledger.log import Event, Folder, Ledger, read_events
from ablation.ledger.parts import put_part
from ablation.paths import RunPaths
from ablation.plan import Plan
from ablation.run_dir import RunDir
from ablation.store import StorePath
from ablation.study.study import Study
from analysis import live, load
from analysis.report.build import render
from analysis.report.inputs import read
from tests.support.ledgers import append
from tests.support.made_runs import write_run
from tests.support.plain_loop import carry_out, run_study
from tests.support.report_runs import write_full_run
from tests.toy_study import toy_plan

TRIALS_A_REPLICATE = 3  # of an arm, in ``small_plan``


def small_plan(replicates: int = 2, misbehave: str = "no") -> Plan:
    """Plan two arms of two search trials and a confirm trial a replicate."""
    plan = toy_plan(misbehave=misbehave)
    arms = tuple(arm for arm in plan.arms if arm.name in ("reference", "baseline"))
    budget = plan.budget.model_copy(update={"replicates": replicates, "trials": 2, "seeds": 1})
    changed = {"arms": arms, "comparisons": plan.space.declared(arms), "budget": budget}
    return plan.model_copy(update=changed)


def grow(ledger: Ledger, plan: Plan) -> None:
    append(ledger, "grown", plan=plan.model_dump(mode="json"), confirmed_before=0)


def tear_last_part(paths: RunPaths[Path]) -> None:
    last = max(paths.ledger.glob("*.parquet"))
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])


def test_a_torn_part_is_left_out_as_the_engine_leaves_it_out_and_the_run_goes_on(tmp_path: Path) -> None:
    paths = run_study(small_plan(), tmp_path / "run", most_epochs=20)
    with Ledger(paths.ledger) as ledger:
        carry_out(Study(small_plan(), ledger), paths, most_epochs=10)
    tear_last_part(paths)
    assert render(paths.root).inputs.open_trials > 0
    run_study(small_plan(), paths.root)
    assert render(paths.root).is_whole
    reported = [(event.seq, event.session, event.kind) for event in read_events(paths.ledger)]
    assert list(live.events(paths.root)[["seq", "session", "kind"]].itertuples(index=False, name=None)) == reported


def test_a_damaged_part_that_counts_is_refused_by_name(tmp_path: Path) -> None:
    paths = run_study(small_plan(), tmp_path / "run", most_epochs=20)
    run_study(small_plan(), paths.root)
    first = min(paths.ledger.glob("*.parquet"))
    first.write_bytes(first.read_bytes()[: first.stat().st_size // 2])
    with pytest.raises(FaultsError, match=f"{first.name} is damaged.*restore it from a copy"):
        read(paths.root)


def test_a_missing_part_of_a_ledger_is_a_fault(tmp_path: Path) -> None:
    paths = run_study(small_plan(), tmp_path / "run", most_epochs=20)
    run_study(small_plan(), paths.root)
    min(paths.ledger.glob("*.parquet")).unlink()
    with pytest.raises(FaultsError, match=r"lacks events 0 to \d+: .* restore it from a copy"):
        read(paths.root)


def test_growth_told_by_an_overtaken_driver_does_not_count(tmp_path: Path) -> None:
    paths = run_study(small_plan(), tmp_path / "run", most_epochs=8)
    grown = Grown(small_plan(replicates=5).model_dump(mode="json"), confirmed_before=0)
    with Ledger(paths.ledger) as ledger:
        late = Event(len(ledger.history), ledger.session - 1, None, 0.0, grown)
        put_part(Folder.at(paths.ledger), [late])
        carry_out(Study(small_plan(), ledger), paths)
    assert load.study(paths.root).growths == ()
    assert read(paths.root).counts["planned"] == 2 * 2 * TRIALS_A_REPLICATE


def test_a_study_that_grew_and_was_killed_at_once_is_not_finished(tmp_path: Path) -> None:
    paths = run_study(small_plan(), tmp_path / "run")
    assert render(paths.root).is_whole
    with Ledger(paths.ledger) as ledger:
        grow(ledger, small_plan(replicates=3))
    report = render(paths.root)
    assert report.inputs.counts["pending"] == 2 * TRIALS_A_REPLICATE
    assert "This study is not finished." in report.page


def test_reopened_trials_stand_where_the_tables_say(tmp_path: Path) -> None:
    paths = run_study(small_plan(misbehave="raise"), tmp_path / "run")
    with Ledger(paths.ledger) as ledger:
        assert Study(small_plan(misbehave="raise"), ledger).reopen_failed() > 0
    tables.materialise(paths)
    written = load.trials(paths.root)
    assert {"interrupted", "pending"} <= set(written["status"])
    folded, _ = live.tables(paths.root, load.study(paths.root))
    assert dict(zip(folded["trial_id"], folded["status"], strict=True)) == dict(
        zip(written["trial_id"], written["status"], strict=True)
    )


@pytest.mark.parametrize("written", [("trials",), ("trials", "epochs")])
def test_tables_caught_between_two_writes_are_passed_over_for_the_ledger(
    tmp_path: Path, written: tuple[str, ...]
) -> None:
    paths = run_study(small_plan(), tmp_path / "run", most_epochs=12)
    before = {path: path.read_bytes() for path in (paths.trials, paths.epochs, paths.summary)}
    run_study(small_plan(), paths.root, most_epochs=20)
    after = pd.read_parquet(paths.epochs)
    for path, content in before.items():
        if path.stem not in written:
            path.write_bytes(content)
    with pytest.raises(FaultsError, match="digests differ"):
        load.trials(paths.root)
    assert render(paths.root).inputs.epochs["seq"].tolist() == after["seq"].tolist()


def test_tables_that_match_no_digest_are_refused_where_there_is_no_ledger(tmp_path: Path) -> None:
    paths = run_study(small_plan(), tmp_path / "run")
    paths.summary.write_text(paths.summary.read_text().replace('"trials.parquet": "', '"trials.parquet": "0'))
    assert read(paths.root).open_trials == 0
    for part in paths.ledger.glob("*.parquet"):
        part.unlink()
    with pytest.raises(FaultsError, match=r"trials\.parquet is damaged, or newer than its summary\.json"):
        read(paths.root)


def test_a_study_that_has_just_been_written_has_a_page_with_everything_pending(tmp_path: Path) -> None:
    paths, plan = RunPaths(tmp_path / "run"), small_plan()
    study_file.write(study_file.describe("run", plan, "quick", None, ["tests"]), paths)
    report = render(paths.root)
    assert report.inputs.counts["pending"] == report.inputs.counts["planned"] == 2 * 2 * TRIALS_A_REPLICATE
    assert "This study is not finished." in report.page


@pytest.mark.parametrize("name", ["trials.parquet", "epochs.parquet"])
def test_a_run_without_ledger_that_lacks_one_table_is_refused(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / "run")
    (run / name).unlink()
    with pytest.raises(FaultsError, match=f"{name} does not exist"):
        read(run)


class Refusing:
    """This machine's file system, but for what holds a word: that cannot be read."""

    def __init__(self, word: str, why: OSError) -> None:
        self._word, self._why, self._files = word, why, fs.LocalFileSystem()

    def __getattr__(self, name: str) -> Any:
        def ask(what: Any, *rest: Any, **options: Any) -> Any:
            if self._word in str(getattr(what, "base_dir", what)):
                raise self._why
            return getattr(self._files, name)(what, *rest, **options)

        return ask


def refusing(patch: pytest.MonkeyPatch, run: Path, word: str, why: OSError) -> RunDir:
    """Return a run behind an address, of which what holds a word cannot be read."""
    patch.setattr(store, "_opened", lambda address: (Refusing(word, why), ""))
    return RunDir(RunPaths(StorePath("refusing://here", PurePosixPath(run))))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_full_run(tmp_path_factory.mktemp("full") / "run")
    with pytest.MonkeyPatch.context() as patch:
        assert read(refusing(patch, run, "nothing of that name", OSError())).open_trials == 0
    return run


UNREADABLE = pytest.mark.parametrize(
    "why", [PermissionError(13, "Permission denied"), OSError("AWS Error NETWORK_CONNECTION")], ids=["denied", "away"]
)


@pytest.mark.parametrize("word", ["ledger", "trials.parquet", "summary.json"])
@UNREADABLE
def test_what_cannot_be_read_is_not_called_damaged(
    full: Path, word: str, why: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FaultsError, match=rf"{word}.* cannot be read \(.*\); check that you may read there"):
        render(refusing(monkeypatch, full, word, why))


@pytest.mark.parametrize("word", ["artifacts", "predictions.parquet"])
@UNREADABLE
def test_artifacts_that_cannot_be_read_are_lacking_on_the_page_and_not_called_damaged(
    full: Path, word: str, why: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = render(refusing(monkeypatch, full, word, why))
    errors = " ".join(failure.error for failure in report.failures)
    assert re.search(rf"{word}.* cannot be read \(.*\); check that you may read there", errors), errors
    assert "damaged" not in errors
    assert "cannot be read" in report.page


def test_a_disk_that_fails_while_a_file_is_decoded_is_not_called_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_nothing(*_: object, **__: object) -> None:
        raise TimeoutError(110, "Connection timed out")

    run = write_run(tmp_path / "run")
    monkeypatch.setattr("pyarrow.parquet.ParquetFile", read_nothing)
    with pytest.raises(FaultsError, match=r"trials\.parquet cannot be read \(.*timed out\); check that you may"):
        load.trials(run)
