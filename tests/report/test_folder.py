"""A report replaces and removes its own files alone: the user's, and what links point to, stay as they are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ablation.faults import FaultsError
from analysis.report.__main__ import app
from analysis.report.build import build
from analysis.report.folder import MANIFEST, ReportFolder
from tests.support.made_runs import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "run")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["index.html", "findings.json", "tables/arms.csv", "tables/comparisons.tex"])
def test_a_file_of_the_users_in_the_way_is_refused_by_name_and_nothing_is_written(
    run: Path, tmp_path: Path, name: str
) -> None:
    own = tmp_path / "paper" / name
    own.parent.mkdir(parents=True)
    own.write_text("the user's")
    result = CliRunner().invoke(app, [str(run), "--out", str(tmp_path / "paper")])
    assert result.exit_code == 2
    assert f"error: {own} was not written by a report, and is not replaced; move it away" in result.output
    assert contents(tmp_path / "paper") == {name: b"the user's"}


def test_other_files_of_the_users_stay(run: Path, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "own.csv").write_text("a,b")
    (tmp_path / "notes.md").write_text("the user's")
    for _ in range(2):
        build(run, tmp_path)
    assert (tmp_path / "tables" / "own.csv").read_text() == "a,b"
    assert (tmp_path / "notes.md").read_text() == "the user's"


def test_a_table_that_was_edited_is_not_replaced(run: Path, tmp_path: Path) -> None:
    build(run, tmp_path)
    table = tmp_path / "tables" / "arms.md"
    table.write_text("edited")
    with pytest.raises(FaultsError, match=r"arms\.md was changed since a report wrote it, and is not replaced"):
        build(run, tmp_path)
    assert table.read_text() == "edited"


def test_a_table_that_is_no_longer_made_stays_if_it_was_edited(tmp_path: Path) -> None:
    folder = ReportFolder(tmp_path)
    folder.put({"tables/a.csv": "1", "tables/b.csv": "2"}, r"tables/.*")
    (tmp_path / "tables" / "a.csv").write_text("edited")
    folder.put({}, r"tables/.*")
    assert set(contents(tmp_path)) == {"tables/a.csv", MANIFEST}


def test_links_are_not_followed(tmp_path: Path) -> None:
    run, elsewhere = write_run(tmp_path / "run"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "arms.csv").write_text("the user's")
    (run / "report").mkdir()
    (run / "report" / "tables").symlink_to(elsewhere)
    with pytest.raises(FaultsError, match=r"tables is a link; move it away"):
        build(run)
    (run / "report" / "tables").unlink()
    (run / "report" / "index.html").symlink_to(elsewhere / "arms.csv")
    with pytest.raises(FaultsError, match=r"index\.html is a link; move it away"):
        build(run)
    (run / "report" / "index.html").unlink()
    (run / "report").rmdir()
    (run / "report").symlink_to(elsewhere)
    with pytest.raises(FaultsError, match=r"report is a link, which a report does not follow"):
        build(run)
    assert contents(elsewhere) == {"arms.csv": b"the user's"}


def test_a_folder_that_was_given_may_be_a_link(run: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert build(run, tmp_path / "link").is_file()


def test_a_report_from_before_there_were_manifests_is_replaced_in_its_own_run_only(run: Path, tmp_path: Path) -> None:
    own = write_run(tmp_path / "run")
    build(own)
    (own / "report" / MANIFEST).unlink()
    figures = own / "report" / "figures"
    figures.mkdir()
    for name in ("curves-0.svg", "own.svg"):
        (figures / name).write_text("drawn")
    page = own / "report" / "index.html"
    page.write_text(page.read_text().replace("</body>", '<a href="tables/gone.csv"></a></body>'))
    (own / "report" / "tables" / "gone.csv").write_text("linked by the page")
    (own / "report" / "tables" / "own.csv").write_text("the user's")
    build(own)
    left = set(contents(own / "report"))
    assert "tables/gone.csv" not in left
    assert {"tables/own.csv", "figures/own.svg", "figures/curves-0.svg"} <= left
    listed = json.loads((own / "report" / MANIFEST).read_text())["files"]
    assert "figures/curves-0.svg" in listed
    assert not {"tables/own.csv", "figures/own.svg"} & set(listed)
    build(run, tmp_path / "paper")
    (tmp_path / "paper" / MANIFEST).unlink()
    with pytest.raises(FaultsError, match=r"index\.html was not written by a report"):
        build(run, tmp_path / "paper")


def test_a_page_of_the_users_in_the_runs_own_folder_is_not_adopted(tmp_path: Path) -> None:
    own = write_run(tmp_path / "run")
    (own / "report").mkdir()
    (own / "report" / "index.html").write_text('<a href="tables/arms.csv">mine</a>')
    with pytest.raises(FaultsError, match=r"index\.html was not written by a report"):
        build(own)


def test_a_report_that_was_cut_off_between_two_files_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ReportFolder(tmp_path)
    folder.put({"a.html": "one", "b.html": "one"}, ".*")
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if target.name == "b.html":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(FaultsError, match=r"cannot be written \(No space left on device\); make that possible"):
            folder.put({"a.html": "two", "b.html": "two"}, ".*")
    assert sorted(contents(tmp_path)) == ["a.html", "b.html", MANIFEST]
    folder.put({"a.html": "three"}, ".*")
    assert contents(tmp_path).keys() == {"a.html", MANIFEST}


@pytest.mark.parametrize("content", ["{", "[]", '{"about": "something else", "files": {}}'])
def test_a_manifest_that_is_not_ours_is_refused(run: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(FaultsError, match=re.escape(f"{tmp_path / MANIFEST} is no list of a report's files")):
        build(run, tmp_path)


def test_out_on_a_file_is_refused_in_one_line(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("the user's")
    result = CliRunner().invoke(app, [str(run), "--out", str(tmp_path / "file")])
    assert result.exit_code == 2
    assert result.output == f"error: {tmp_path / 'file'} is no folder; give another one with --out\n"
