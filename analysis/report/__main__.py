"""``python -m analysis.report RUN... [--out DIR]``: the report of one or more finished or unfinished studies."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from ablation.faults import FaultsError
from ablation.run_dir import RunDir, run_dir
from ablation.store import AnyPath, located
from ablation.terminal import console, exit_on_errors

if TYPE_CHECKING:
    from analysis.attempts import Failure
    from analysis.report.folder import ReportFolder

INCOMPLETE = 1  # exit code: a page that lacks a section

app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


@app.command()
def main(
    runs: Annotated[list[str], typer.Argument(help="run directories, or addresses such as s3://bucket/runs/NAME")],
    out: Annotated[
        str | None, typer.Option(help="folder or address for the page; default: report in the run directory")
    ] = None,
    figures: Annotated[str | None, typer.Option(help="also write each figure as svg or png; needs kaleido")] = None,
    faces: Annotated[bool, typer.Option("--faces", help="show the photographs that confirm trials left")] = False,
    watch: Annotated[int | None, typer.Option(min=1, help="write it again every N seconds until the run ends")] = None,
) -> None:
    """Write each run's report: one self-contained page, and its tables as CSV, Markdown and LaTeX.

    With several runs, a page that sets them side by side too; --out then gives each run a folder of its own name.
    Only files that a report wrote are replaced or removed. Exit code 2: a directory is no run, or the page cannot be
    put there; 1: the page is there and its path printed, but it lacks a section that could not be made, as it says.
    """
    try:
        with exit_on_errors():
            _report(runs, out, figures, faces, watch)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _report(runs: list[str], out: str | None, figures: str | None, faces: bool, watch: int | None) -> None:
    from analysis.report.folder import report_folders

    out_console, errors = console(), console(stderr=True)
    positions = _places(runs)
    folders = report_folders(positions, out)
    if figures is not None:
        from analysis.report.export import check

        check(figures)
    has_page = False
    while True:
        try:
            written, is_whole, failures = _write(positions, folders, out, figures, faces, watch)
        except FaultsError as error:
            # What was readable a moment ago may have been caught in the middle of a change.
            if watch is None or not has_page:
                raise
            errors.print(f"{error}\ntrying again in {watch} s")
        else:
            has_page = True
            state = "" if watch is None else " (the study has ended)" if is_whole else f" (again in {watch} s)"
            for path in written:
                out_console.print(f"{path}{state}")
            for trace in dict.fromkeys(failure.traceback for failure in failures):
                errors.print(trace, end="")
            for failure in failures:
                errors.print(f"the page lacks {failure.name!r}: {failure.error}")
            if watch is None or is_whole:
                raise typer.Exit(INCOMPLETE if failures else 0)
        time.sleep(watch)


def _write(
    runs: list[RunDir],
    folders: list[ReportFolder],
    out: str | None,
    figures: str | None,
    faces: bool,
    watch: int | None,
) -> tuple[list[AnyPath], bool, list[Failure]]:
    from analysis.report import build, compare, export  # pandas is slow to import, and --help does without

    reports = []
    for run, folder in zip(runs, folders, strict=True):
        report = build.render(run, refresh_s=watch, faces=faces, lies_in_run=folder.is_own)
        build.write(report, folder)
        if figures is not None:
            export.write(report.figures, folder, figures)
        reports.append(report)
    written = [folder.path / "index.html" for folder in folders]
    if len(reports) > 1:
        together = located(out) if out is not None else runs[0].paths.root.resolve().parent / "comparison"
        written.append(compare.write(reports, [folder.path for folder in folders], together))
    failures = [failure for report in reports for failure in report.failures]
    return written, all(report.is_whole for report in reports), failures


def _places(runs: list[str]) -> list[RunDir]:
    found: list[RunDir] = []
    faults: list[str] = []
    for run in runs:
        try:
            found.append(run_dir(run))
        except FaultsError as error:
            faults += error.faults
    if faults:
        raise FaultsError(faults)
    return found


if __name__ == "__main__":
    app()
