"""A trained classifier of faces in plain PyTorch: ``load(folder)`` reads config.json and model.safetensors beside it.

Give it uint8 pictures (N, S, S, 3), RGB, upright, scaled to S = ``size_px``; it returns probabilities (N, K) and the
first member's embedding (N, D). Of several members the probabilities are averaged.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Add two 3×3 convolutions to their input, projected if its shape changes."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            projection = nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(channels_out))

    def forward(self, maps: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C', H/stride, W/stride)."""
        inner = self.norm1(self.conv1(maps)).relu()
        outer: Tensor = (self.norm2(self.conv2(inner)) + self.shortcut(maps)).relu()
        return outer


def small(width: int) -> tuple[nn.Sequential, int]:
    """Build the small backbone; returns it with its channels."""
    backbone = nn.Sequential()
    backbone.add_module(
        "stem",
        nn.Sequential(nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(width), nn.ReLU()),
    )
    backbone.add_module("stage1", ResidualBlock(width, 2 * width, 2))
    backbone.add_module("stage2", ResidualBlock(2 * width, 4 * width, 2))
    return backbone, 4 * width


def resnet(name: str) -> tuple[nn.Sequential, int]:
    """Build torchvision's network of that name without pooling and head; returns it with its channels."""
    from torchvision import models

    network = models.get_model(name, weights=None)
    backbone = nn.Sequential()
    for layer, module in network.named_children():
        if layer not in ("avgpool", "fc"):
            backbone.add_module(layer, module)
    return backbone, network.fc.in_features


class Pooling(nn.Module):
    """Average a feature map, by a learned map of weights if there is one."""

    def __init__(self, channels: int, has_pixel_attention: bool) -> None:
        super().__init__()
        self.pixel: nn.Module | None = None
        if has_pixel_attention:
            self.pixel = nn.ModuleDict({"to_logit": nn.Conv2d(channels, 1, 1, bias=False)})

    def forward(self, maps: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C)."""
        if self.pixel is None:
            return maps.mean((2, 3))
        weights: Tensor = self.pixel["to_logit"](maps).flatten(1).softmax(1)  # type: ignore[index]  # a ModuleDict
        return (maps.flatten(2) * weights[:, None]).sum(2)


class Member(nn.Module):
    """One trained network."""

    def __init__(self, backbone: str, width: int, attention: str, num_classes: int) -> None:
        super().__init__()
        self.backbone, channels = small(width) if backbone == "small" else resnet(backbone)
        self.pooling = Pooling(channels, attention in ("pixel", "selective"))
        self.head = nn.Linear(channels, num_classes)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map normalised pixels (N, 3, S, S) to probabilities (N, K) and embedding (N, D)."""
        features = self.pooling(self.backbone(pixels))
        probabilities: Tensor = self.head(features).softmax(1)
        return probabilities, features


class Classifier(nn.Module):
    """Members whose probabilities are averaged."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        num_classes = len(config["id2label"])
        self.members = nn.ModuleList(Member(**member, num_classes=num_classes) for member in config["members"])
        self.scale, self.offset = config["preprocessing"]["scale"], config["preprocessing"]["offset"]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 pictures (N, S, S, 3) to probabilities (N, K) and the first member's embedding (N, D)."""
        pixels = (images.float() * self.scale + self.offset).permute(0, 3, 1, 2)
        outputs = [member(pixels) for member in self.members]
        return torch.stack([probabilities for probabilities, _ in outputs]).mean(0), outputs[0][1]


def load(folder: str | Path) -> Classifier:
    """Build the classifier that a folder's config.json describes, with the weights of its model.safetensors."""
    from safetensors.torch import load_file

    classifier = Classifier(json.loads((Path(folder) / "config.json").read_text()))
    classifier.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return classifier.eval()
