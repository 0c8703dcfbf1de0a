"""Score a network on a whole split.

Shapes: N images of the split, K classes, D embedding dimensions, H×W the last feature map.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ablation.arrays import Float, Int, UInt8
from ablation.tcl.data.batches import normalise
from ablation.tcl.network import Network

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Outputs:
    """What a network says of every image of a split, on the CPU in float32."""

    logits_NK: Float[Tensor, "N K"]
    features_ND: Float[Tensor, "N D"]
    pixel_map_NHW: Float[Tensor, "N H W"] | None


@torch.no_grad()
def outputs(network: Network, images_NHWC: UInt8[Tensor, "N H W C"], autocast: torch.autocast) -> Outputs:
    """Run the network in evaluation mode over all images, in order; the mode it was in is restored."""
    was_training = network.training
    network.eval()
    parts = []
    for images_BHWC in torch.split(images_NHWC, EVALUATION_BATCH):
        with autocast:
            parts.append(network(normalise(images_BHWC)))
    network.train(was_training)
    maps = [part.pixel_map_BHW for part in parts if part.pixel_map_BHW is not None]
    return Outputs(
        logits_NK=torch.cat([part.logits_BK for part in parts]).float().cpu(),
        features_ND=torch.cat([part.features_BD for part in parts]).float().cpu(),
        pixel_map_NHW=torch.cat(maps).float().cpu() if maps else None,
    )


def scores(logits_NK: Float[Tensor, "N K"], labels_N: Int[Tensor, " N"]) -> dict[str, float]:
    """Return loss (nats), accuracy and macro recall, the mean over classes present, all over the whole split."""
    confusion_KK = confusion(logits_NK.argmax(1), labels_N, logits_NK.shape[1])
    per_class = confusion_KK.sum(1)
    recall = confusion_KK.diagonal()[per_class > 0] / per_class[per_class > 0]
    return {
        "loss": functional.cross_entropy(logits_NK, labels_N).item(),
        "accuracy": (confusion_KK.diagonal().sum() / confusion_KK.sum()).item(),
        "macro_recall": recall.mean().item(),
    }


def confusion(predicted_N: Int[Tensor, " N"], labels_N: Int[Tensor, " N"], num_classes: int) -> Float[Tensor, "K K"]:
    """Count images by class (rows) and prediction (columns), as float64."""
    cells = labels_N * num_classes + predicted_N
    return torch.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes).double()
