"""Command: ``python -m ablation.predict RUN|CHECKPOINT FILE…`` with a study's best model, or with one checkpoint."""

from __future__ import annotations

import csv
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from ablation.best_trial import LostCheckpointWarning
from ablation.faults import FaultsError
from ablation.reuse import BestModel, BrokenInputsError, InputWarning, Prediction, load_best, load_checkpoint
from ablation.terminal import console, exit_on_errors, print_errors

BATCH = 1024
SUFFIX = ".safetensors"
BROKEN = 1  # exit code


def predict(
    run: Annotated[
        str, typer.Argument(metavar="RUN|CHECKPOINT", help="A run directory or one checkpoint; or address.")
    ],
    files: Annotated[
        list[str], typer.Argument(metavar="FILE|FOLDER|-", help="Pictures, folders of them, or - for a list on stdin.")
    ],
    arm: Annotated[str | None, typer.Option(help="The best of this arm; default: of all.")] = None,
    metric: Annotated[str | None, typer.Option(help="The best by this metric; default: the study's.")] = None,
    ensemble: Annotated[bool, typer.Option("--ensemble", help="The mean over the arm's replicates.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with where the model comes from.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV, a column for each class.")] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="Import code that the run names, if it is no shipped study.")
    ] = False,
) -> None:
    """Predict files with a study's best model, chosen by validation among its confirm trials.

    Exit code 0: all predicted; 1: some cannot be read, and are named; 2: bad input.
    """
    with exit_on_errors(FileNotFoundError, ValueError):
        if as_json and as_csv:
            raise FaultsError(["--json and --csv exclude each other; drop one"])
        if run.endswith(SUFFIX) and (arm or metric or ensemble):
            raise FaultsError([f"{run} is one checkpoint; --arm, --metric and --ensemble are for a run"])
        paths = list(_paths(files))
        with notes(LostCheckpointWarning):
            if run.endswith(SUFFIX):
                model = load_checkpoint(run, trust=trust)
            else:
                model = load_best(run, arm, metric, ensemble=ensemble, trust=trust)
        found = Predicted()
        write = _write_nothing if as_json else _write_csv if as_csv else _write_lines
        typer.echo(_whose(model), err=True)
        for start in range(0, len(paths), BATCH):
            with notes(InputWarning):
                predicted = found.take(model, paths[start : start + BATCH])
            write(predicted, is_first=not found.predictions)
            found.predictions += predicted
    if as_json:
        _write_json(model, found)
    print_errors(found.broken.values())
    raise typer.Exit(BROKEN if found.broken else 0)


@dataclass
class Predicted:
    """What has been predicted so far, and what is wrong with each file that cannot be."""

    predictions: list[Prediction] = field(default_factory=list)
    broken: dict[Path, str] = field(default_factory=dict)

    def take(self, model: BestModel, paths: Sequence[Path]) -> list[Prediction]:
        """Predict files; those that cannot be read are noted, and the rest goes on without them."""
        try:
            return model.predict(paths)
        except BrokenInputsError as error:
            self.broken |= {paths[index]: reason for index, reason in error.broken.items()}
            return model.predict([path for index, path in enumerate(paths) if index not in error.broken])


def _paths(files: Sequence[str]) -> Iterator[Path]:
    """Yield files as given, those in folders by name and without hidden ones, and those listed on stdin."""
    for given in files:
        if given == "-":
            yield from (Path(line) for line in sys.stdin.read().splitlines() if line)
        elif Path(given).is_dir():
            inside = sorted(path for path in Path(given).rglob("*") if path.is_file() and not path.name.startswith("."))
            if not inside:
                raise FaultsError([f"{given} has no files; give a folder with pictures"])
            yield from inside
        else:
            yield Path(given)


def _whose(model: BestModel) -> str:
    best = model.trials[0]
    score = f": validation {best.metric} {best.score:.3f}" if best.metric else ""
    return f"{best.trial_id}{score}" + (f", the best of {len(model.trials)} averaged" if len(model.trials) > 1 else "")


def _write_nothing(predictions: Sequence[Prediction], *, is_first: bool) -> None:
    """Keep for the end what is one document."""


def _write_lines(predictions: Sequence[Prediction], *, is_first: bool) -> None:
    for one in predictions:
        typer.echo(f"{one.path}\t{one.label}\t{one.probabilities[one.label]:.3f}")


def _write_csv(predictions: Sequence[Prediction], *, is_first: bool) -> None:
    table = csv.writer(sys.stdout, lineterminator="\n")
    if is_first and predictions:
        table.writerow(["path", "label", *predictions[0].probabilities])
    table.writerows([one.path, one.label, *one.probabilities.values()] for one in predictions)


def _write_json(model: BestModel, found: Predicted) -> None:
    predictions = [
        {"path": str(one.path), "label": one.label, "probabilities": one.probabilities} for one in found.predictions
    ]
    broken = [{"path": str(path), "reason": reason} for path, reason in found.broken.items()]
    typer.echo(json.dumps({"model": model.provenance, "predictions": predictions, "broken": broken}, indent=1))


@contextmanager
def notes(category: type[Warning]) -> Iterator[None]:
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
