"""Command: ``python -m ablation.export RUN --out DIR`` writes a study's best model for use without this project."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ablation.best import facts
from ablation.best_trial import LostCheckpointWarning
from ablation.exportable import Exportable
from ablation.faults import FaultsError, nearest
from ablation.model_card import hyperparameters, model_card
from ablation.predict import notes
from ablation.reuse import BestModel, InputWarning, load_best
from ablation.run_dir import RunLocation, run_dir
from ablation.terminal import console, exit_on_errors

FORMATS = ("safetensors", "torch-export", "onnx")
TOLERANCE = 1e-4
VERIFIED_INPUTS = 64


def export(
    run: RunLocation,
    out: Path,
    formats: Sequence[str] = ("safetensors",),
    arm: str | None = None,
    *,
    ensemble: bool = False,
    trust: bool = False,
    command: str = "ablation.export.export(…)",
) -> list[str]:
    """Write the best model as a folder that model hubs take, verified, and return what was verified.

    The folder has weights (safetensors), config.json, model.py, hyperparameters.yaml and README.md, a model card; with
    the formats ``torch-export`` and ``onnx`` also model.pt2 and model.onnx. It is there once all formats have given the
    original's probabilities to 1e-4, on random and, if this machine has the study's data, on test inputs. Raises
    FaultsError for bad input, and if a format gives others; and as ``load_best``.
    """
    faults = [f"--format is {name!r}; {nearest(name, FORMATS)}" for name in formats if name not in FORMATS]
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        faults.append(f"--out is {str(out)!r}, but must be a new or empty folder; give another")
    if faults:
        raise FaultsError(faults)
    where = run_dir(run)
    model = load_best(where, arm, ensemble=ensemble, trust=trust)
    exported = _exportable(model)
    chosen = tuple(dict.fromkeys(("safetensors", *formats)))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=out.parent) as scratch:
        folder = Path(scratch) / "export"
        folder.mkdir()
        verified = _write(model, exported, chosen, folder)
        about = facts(where, model.trials[0].arm)
        card = model_card(model, exported, about, where.findings(), verified, chosen, command)
        (folder / "README.md").write_text(card, encoding="utf-8")
        (folder / "hyperparameters.yaml").write_text(hyperparameters(model), encoding="utf-8")
        shutil.copytree(folder, out, dirs_exist_ok=True)
    return verified


def _exportable(model: BestModel) -> Exportable:
    kind = type(model.predictors[0])
    hook: Any = getattr(kind, "exportable", None)
    if hook is None:
        rule = "a class method exportable(predictors) that returns an ablation.exportable.Exportable"
        raise FaultsError([f"{kind.__name__} cannot be exported: it needs {rule}"])
    exported: Exportable = hook(model.predictors)
    return exported


def _write(model: BestModel, exported: Exportable, formats: Sequence[str], folder: Path) -> list[str]:
    """Write all formats and compare each with the original; raises FaultsError if one gives something else."""
    from ablation.export_formats import RUNNERS, WRITERS, write_safetensors

    write_safetensors(exported, folder)
    for name in formats:
        if name in WRITERS:
            WRITERS[name](exported, folder)
    verified, faults = [], []
    for kind, inputs in _inputs(model, exported):
        if isinstance(inputs, str):
            verified.append(f"{kind}: not compared, since {inputs}")
            continue
        original = _probabilities(model, inputs)
        for name in formats:
            found = RUNNERS[name](folder, inputs)[0]
            difference = float(abs(found - original).max())
            said = f"{name}, {len(inputs)} {kind} inputs: probabilities differ by {difference:.1e} at most"
            verified.append(f"{said} (allowed: {TOLERANCE:.0e})")
            if not difference <= TOLERANCE:
                faults.append(f"{said} from the original's, but may by {TOLERANCE:.0e}; nothing was exported")
    if faults:
        raise FaultsError(faults)
    return verified


def _inputs(model: BestModel, exported: Exportable) -> list[tuple[str, Any]]:
    """Return inputs to compare on, or why there are none, by kind."""
    real: Any = f"{type(model.predictors[0]).__name__} gives none (Exportable.real_inputs)"
    if exported.real_inputs is not None:
        try:
            real = exported.real_inputs(model.provenance["data"] or {}, VERIFIED_INPUTS)
        except (FaultsError, OSError) as error:
            real = f"the study's data cannot be had here ({' '.join(str(error).split())})"
    return [("random", exported.random_inputs(VERIFIED_INPUTS, 0)), ("test", real)]


def _probabilities(model: BestModel, inputs: Any) -> Any:
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return np.array([list(one.probabilities.values()) for one in model.predict(list(inputs))])


def main(
    run: Annotated[str, typer.Argument(help="A run directory, or its address.")],
    out: Annotated[Path, typer.Option(help="A new folder for the export.")],
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="safetensors, torch-export or onnx; repeatable.")
    ] = None,
    arm: Annotated[str | None, typer.Option(help="The best of this arm; default: of all.")] = None,
    ensemble: Annotated[bool, typer.Option("--ensemble", help="The mean over the arm's replicates.")] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="Import code that the run names, if it is no shipped study.")
    ] = False,
) -> None:
    """Write a study's best model, with a model card, for use without this project; every format is verified."""
    with exit_on_errors(FileNotFoundError, ValueError, OSError), notes(LostCheckpointWarning):
        command = shlex.join(["ablation", "export", *sys.argv[1:]])
        verified = export(run, out, formats or ("safetensors",), arm, ensemble=ensemble, trust=trust, command=command)
    for line in (*verified, f"exported: {out}"):
        console().print(line)


if __name__ == "__main__":
    typer.run(main)
