"""Command: ``python -m ablation.predict RUN_DIR IMAGE...`` on the best confirm trial's checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablation.console import console, error_line
from ablation.faults import FaultsError
from ablation.reuse import best_trial, load_best


def predict(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
) -> None:
    """Predict images with a study's best model, chosen by validation among its confirm trials."""
    try:
        best = best_trial(run)
        predictions = load_best(run).predict(images)
    except (FaultsError, FileNotFoundError, ValueError) as error:
        console(stderr=True).print(error_line(str(error)))
        raise typer.Exit(2) from error
    typer.echo(f"{best.trial_id}: validation {best.metric} {best.score:.3f}", err=True)
    for prediction in predictions:
        typer.echo(f"{prediction.path}\t{prediction.label}\t{prediction.probabilities[prediction.label]:.3f}")


if __name__ == "__main__":
    typer.run(predict)
