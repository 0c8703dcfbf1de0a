"""Command: ``python -m ablation.predict RUN_DIR IMAGE...`` on the best confirm trial's checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ablation.reuse import InputWarning, LostCheckpointWarning, best_available, load_model
from ablation.terminal import console, exit_on_errors


def predict(
    run: Annotated[str, typer.Argument(help="A run directory, or its address.")],
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    trust: Annotated[
        bool, typer.Option("--trust", help="Import code that the run names, if it is no shipped study.")
    ] = False,
) -> None:
    """Predict images with a study's best model, chosen by validation among its confirm trials."""
    with exit_on_errors(FileNotFoundError, ValueError):
        with _notes(LostCheckpointWarning):
            best = best_available(run)
        model = load_model(run, best, trust=trust)
        with _notes(InputWarning):
            predictions = model.predict(images)
    typer.echo(f"{best.trial_id}: validation {best.metric} {best.score:.3f}", err=True)
    for prediction in predictions:
        typer.echo(f"{prediction.path}\t{prediction.label}\t{prediction.probabilities[prediction.label]:.3f}")


@contextmanager
def _notes(category: type[Warning]) -> Iterator[None]:
    """Say warnings of a category on stderr as notes, when the block ends."""
    with warnings.catch_warnings(record=True) as reported:
        warnings.simplefilter("always", category)
        try:
            yield
        finally:
            for warning in reported:
                if issubclass(warning.category, category):
                    console(stderr=True).print(f"note: {warning.message}")
                else:
                    warnings.showwarning(warning.message, warning.category, warning.filename, warning.lineno)


if __name__ == "__main__":
    typer.run(predict)
