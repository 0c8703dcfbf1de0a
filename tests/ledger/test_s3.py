"""Runs behind an address: a ledger in an object store, and the report of a run that lies there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from pyarrow import fs
from typer.testing import CliRunner

from ablation import best, status, tables
from ablation.faults import FaultsError
from ablation.ledger.log import Ledger, OvertakenError, read_events
from ablation.ledger.storage import Folder
from ablation.paths import RunPaths
from ablation.reuse import load_best, load_checkpoint
from ablation.run_dir import run_dir
from ablation.store import files_below, located, name_in, put_whole
from analysis import load
from analysis.live import events
from analysis.report.__main__ import app
from analysis.report.build import build
from tests.support.ledgers import append
from tests.support.made_runs import write_run
from tests.support.object_store import BUCKET, served, settings
from tests.support.plain_loop import run_study
from tests.support.report_runs import write_full_run
from tests.support.tiny_faces import make_pictures, run_tiny
from tests.toy_study import toy_plan


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Start a store with an empty bucket, and return the bucket's address."""
    with served() as endpoint, pytest.MonkeyPatch.context() as patch:
        for name, value in settings(endpoint).items():
            patch.setenv(name, value)
        yield BUCKET


def upload(run: Path, address: str) -> str:
    """Copy a run as it lies on the disk, file by file, without its report."""
    filesystem, root = fs.FileSystem.from_uri(address)
    for path in sorted(run.rglob("*")):
        if path.is_file() and "report" not in path.relative_to(run).parts:
            with filesystem.open_output_stream(f"{root}/{path.relative_to(run).as_posix()}") as stream:
                stream.write(path.read_bytes())
    return address


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_full_run(tmp_path_factory.mktemp("local") / "full")


@pytest.fixture(scope="module")
def remote(run: Path, bucket: str) -> str:
    return upload(run, f"{bucket}/runs/full")


def test_a_ledger_in_a_bucket_is_read_back_as_it_was_written(bucket: str) -> None:
    with Ledger(f"{bucket}/ledgers/one") as ledger:
        written = [append(ledger, "session_opened", process=1, resources={})]
        ledger.flush()
        written.append(append(ledger, "started", "reference/0/search/0", attempt=1))
    with Ledger(f"{bucket}/ledgers/one") as ledger:
        assert ledger.history == written
        assert ledger.session == 2
        written.append(append(ledger, "session_opened", process=2, resources={}))
    filesystem, path = fs.FileSystem.from_uri(f"{bucket}/ledgers/one")
    assert read_events(Folder(filesystem, path)) == written


def test_a_second_driver_on_a_bucket_overtakes_the_first(bucket: str) -> None:
    first = Ledger(f"{bucket}/ledgers/two")
    append(first, "session_opened", process=1, resources={})
    first.flush()
    with Ledger(f"{bucket}/ledgers/two") as second:
        append(second, "session_opened", process=2, resources={})
        with pytest.raises(OvertakenError, match="session 2, goes on from what it found"):
            first.flush()
    first.close()
    assert [event.payload["process"] for event in read_events(f"{bucket}/ledgers/two")] == [1, 2]


def test_tables_of_a_run_in_a_bucket_are_those_of_the_disk(run: Path, remote: str) -> None:
    pd.testing.assert_frame_equal(load.trials(remote), load.trials(run))
    pd.testing.assert_frame_equal(load.epochs(remote), load.epochs(run))
    pd.testing.assert_frame_equal(load.predictions(remote), load.predictions(run))
    pd.testing.assert_frame_equal(load.confusions(remote), load.confusions(run))
    pd.testing.assert_frame_equal(events(remote), events(run))
    assert load.accounting(remote) == load.accounting(run)


def test_the_report_of_a_run_in_a_bucket_is_that_of_the_disk_byte_for_byte(
    run: Path, remote: str, tmp_path: Path
) -> None:
    page = build(run, tmp_path / "local")
    result = CliRunner().invoke(app, [remote, "--out", str(tmp_path / "remote")])
    assert result.exit_code == 0, result.output
    assert result.output.strip() == str(tmp_path / "remote" / "index.html")
    written = {path.relative_to(tmp_path / "remote") for path in (tmp_path / "remote").rglob("*") if path.is_file()}
    assert written == {path.relative_to(page.parent) for path in page.parent.rglob("*") if path.is_file()}
    for path in sorted(written):
        assert (tmp_path / "remote" / path).read_bytes() == (page.parent / path).read_bytes(), path


def test_a_run_in_a_bucket_is_set_beside_one_on_the_disk(remote: str, tmp_path: Path) -> None:
    here = write_run(tmp_path / "here")
    result = CliRunner().invoke(app, [remote, here.as_uri(), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert set(pd.read_csv(tmp_path / "out" / "tables" / "studies.csv")["study"]) == {"full", "here"}


def test_a_run_at_work_in_a_bucket_is_watched_until_its_end(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = run_study(toy_plan(), tmp_path / "toy", most_epochs=60)
    for path in (paths.trials, paths.epochs, paths.summary):
        path.unlink()
    address = upload(paths.root, f"{bucket}/runs/toy")
    page, partial = tmp_path / "out" / "index.html", "This study is not finished."
    shown: list[bool] = []

    def finish_meanwhile(_: float) -> None:
        shown.append(partial in page.read_text())
        upload(run_study(toy_plan(), paths.root).root, address)

    monkeypatch.setattr("time.sleep", finish_meanwhile)
    result = CliRunner().invoke(app, [address, "--out", str(page.parent), "--watch", "7"])
    assert result.exit_code == 0, result.output
    assert shown == [True]
    assert partial not in page.read_text()


def test_the_report_of_a_run_in_a_bucket_lies_beside_it_and_replaces_only_its_own(run: Path, remote: str) -> None:
    for _ in range(2):
        result = CliRunner().invoke(app, [remote])
        assert result.exit_code == 0, result.output
        assert result.output.strip() == f"{remote}/report/index.html"
    page = located(remote) / "report/index.html"
    written = {name_in(page.parent, path): path.read_bytes() for path in files_below(page.parent, deep=True)}
    here = build(run).parent
    assert written == {name_in(here, path): path.read_bytes() for path in files_below(here, deep=True)}
    put_whole(page.parent / "tables/arms.csv", b"mine")
    refused = CliRunner().invoke(app, [remote])
    assert refused.exit_code == 2 and "tables/arms.csv was changed since a report wrote it" in refused.output


def test_what_is_not_there_is_refused_with_the_remedy(bucket: str) -> None:
    for address in (f"{bucket}/runs/none", "s3://no-bucket/runs/none"):
        with pytest.raises(FaultsError, match=rf"{address}/study\.json does not exist; give a run directory"):
            load.study(address)


def test_a_table_missing_from_a_bucket_is_written_again_there(bucket: str, tmp_path: Path) -> None:
    paths = run_study(toy_plan(), tmp_path / "toy", most_epochs=60)
    content = paths.trials.read_bytes()
    paths.trials.unlink()
    address = upload(paths.root, f"{bucket}/runs/torn")
    remedy = rf"{address}/trials\.parquet does not exist; python -m ablation\.tables {address} writes it again"
    with pytest.raises(FaultsError, match=remedy):
        load.trials(address)
    tables.materialise(RunPaths(located(address)))
    assert (located(address) / "trials.parquet").read_bytes() == content


def test_an_address_with_keys_in_it_is_refused_and_not_shown() -> None:
    with pytest.raises(
        FaultsError, match=r"s3://…@bucket/runs has keys in it, .*give them by the environment"
    ) as error:
        located("s3://id:secret@bucket/runs")
    assert "secret" not in str(error.value)


def test_the_status_of_a_run_in_a_bucket_is_that_of_the_disk(run: Path, bucket: str) -> None:
    there = status.look(run_dir(upload(run, f"{bucket}/runs/status"))).facts()
    here = status.look(run_dir(run)).facts()
    assert {**there, "run": "", "best": None} == {**here, "run": "", "answer": (), "best": None}


def test_the_best_model_is_used_where_it_lies(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATION_CACHE", str(tmp_path / "cache"))
    here = run_tiny(tmp_path / "tiny", make_pictures(tmp_path / "pictures"))
    address = upload(here.root, f"{bucket}/runs/tiny")
    pictures = sorted((tmp_path / "pictures" / "test").rglob("*.png"))
    far = load_best(address)
    assert far.predict(pictures) == load_best(here.root).predict(pictures)
    assert best.facts(address)["checkpoint"] == far.provenance["checkpoints"][0]
    assert load_checkpoint(far.provenance["checkpoints"][0]).predict(pictures) == far.predict(pictures)
