"""From a checkpoint of the model under study to predictions for image files."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ablation.arrays import UInt8
from ablation.checkpoint import Checkpoint, without_prefix
from ablation.faults import FaultsError
from ablation.reuse import InputWarning, Prediction
from ablation.tcl.config import TclConfig
from ablation.tcl.data.named_warnings import about, kept_warnings
from ablation.tcl.data.photographs import decode
from ablation.tcl.evaluate import outputs
from ablation.tcl.network import build_network


class ExpressionPredictor:
    """Name the facial expression in photographs of aligned faces."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        config = TclConfig.model_validate(checkpoint.about["config"])
        self.class_names = tuple(checkpoint.about["class_names"])
        self.size_px = config.data.size_px
        # The weights come from the checkpoint, whatever the trial started from.
        model = config.model.model_copy(update={"weights": "none"})
        self.network = build_network(model, len(self.class_names), torch.Generator().manual_seed(0))
        self.network.load_state_dict(without_prefix("network", checkpoint.tensors))
        self.network.to(memory_format=torch.channels_last).eval()

    def predict(self, paths: Sequence[Path]) -> list[Prediction]:
        """Predict each image file; raises FaultsError naming every file that is no image.

        Warns with InputWarning of what was done to pictures beside a change of size, and of files that are damaged.
        """
        images = self._decoded(paths)
        exact = torch.autocast("cpu", enabled=False)
        logits_NK = outputs(self.network, torch.from_numpy(np.stack(images)), exact).logits_NK
        probabilities_NK = logits_NK.softmax(1)
        return [
            Prediction(path=path, probabilities=dict(zip(self.class_names, row, strict=True)))
            for path, row in zip(paths, probabilities_NK.tolist(), strict=True)
        ]

    def _decoded(self, paths: Sequence[Path]) -> list[UInt8[npt.NDArray[np.uint8], "S S 3"]]:
        images, faults, remarks = [], [], Counter[str]()
        with kept_warnings() as warned:
            for path in paths:
                try:
                    with about(path):
                        images.append(decode(path, self.size_px, remarks))
                except OSError as error:
                    faults.append(f"{path} cannot be read as an image ({error}); give a JPEG or PNG file")
        reported = [f"{count} of {len(paths)} pictures {remark}" for remark, count in sorted(remarks.items()) if count]
        for remark in (*warned, *reported):
            warnings.warn(remark, InputWarning, stacklevel=3)
        if faults:
            raise FaultsError(faults)
        return images
