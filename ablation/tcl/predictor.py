"""From a checkpoint of the model under study to predictions, embeddings and attention for pictures.

Shapes: N pictures, S their side in pixels, K classes, D embedding dimensions, H×W the last feature map.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from ablation.arrays import Float, UInt8
from ablation.checkpoint import Checkpoint, without_prefix
from ablation.exportable import Exportable
from ablation.reuse import BrokenInputsError, InputWarning, Prediction
from ablation.tcl.backbones import build_backbone
from ablation.tcl.config import TclConfig
from ablation.tcl.data.named_warnings import about, kept_warnings
from ablation.tcl.data.photographs import decode, fit
from ablation.tcl.evaluate import Outputs, outputs
from ablation.tcl.exporting import exportable
from ablation.tcl.initial import start_backbone
from ablation.tcl.network import network_of

Picture = Path | npt.NDArray[np.generic]


class ExpressionPredictor:
    """Name the facial expression in photographs of aligned faces.

    A picture is a file of any size and mode, or an array: (H, W, 3) or (H, W, 4) of uint8, or (H, W) of any type that
    Pillow knows. Both are turned, coloured and scaled as training data are.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        config = TclConfig.model_validate(checkpoint.about["config"])
        self.class_names = tuple(checkpoint.about["class_names"])
        if not self.class_names or not all(isinstance(name, str) for name in self.class_names):
            raise ValueError("class_names are not all names")
        self.config, self.size_px = config, config.data.size_px
        self.network = network_of(config.model, len(self.class_names), without_prefix("network", checkpoint.tensors))

    @classmethod
    def start(cls, config: TclConfig, checkpoint: Checkpoint) -> str:
        """Say how much of a configured network a checkpoint fills; raises FaultsError if that is under 90 %."""
        generator = torch.Generator().manual_seed(0)
        backbone = build_backbone(config.model.backbone, width=config.model.width, weights="none", generator=generator)
        return start_backbone(backbone, config.model, checkpoint)

    @classmethod
    def exportable(cls, predictors: Sequence[ExpressionPredictor]) -> Exportable:
        """Put models, the best first, into one plain module; raises ValueError if their pictures differ in size."""
        sizes = {one.size_px for one in predictors}
        if len(sizes) > 1:
            raise ValueError(f"the models take pictures of {sorted(sizes)} px, and one module takes one size")
        members = [(one.network, one.config.model) for one in predictors]
        return exportable(members, predictors[0].class_names, predictors[0].size_px)

    def predict(self, pictures: Sequence[Picture]) -> list[Prediction]:
        """Predict each picture; raises BrokenInputsError naming every one that is none.

        Warns with InputWarning of what was done to pictures beside a change of size, and of files that are damaged.
        """
        probabilities_NK = self._outputs(pictures).logits_NK.softmax(1)
        return [
            Prediction(picture if isinstance(picture, Path) else None, dict(zip(self.class_names, row, strict=True)))
            for picture, row in zip(pictures, probabilities_NK.tolist(), strict=True)
        ]

    def embed(self, pictures: Sequence[Picture]) -> Float[npt.NDArray[np.float32], "N D"]:
        """Return the embedding, which the head classifies; raises and warns as ``predict``."""
        return np.asarray(self._outputs(pictures).features_ND.numpy())

    def attention(self, pictures: Sequence[Picture]) -> Float[npt.NDArray[np.float32], "N H W"]:
        """Return pixel attention, >= 0 with sum 1 over positions; raises and warns as ``predict``.

        Raises ValueError if the arm has no pixel attention.
        """
        maps_NHW = self._outputs(pictures).pixel_map_NHW
        if maps_NHW is None:
            kind = self.config.model.attention
            raise ValueError(f"model.attention is {kind!r}, which has no map; load an arm with 'pixel' or 'selective'")
        return np.asarray(maps_NHW.numpy())

    def _outputs(self, pictures: Sequence[Picture]) -> Outputs:
        exact = torch.autocast("cpu", enabled=False)
        return outputs(self.network, torch.from_numpy(self.decoded(pictures)), exact)

    def decoded(self, pictures: Sequence[Picture]) -> UInt8[npt.NDArray[np.uint8], "N S S 3"]:
        """Return pictures as training data are decoded; raises and warns as ``predict``."""
        images, broken, remarks = [], dict[int, str](), Counter[str]()
        with kept_warnings() as warned:
            for index, picture in enumerate(pictures):
                try:
                    with about(picture if isinstance(picture, Path) else f"array {index}"):
                        images.append(_decoded(picture, self.size_px, remarks))
                except OSError as error:
                    broken[index] = f"{picture} cannot be read as an image ({error}); give a JPEG or PNG file"
                except (TypeError, ValueError) as error:
                    broken[index] = f"array {index} is no picture ({error}); give uint8 (H, W, 3) or grey (H, W)"
        if broken:
            raise BrokenInputsError(broken)
        reported = [
            f"{count} of {len(pictures)} pictures {remark}" for remark, count in sorted(remarks.items()) if count
        ]
        for remark in (*warned, *reported):
            warnings.warn(remark, InputWarning, stacklevel=4)
        return np.stack(images)


def _decoded(picture: Picture, size_px: int, remarks: Counter[str]) -> UInt8[npt.NDArray[np.uint8], "S S 3"]:
    if isinstance(picture, Path):
        return decode(picture, size_px, remarks)
    array = np.asarray(picture)
    if array.ndim == 3 and array.dtype != np.uint8:
        raise TypeError(f"its type is {array.dtype} and its shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"its shape is {array.shape}")
    return fit(Image.fromarray(array), size_px, remarks)
