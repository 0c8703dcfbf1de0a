"""Write a model in a format that others read, and read it again without this project: what verification compares."""

from __future__ import annotations

import importlib
import importlib.util
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ablation.exportable import Exportable
from ablation.faults import FaultsError

WEIGHTS, CONFIG, SOURCE, PROGRAM, ONNX = "model.safetensors", "config.json", "model.py", "model.pt2", "model.onnx"
Outputs = tuple[npt.NDArray[np.generic], ...]


def write_safetensors(model: Exportable, folder: Path) -> None:
    """Write weights, configuration, and the Python file that makes a module of them."""
    from safetensors.torch import save_file

    state = {name: tensor.detach().contiguous() for name, tensor in model.module.state_dict().items()}
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(model.config, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / SOURCE).write_text(model.source, encoding="utf-8")


def write_program(model: Exportable, folder: Path) -> None:
    """Write the module as torch.export has it, for batches of any size."""
    inputs = torch.from_numpy(model.random_inputs(2, 0))
    program = torch.export.export(model.module, (inputs,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, folder / PROGRAM)


def write_onnx(model: Exportable, folder: Path) -> None:
    """Write the module for onnxruntime and others, for batches of any size; raises FaultsError without the extra."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise FaultsError(
            [f"--format onnx needs {', '.join(missing)}; install the extra: pip install 'ablation-studies[onnx]'"]
        )
    inputs = torch.from_numpy(model.random_inputs(2, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own parts, which nobody here can mend
        torch.onnx.export(
            model.module,
            (inputs,),
            folder / ONNX,
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=["inputs"],
            output_names=list(model.output_names),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )


@torch.no_grad()
def run_safetensors(folder: Path, inputs: npt.NDArray[np.generic]) -> Outputs:
    """Run what ``model.py`` makes of configuration and weights."""
    spec = importlib.util.spec_from_file_location("exported_model", folder / SOURCE)
    assert spec is not None and spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return _arrays(module.load(folder)(torch.from_numpy(inputs)))


@torch.no_grad()
def run_program(folder: Path, inputs: npt.NDArray[np.generic]) -> Outputs:
    """Run the exported program."""
    return _arrays(torch.export.load(folder / PROGRAM).module()(torch.from_numpy(inputs)))


def run_onnx(folder: Path, inputs: npt.NDArray[np.generic]) -> Outputs:
    """Run the ONNX file in onnxruntime."""
    onnxruntime: Any = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(folder / ONNX, providers=["CPUExecutionProvider"])
    return tuple(session.run(None, {"inputs": inputs}))


WRITERS: dict[str, Callable[[Exportable, Path], None]] = {"torch-export": write_program, "onnx": write_onnx}
RUNNERS: dict[str, Callable[[Path, npt.NDArray[np.generic]], Outputs]] = {
    "safetensors": run_safetensors,
    "torch-export": run_program,
    "onnx": run_onnx,
}


def _arrays(outputs: tuple[torch.Tensor, ...]) -> Outputs:
    return tuple(output.numpy() for output in outputs)
