"""Does a study's best model predict RAF-DB's test photographs as its row claims, wherever it is used?

Asked are ``ablation predict`` (a list on stdin, as CSV), ``load_best``, and the exported ONNX file in onnxruntime with
pictures read by the model card's own lines. Labels come from RAF-DB's list, which is read here a second time.

Prints JSON. Run: ``python -m benchmarks.reuse_accuracy RUN RAFDB_DIR``, with the extra ``onnx``.
"""

from __future__ import annotations

import csv
import io
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ablation.export import export
from ablation.reuse import BestModel, load_best

CLASSES = ("Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral")
LIST = "EmoLabel/list_patition_label.txt"  # with RAF-DB's own misprint
BATCH = 256


def main(
    run: Annotated[Path, typer.Argument(help="A run of tcl on RAF-DB.")],
    data: Annotated[Path, typer.Argument(help="RAF-DB's folder basic.")],
) -> None:
    """Predict all test photographs in three ways, and compare their accuracy with the row's."""
    lines = (line.split() for line in (data / LIST).read_text().splitlines())
    labels = {name: CLASSES[int(number) - 1] for name, number in lines if name.startswith("test_")}
    files = [data / "Image" / "aligned" / name.replace(".jpg", "_aligned.jpg") for name in labels]
    model = load_best(run)
    ways: dict[str, Callable[[], Sequence[str]]] = {
        "command": lambda: _by_command(run, files),
        "python": lambda: [one.label for one in model.predict(files)],
        "onnx": lambda: _by_onnx(run, model, files),
    }
    predicted = {name: way() for name, way in ways.items()}
    truth = list(labels.values())
    found = {
        "benchmark": "reuse_accuracy",
        "trial_id": model.trials[0].trial_id,
        "photographs": len(files),
        "row": model.scores["test_accuracy"],
        **{name: float(np.mean(np.array(labels) == truth)) for name, labels in predicted.items()},
        "predicted_alike": sum(len(set(each)) == 1 for each in zip(*predicted.values(), strict=True)),
        "python_version": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "onnxruntime")},
        "machine": platform.machine(),
    }
    print(json.dumps(found, indent=1))


def _by_command(run: Path, files: Sequence[Path]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "ablation.predict", str(run), "-", "--csv"],
        input="\n".join(map(str, files)), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [row["label"] for row in csv.DictReader(io.StringIO(done.stdout))]


def _by_onnx(run: Path, model: BestModel, files: Sequence[Path]) -> list[str]:
    onnxruntime: Any = import_module("onnxruntime")
    predictor: Any = model.predictors[0]
    exportable = predictor.exportable([predictor])
    with tempfile.TemporaryDirectory(prefix="ablation-reuse-") as folder:
        export(run, Path(folder), ["onnx"])
        session = onnxruntime.InferenceSession(Path(folder) / "model.onnx", providers=["CPUExecutionProvider"])
    found: list[str] = []
    for start in range(0, len(files), BATCH):
        names: dict[str, Any] = {"files": files[start : start + BATCH]}
        exec("\n".join((*exportable.imports, *exportable.read_inputs)), names)
        probabilities = session.run(None, {"inputs": names["inputs"]})[0]
        found += [exportable.class_names[index] for index in probabilities.argmax(1)]
    return found


if __name__ == "__main__":
    typer.run(main)
