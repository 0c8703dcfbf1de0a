"""What a predictor gives to be exported: its model as plain torch, and how to try it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    Batch = npt.NDArray[np.generic]


UNKNOWN_LICENCE = (
    "What the data's licence allows to be done with a model that was trained on it is not known here; look it up."
)


@dataclass(frozen=True, kw_only=True)
class Exportable:
    """One or more models, of which the probabilities are averaged, as one torch module in evaluation mode.

    A predictor's class method ``exportable(predictors)`` returns it.

    Attributes:
        module: maps one batch to a tuple of tensors, the first of them class probabilities (N, K).
        source: text of a Python file that needs nothing of this project, whose ``load(folder)`` builds the module
            from ``config.json`` and ``model.safetensors``.
        config: what ``load`` reads, and preprocessing, as JSON.
        class_names: K names in the order of the probabilities.
        random_inputs: a batch of so many inputs from a seed; the predictor takes its rows, the module the batch.
        real_inputs: so many of the study's test inputs, from its record of its data; raises FaultsError without them.
        output_names: a name for each of the module's outputs.
        task: the model hubs' word, such as ``image-classification``.
        file_name: what an input's file may be called.
        imports: lines of Python that import what ``read_inputs`` needs.
        read_inputs: lines that make ``inputs``, a numpy batch, of ``files``.
        input_packages: what has to be installed for these lines.
        source_packages: what has to be installed for ``source`` beside torch and safetensors.
        licence: what is known of the data's licence, from the record of the data.
    """

    module: torch.nn.Module
    source: str
    config: Mapping[str, Any]
    class_names: tuple[str, ...]
    random_inputs: Callable[[int, int], Batch]
    real_inputs: Callable[[Mapping[str, Any], int], Batch] | None = None
    output_names: tuple[str, ...] = ("probabilities",)
    task: str = "other"
    file_name: str = "input.npy"
    imports: Sequence[str] = ("import numpy as np",)
    read_inputs: Sequence[str] = ("inputs = np.stack([np.load(file) for file in files]).astype(np.float32)",)
    input_packages: Sequence[str] = ("numpy",)
    source_packages: Sequence[str] = ()
    licence: Callable[[Mapping[str, Any]], str] = lambda data: UNKNOWN_LICENCE
