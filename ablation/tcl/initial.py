"""Start a network where an earlier study's best one ended: its backbone, and its head if the classes are the same."""

from __future__ import annotations

from torch import nn

from ablation import checkpoint
from ablation.checkpoint import Checkpoint, without_prefix
from ablation.faults import FaultsError
from ablation.store import located
from ablation.tcl import config
from ablation.tcl.backbones import load_weights
from ablation.tcl.network import Network


def start_network(network: Network, model: config.Model, address: str, class_names: tuple[str, ...]) -> None:
    """Load backbone and, for the same classes, head, and print how much that is; attention starts off, as always."""
    read = checkpoint.load(located(address))
    said = start_backbone(network.backbone, model, read)
    head = without_prefix("network.head", read.tensors)
    fits = {name: tensor.shape for name, tensor in head.items()} == {
        name: tensor.shape for name, tensor in network.head.state_dict().items()
    }
    if fits and tuple(read.about["class_names"]) == class_names:
        network.head.load_state_dict(head)
        said = f"{said}, and the head"
    print(f"weights start from {address}: {said}")


def start_backbone(backbone: nn.Module, model: config.Model, read: Checkpoint) -> str:
    """Load what a checkpoint has for a backbone, and say how much that is.

    Raises FaultsError if it is under 90 %, listing what does not match, or if ``model.weights`` names others.
    """
    if model.weights != "none":
        raise FaultsError([f"model.weights is {model.weights!r}, and --init-from names other weights; drop one"])
    state = without_prefix("network.backbone", read.tensors)
    match = load_weights(backbone, state, source="--init-from")
    return f"{match.matched} of {match.total} tensors of {model.backbone} matched ({match.share:.0%})"
