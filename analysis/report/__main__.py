"""``python -m analysis.report RUN_DIR... [--out DIR]``: the report of one or more finished or unfinished studies."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ablation.faults import FaultsError

app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


@app.command()
def main(
    run_dirs: Annotated[list[Path], typer.Argument(help="run directories, as written by python -m ablation.run")],
    out: Annotated[Path | None, typer.Option(help="folder for the page; default: RUN_DIR/report")] = None,
    figures: Annotated[str | None, typer.Option(help="also write each figure as svg or png; needs kaleido")] = None,
    watch: Annotated[int | None, typer.Option(min=1, help="write it anew every N seconds until the run ends")] = None,
) -> None:
    """Write each run's report: one self-contained page, and its tables as CSV, Markdown and LaTeX.

    With several runs, a page that sets them side by side too; --out then gives each run a folder of its own name.
    Exit code 2: a directory is no run.
    """
    console, errors = Console(soft_wrap=True, highlight=False), Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        folders = _folders(run_dirs, out)
        if figures is not None:
            from analysis.report.export import check

            check(figures)
        while True:
            written, is_whole = _write(run_dirs, folders, out, figures, watch)
            for path in written:
                console.print(str(path), markup=False)
            if watch is None or is_whole:
                return
            time.sleep(watch)
    except FaultsError as error:
        errors.print(str(error), markup=False)
        raise typer.Exit(2) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _write(
    run_dirs: list[Path], folders: list[Path], out: Path | None, figures: str | None, watch: int | None
) -> tuple[list[Path], bool]:
    from analysis.report import build, compare, export  # pandas is slow to import, and --help does without

    reports = []
    for run, folder in zip(run_dirs, folders, strict=True):
        report = build.render(run, refresh_s=watch)
        build.write(report, folder)
        if figures is not None:
            export.write(report.figures, folder / "figures", figures)
        reports.append(report)
    written = [folder / "index.html" for folder in folders]
    if len(reports) > 1:
        together = out if out is not None else run_dirs[0].resolve().parent / "comparison"
        written.append(compare.write(reports, folders, together))
    return written, all(report.is_whole for report in reports)


def _folders(run_dirs: list[Path], out: Path | None) -> list[Path]:
    if out is None:
        return [run / "report" for run in run_dirs]
    if len(run_dirs) == 1:
        return [out]
    names = [run.resolve().name for run in run_dirs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FaultsError([f"--out would write {name!r} twice; report these runs one at a time" for name in twice])
    return [out / name for name in names]


if __name__ == "__main__":
    app()
