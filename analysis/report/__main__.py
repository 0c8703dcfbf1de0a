"""``python -m analysis.report RUN... [--out DIR]``: the report of one or more finished or unfinished studies."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ablation.faults import FaultsError
from ablation.run_dir import RunDir, run_dir
from ablation.store import AnyPath, located
from ablation.study_file import title_faults
from ablation.terminal import console, exit_on_errors
from analysis.elsewhere.asked import Asked, is_results_file

if TYPE_CHECKING:
    from analysis.attempts import Failure
    from analysis.report.folder import ReportFolder

INCOMPLETE = 1  # exit code: a page that lacks a section

TableOption = partial(typer.Option, rich_help_panel="Tables of results from elsewhere")

app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


@app.command()
def main(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="run directories, or addresses such as s3://bucket/runs/NAME; or one table of results from elsewhere "
            "(.csv, .tsv, .parquet)"
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(help="folder or address for the page; default: report in the run directory, beside a table"),
    ] = None,
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="heading of the page; default: the run's own, else its name")
    ] = None,
    figures: Annotated[str | None, typer.Option(help="also write each figure as svg or png; needs kaleido")] = None,
    faces: Annotated[bool, typer.Option("--faces", help="show the photographs that confirm trials left")] = False,
    watch: Annotated[int | None, typer.Option(min=1, help="write it again every N seconds until the run ends")] = None,
    arm_column: Annotated[str | None, TableOption(help="names the arms; default: a column such as model")] = None,
    replicate_column: Annotated[str | None, TableOption(help="names repetitions; such as replicate or seed")] = None,
    seed_column: Annotated[str | None, TableOption(help="names runs within a replicate; they are averaged")] = None,
    score_column: Annotated[str | None, TableOption(help="holds the scores; such as test_accuracy")] = None,
    factor_columns: Annotated[
        list[str] | None, TableOption(help="holds levels of a factor; may be given again, or with commas")
    ] = None,
    reference: Annotated[str | None, TableOption(help="arm that the others are compared with")] = None,
    baseline: Annotated[str | None, TableOption(help="bare arm, if there is one")] = None,
    metric: Annotated[str | None, TableOption(help="what the scores are called; default: their column")] = None,
    unit: Annotated[str | None, TableOption(help="of the scores: share (0..1), percent or number")] = None,
    minimise: Annotated[bool | None, TableOption("--minimise/--maximise", help="whether less is better")] = None,
    paired: Annotated[
        bool | None,
        TableOption(
            "--paired/--unpaired",
            help="whether equal replicates of two arms are pairs; default: if all arms have the same",
        ),
    ] = None,
    equivalence: Annotated[
        float | None,
        TableOption(help="smallest difference that matters, in the scores' unit: smaller ones are practically equal"),
    ] = None,
) -> None:
    """Write each run's report: one self-contained page, and its tables as CSV, Markdown and LaTeX.

    Of a table of results that were got elsewhere, one row a run, the page is about effects alone: every other arm
    against the reference. Columns with obvious names are found by themselves; what was taken for what is printed.

    With several runs, a page that sets them side by side too; --out then gives each run a folder of its own name.
    Only files that a report wrote are replaced or removed. Exit code 2: a directory is no run, or the page cannot be
    put there; 1: the page is there and its path printed, but it lacks a section that could not be made, as it says.
    """
    try:
        with exit_on_errors():
            factors = tuple(name for listed in factor_columns or () for name in listed.split(","))
            asked = Asked(
                arm_column, replicate_column, seed_column, score_column, factors, reference, baseline, metric, unit,
                minimise, paired, equivalence,
            )  # fmt: skip
            is_table = any(map(is_results_file, runs))
            _check(runs, asked, title, is_table=is_table, is_of_runs=faces or watch is not None)
            if is_table:
                _report_table(runs[0], out, figures, asked, title)
            else:
                _report(runs, out, title, figures, faces, watch)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _check(runs: list[str], asked: Asked, title: str | None, *, is_table: bool, is_of_runs: bool) -> None:
    faults = title_faults(title)
    if title is not None and len(runs) > 1:
        faults.append(f"--title heads one page, but {len(runs)} runs are given; leave it out, or give one")
    if is_table and len(runs) > 1:
        faults.append(f"a table of results is reported alone, but {len(runs)} things are given; give one")
    if is_table and is_of_runs:
        faults.append("--faces and --watch are for runs; leave them out")
    if not is_table and (options := asked.options()):
        verb = "is" if len(options) == 1 else "are"
        faults.append(f"{', '.join(options)} {verb} for tables of results (.csv, .tsv, .parquet); leave out")
    if faults:
        raise FaultsError(faults)


def _report_table(file: str, out: str | None, figures: str | None, asked: Asked, title: str | None) -> None:
    from analysis.elsewhere.reading import read
    from analysis.elsewhere.results import understood
    from analysis.report import export
    from analysis.report.elsewhere.build import folder_of, render_table
    from analysis.report.rendering import write

    if figures is not None:
        export.check(figures)
    results, folder = replace(understood(read(file), asked), title=title), folder_of(file, out)
    for sentence in results.said:
        console().print(sentence)
    report = render_table(results)
    write(report, folder)
    if figures is not None:
        export.write(report.figures, folder, figures)
    console().print(str(folder.path / "index.html"))
    _end(report.failures)


def _end(failures: Sequence[Failure]) -> NoReturn:
    """Leave with the exit code that says whether the page is whole, and say what it lacks."""
    _say(failures)
    raise typer.Exit(INCOMPLETE if failures else 0)


def _say(failures: Sequence[Failure]) -> None:
    errors = console(stderr=True)
    for trace in dict.fromkeys(failure.traceback for failure in failures):
        errors.print(trace, end="")
    for failure in failures:
        errors.print(f"the page lacks {failure.name!r}: {failure.error}")


def _report(
    runs: list[str], out: str | None, title: str | None, figures: str | None, faces: bool, watch: int | None
) -> None:
    out_console, errors = console(), console(stderr=True)
    if errors.is_terminal:  # where somebody waits for it
        errors.print(f"reading {', '.join(runs)} …")
    from analysis.report.folder import report_folders

    positions = _places(runs)
    folders = report_folders(positions, out)
    if figures is not None:
        from analysis.report.export import check

        check(figures)
    has_page = False
    while True:
        try:
            written, is_whole, failures = _write(positions, folders, out, title, figures, faces, watch)
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
            if watch is None or is_whole:
                _end(failures)
            _say(failures)
        time.sleep(watch)


def _write(
    runs: list[RunDir],
    folders: list[ReportFolder],
    out: str | None,
    title: str | None,
    figures: str | None,
    faces: bool,
    watch: int | None,
) -> tuple[list[AnyPath], bool, list[Failure]]:
    from analysis.report import build, compare, export, rendering  # pandas is slow to import, --help does without

    reports = []
    for run, folder in zip(runs, folders, strict=True):
        report = build.render(run, refresh_s=watch, faces=faces, title=title, lies_in_run=folder.is_own)
        rendering.write(report, folder)
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
