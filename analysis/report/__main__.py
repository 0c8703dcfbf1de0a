"""``python -m analysis.report RUN_DIR... [--out DIR]``: the report of one or more finished or unfinished studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ablation.faults import FaultsError

app = typer.Typer(add_completion=False)


@app.command()
def main(
    run_dirs: Annotated[list[Path], typer.Argument(help="run directories, as written by python -m ablation.run")],
    out: Annotated[Path | None, typer.Option(help="folder for the page; default: RUN_DIR/report")] = None,
) -> None:
    """Write each run's report: one self-contained page, and its tables as CSV.

    With --out and several runs, each run gets a folder of its own name there. Exit code 2: a directory is no run.
    """
    from analysis.report.build import build  # pandas and plotly are slow to import, and --help needs neither

    console, errors = Console(soft_wrap=True, highlight=False), Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        for run, folder in zip(run_dirs, _folders(run_dirs, out), strict=True):
            console.print(str(build(run, folder)), markup=False)
    except FaultsError as error:
        errors.print(str(error), markup=False)
        raise typer.Exit(2) from error


def _folders(run_dirs: list[Path], out: Path | None) -> list[Path | None]:
    if out is None or len(run_dirs) == 1:
        return [out] * len(run_dirs)
    names = [run.resolve().name for run in run_dirs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FaultsError([f"--out would write {name!r} twice; report these runs one at a time" for name in twice])
    return [out / name for name in names]


if __name__ == "__main__":
    app()
