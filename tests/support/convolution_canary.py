"""Compare every convolution of the shipped networks with float64: run in a process whose heap is checked.

oneDNN chooses another kernel for each instruction set, shape and memory layout, and one of them has written past its
workspace (uxlfoundation/oneDNN#6035: the backward of a 1×1 convolution of stride 2, channels last, on AVX2, with fewer
than 8 input channels): wrong values, or a corrupted heap, where nothing else says. Prints the shapes that differ.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ablation.tcl.attention import ATTENTION
from ablation.tcl.backbones import BACKBONES

SMALL_WIDTHS = (*range(4, 10), 12, 16)  # 4 is the least that a configuration may ask for
SMALL_SIDES_PX = (16, 23, 48)
RESNET_SIDE_PX = 48
BATCH_SIZES = (2, 5)
# float32 sums of some thousand products; a kernel that reads or writes a wrong place is off by the value's own size.
RELATIVE_TOLERANCE = 1e-3

Call = tuple[nn.Conv2d, Tensor]


def convolution_calls() -> Iterator[Call]:
    """Yield each convolution with the input that it gets inside its network, channels last as in training."""
    for width in SMALL_WIDTHS:
        for side_px in SMALL_SIDES_PX:
            for batch_size in BATCH_SIZES:
                yield from _calls("small", width, side_px, batch_size)
    for name in ("resnet18", "resnet50"):
        yield from _calls(name, 0, RESNET_SIDE_PX, BATCH_SIZES[0])


def deviation(convolution: nn.Conv2d, maps_BCHW: Tensor) -> float:
    """Return the largest deviation of output, input gradient and weight gradient from float64, over each's largest."""
    found = _forward_and_gradients(convolution, maps_BCHW)
    precise = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type]
        stride=convolution.stride,  # type: ignore[arg-type]
        padding=convolution.padding,  # type: ignore[arg-type]
        bias=False,
        dtype=torch.float64,
    )
    precise.weight.data.copy_(convolution.weight.data)
    expected = _forward_and_gradients(precise, maps_BCHW.double().contiguous())
    pairs = zip(found, expected, strict=True)
    return max(float((one.double() - other).abs().max() / other.abs().max()) for one, other in pairs)


def _calls(name: str, width: int, side_px: int, batch_size: int) -> list[Call]:
    generator = torch.Generator().manual_seed(width)
    backbone = BACKBONES[name](width)
    network = nn.Sequential(backbone, ATTENTION["pixel"].build(backbone.channels)).to(memory_format=torch.channels_last)
    images_BCHW = torch.randn(batch_size, 3, side_px, side_px, generator=generator)
    calls: list[Call] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.Conv2d)
        maps_BCHW = inputs[0]
        # Laid out as the network hands it over, and nowhere zero as it would be behind a ReLU.
        values = torch.randn(maps_BCHW.shape, generator=generator)
        calls.append((module, torch.empty_strided(maps_BCHW.shape, maps_BCHW.stride()).copy_(values)))

    hooks: list[RemovableHandle] = [
        module.register_forward_pre_hook(note) for module in network.modules() if isinstance(module, nn.Conv2d)
    ]
    with torch.no_grad():
        network(images_BCHW.to(memory_format=torch.channels_last))
    for hook in hooks:
        hook.remove()
    return calls


def _forward_and_gradients(convolution: nn.Conv2d, maps_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    maps_BCHW = maps_BCHW.detach().requires_grad_()
    output: Tensor = convolution(maps_BCHW)
    # The gradient of a sum of squares differs from place to place.
    input_gradient, weight_gradient = torch.autograd.grad(output.square().sum(), (maps_BCHW, convolution.weight))
    return output.detach(), input_gradient, weight_gradient


def main() -> int:
    """Print what differs, then how much was compared; return 1 if anything differs."""
    seen: set[tuple[object, ...]] = set()
    wrong = 0
    for convolution, maps_BCHW in convolution_calls():
        case = (str(convolution), maps_BCHW.shape, maps_BCHW.stride())
        if case in seen:
            continue
        seen.add(case)
        off = deviation(convolution, maps_BCHW)
        if not off < RELATIVE_TOLERANCE:
            wrong += 1
            print(f"{convolution} on {tuple(maps_BCHW.shape)}: off by {off:.2g}")
    print(f"{len(seen)} convolutions compared, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
