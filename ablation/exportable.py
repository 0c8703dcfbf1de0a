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


@dataclass(frozen=True)
class Exportable:
    """One or more models, of which the probabilities are averaged, as one torch module in evaluation mode.

    A predictor's class method ``exportable(predictors)`` returns it.

    Attributes:
        module: maps one batch to a tuple of tensors, the first of them class probabilities (N, K).
        output_names: a name for each of these tensors.
        source: text of a Python file that needs torch alone, whose ``load(folder)`` builds the module from
            ``config.json`` and ``model.safetensors``.
        config: what ``load`` reads, and preprocessing, as JSON.
        class_names: K names in the order of the probabilities.
        task: the model hubs' word, such as ``image-classification``.
        read_inputs: lines of Python that make ``inputs``, a numpy batch, of ``files``, with what ``imports`` imports.
        imports: lines that import what these need.
        random_inputs: a batch of so many inputs from a seed; the predictor takes its rows, the module the batch.
        real_inputs: so many of the study's test inputs, from its record of its data; raises FaultsError without them.
        licence: what is known of the data's licence, from the record of the data.
    """

    module: torch.nn.Module
    output_names: tuple[str, ...]
    source: str
    config: Mapping[str, Any]
    class_names: tuple[str, ...]
    task: str
    imports: Sequence[str]
    read_inputs: Sequence[str]
    random_inputs: Callable[[int, int], Batch]
    real_inputs: Callable[[Mapping[str, Any], int], Batch]
    licence: Callable[[Mapping[str, Any]], str]
