"""Backbones: images in, last feature map out; their parameters' first values, drawn or loaded.

Nothing here advances the global random generator: modules get their values from ``initialise``, whose generator the
caller names. ``weights`` then replaces them, and says how much of the backbone it
matched: a checkpoint loaded with ``strict=False`` that silently matches nothing is this field's classic bug.

Shapes: B images, C channels of the last feature map, H×W pixels or positions.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from ablation.arrays import Float
from ablation.faults import FaultsError, nearest

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.", "encoder_q.", "resnet.")
LEAST_SHARE = 0.9


class Backbone(nn.Sequential):
    """Layers by name; maps images_B3HW to the last feature map, maps_BCHW.

    Attributes:
        channels: C, which is the embedding's D after pooling.
    """

    def __init__(self, layers: Mapping[str, nn.Module], channels: int) -> None:
        super().__init__(OrderedDict(layers))
        self.channels = channels


class ResidualBlock(nn.Module):
    """Add two 3×3 convolutions to their input (He et al., CVPR 2016, fig. 2), projected if its shape changes."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.stride = stride
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            projection = nn.Conv2d(channels_in, channels_out, 1, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(channels_out))

    def forward(self, maps_BCHW: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C_out H_out W_out"]:
        """Map B×channels_in×H×W to B×channels_out×⌈H/stride⌉×⌈W/stride⌉."""
        inner = self.norm1(self.conv1(maps_BCHW)).relu_()
        # Pooling one position takes every stride-th, as a projection with that stride would: oneDNN's backward of a
        # strided 1×1 convolution of few channels writes past its workspace on AVX2 (uxlfoundation/oneDNN#6035).
        kept = functional.avg_pool2d(maps_BCHW, 1, self.stride) if self.stride != 1 else maps_BCHW
        outer: Tensor = self.norm2(self.conv2(inner)) + self.shortcut(kept)
        return outer.relu_()


def small(width: int) -> Backbone:
    """Build the network for CPUs: a pooled stem and two residual blocks, of width, 2 and 4 × width channels.

    At 48 px the maps are 24, 12, 6 and 3 pixels wide. Pooling stands before normalisation, where it quarters the work
    of both; docs/experiments.md has the designs that were tried.
    """
    stem = nn.Sequential(
        nn.Conv2d(3, width, 4, stride=2, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )
    layers = {
        "stem": stem,
        "stage1": ResidualBlock(width, 2 * width, stride=2),
        "stage2": ResidualBlock(2 * width, 4 * width, stride=2),
    }
    return Backbone(layers, channels=4 * width)


def resnet18(width: int) -> Backbone:
    """Build torchvision's ResNet-18 without pooling and head, under its own parameter names; width is not used."""
    return _torchvision_resnet("resnet18")


def resnet50(width: int) -> Backbone:
    """Build torchvision's ResNet-50 without pooling and head, under its own parameter names; width is not used."""
    return _torchvision_resnet("resnet50")


BACKBONES: Mapping[str, Callable[[int], Backbone]] = {"small": small, "resnet18": resnet18, "resnet50": resnet50}


class Match(NamedTuple):
    """How much of a backbone a checkpoint filled.

    Attributes:
        matched, total: tensors of the backbone, ``num_batches_tracked`` not counted, since old files
            lack it and nothing here uses it.
        unmatched: what did not match, spelt for people.
    """

    matched: int
    total: int
    unmatched: tuple[str, ...]

    @property
    def share(self) -> float:
        """Return matched / total, in [0, 1]."""
        return self.matched / self.total


def build_backbone(name: str, *, width: int, weights: str, generator: torch.Generator) -> Backbone:
    """Build a backbone on the CPU, draw its values, and load ``weights`` over them.

    Args:
        name: a name in ``BACKBONES``.
        width: channels of the small backbone's first stage, >= 1.
        weights: "none", "imagenet" (resnets only) or the path of a checkpoint, see ``load_weights``.
        generator: source of the drawn values; advanced alike whatever the weights.

    Prints the share of matched tensors where weights are loaded.
    Raises: FaultsError if the name is unknown or the weights cannot be had or match less than 90 %.
    """
    if name not in BACKBONES:
        raise FaultsError([f"model.backbone is {name!r}; {nearest(name, BACKBONES)}"])
    # Layers draw default values when they are made, which are thrown away: from a copy of the global generator. (Making
    # them on the meta device draws nothing, but imports sympy: seconds of start-up in every worker.)
    with torch.random.fork_rng(devices=[]):
        backbone = BACKBONES[name](width)
    initialise(backbone, generator)
    if weights != "none":
        state = _imagenet_state(name) if weights == "imagenet" else read_state(Path(weights))
        match = load_weights(backbone, state, source=f"model.weights {weights!r}")
        print(f"{weights}: {match.matched} of {match.total} tensors of {name} matched ({match.share:.0%})")
    return backbone


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Give every parameter and buffer inside ``module`` its first value, in the order of its layers.

    Convolutions: normal with variance 2/fan_out (He et al., ICCV 2015). Linear layers: normal with variance
    1/(3·fan_in), which is that of torch's own default, and zero bias. Batch normalisation: the identity.

    Raises: TypeError for a layer of another kind that has values of its own, rather than leave it as it is.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=1 / math.sqrt(3 * layer.in_features), generator=generator)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
        elif any(True for _ in _own_tensors(layer)):
            raise TypeError(f"initialise knows no first values for {type(layer).__name__}; add its rule here")


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a checkpoint's tensors by name, unwrapped, without running code from it.

    Reads ``.safetensors``, and what torch.save wrote with ``weights_only=True``: a state dict, also inside dicts under
    ``state_dict``, ``model_state_dict``, ``model``, ``net`` or ``network``.

    Raises: FaultsError if there is no such file, or no tensors can be read from it safely.
    """
    if not path.is_file():
        raise FaultsError([f"model.weights is {str(path)!r}, but must be none, imagenet or an existing file"])
    try:
        content: object
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    # Files that are no checkpoints make the two readers raise a dozen unrelated types.
    except Exception as error:
        remedy = "save its state_dict() alone, with torch.save or as .safetensors"
        raise FaultsError(
            [f"model.weights {str(path)!r} cannot be read as plain tensors; {remedy} ({error})"]
        ) from error
    while isinstance(content, Mapping) and (inner := [content[key] for key in WRAPPERS if _is_mapping(content, key)]):
        content = inner[0]
    if not isinstance(content, Mapping):
        raise FaultsError([f"model.weights {str(path)!r} holds a {type(content).__name__}, but must hold a state dict"])
    return {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}


def load_weights(backbone: nn.Module, state: Mapping[str, Tensor], *, source: str) -> Match:
    """Copy into the backbone what the state holds for it; ``source`` names the state in messages.

    Names match as they are, else with any of ``PREFIXES`` stripped, repeatedly. What the backbone has no name for, such
    as another task's head, is ignored; a tensor of another shape does not match and is not loaded.

    Raises: FaultsError listing all that did not match if that leaves less than 90 %; the backbone is then unchanged.
    """
    targets = backbone.state_dict()
    found: dict[str, Tensor] = {}
    for name in sorted(state, key=lambda name: name not in targets):
        found.setdefault(_stripped(name, targets), state[name])
    counted = [name for name in targets if not name.endswith("num_batches_tracked")]
    fitting = {name: found[name] for name in targets if name in found and found[name].shape == targets[name].shape}
    missing = [name for name in counted if name not in fitting]
    match = Match(len(counted) - len(missing), len(counted), tuple(_format(name, targets, found) for name in missing))
    if match.share < LEAST_SHARE:
        rule = f"must match at least {LEAST_SHARE:.0%} of the backbone's tensors; is it for this model.backbone?"
        strangers = ", ".join(list(state)[:3]) or "no tensor at all"
        reported = f"{source} matches {match.matched} of {match.total}, but {rule} It holds {strangers} …"
        raise FaultsError([reported, *match.unmatched])
    backbone.load_state_dict(fitting, strict=False)
    return match


def _torchvision_resnet(name: str) -> Backbone:
    # Imported here: torchvision costs each worker a second that the small backbone does without.
    from torchvision import models

    resnet = models.get_model(name, weights=None)
    layers = {layer: module for layer, module in resnet.named_children() if layer not in ("avgpool", "fc")}
    return Backbone(layers, channels=resnet.fc.in_features)


def _imagenet_state(name: str) -> Mapping[str, Tensor]:
    if name == "small":
        raise FaultsError(
            ["model.weights is 'imagenet', but model.backbone 'small' has none; use resnet18 or resnet50"]
        )
    from torchvision import models

    chosen = models.get_model_weights(name)["IMAGENET1K_V1"]
    try:
        state: Mapping[str, Tensor] = chosen.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        where = Path(torch.hub.get_dir()) / "checkpoints"
        reported = f"model.weights is 'imagenet', but {chosen.url} cannot be downloaded ({error})"
        raise FaultsError([f"{reported}; put the file into {where} or give its path"]) from error
    return state


def _stripped(name: str, targets: Mapping[str, Tensor]) -> str:
    while name not in targets and (prefix := next((p for p in PREFIXES if name.startswith(p)), "")):
        name = name.removeprefix(prefix)
    return name


def _format(name: str, targets: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    if name not in found:
        return f"{name} is missing"
    return f"{name} has shape {tuple(found[name].shape)}, but must have {tuple(targets[name].shape)}"


def _is_mapping(content: Mapping[object, object], key: str) -> bool:
    return isinstance(content.get(key), Mapping)


def _own_tensors(layer: nn.Module) -> Iterator[Tensor]:
    yield from layer.parameters(recurse=False)
    yield from layer.buffers(recurse=False)
