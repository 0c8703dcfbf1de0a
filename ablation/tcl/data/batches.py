"""Training batches, augmented on the device that holds the pictures.

Pictures stay uint8 until they are gathered; a batch is one gather by computed rows and columns, which crops, pads and
flips at once. Every picture of a batch has its own shift, flip, turn and erasure.

Shapes: N pictures, B of a batch, H = W side in pixels, C = 3 colours, L = W·C bytes of a row, R = B·H, M = N·H,
T and V of the N in train and validation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ablation.arrays import Float, Int, Shaped, UInt8
from ablation.faults import FaultsError
from ablation.tcl.config import Data

Batch = tuple[Float[Tensor, "B C H W"], Int[Tensor, " B"]]
Sampling = Literal["shuffled", "class-balanced"]

# Bytes become (x/255 − 0.5) / 0.25, about zero mean and unit spread in photographs of faces.
SCALE, OFFSET = 4 / 255, -2.0
# Random erasing's share of the picture and its shape (Zhong et al., AAAI 2020, with a smaller largest share).
ERASE_SHARE, ERASE_ASPECT = (0.02, 0.25), (0.4, 2.5)


@dataclass(frozen=True)
class Augmentation:
    """How training pictures vary; all off leaves them as they are.

    Attributes:
        crop_px: largest shift to each side, in pixels, ≥ 0; the border is repeated outward.
        flip: mirror half of the pictures.
        rotate_degrees: largest turn either way, in degrees.
        scale_share: largest magnification or reduction, as a share in [0, 1).
        erase_probability: share of the pictures of which a rectangle becomes grey.
    """

    crop_px: int = 0
    flip: bool = False
    rotate_degrees: float = 0.0
    scale_share: float = 0.0
    erase_probability: float = 0.0

    @classmethod
    def of(cls, data: Data) -> Augmentation:
        """Take the augmentation out of a trial's data config."""
        return cls(data.crop_px, data.flip, data.rotate_degrees, data.scale_share, data.erase_probability)


class Batches:
    """A training set on a device, and its epochs.

    ``epoch(e)`` depends on the seed and e alone, so training resumes at any epoch without stored state.
    """

    def __init__(
        self,
        images_NHWC: UInt8[npt.NDArray[np.uint8], "N H W C"],
        labels_N: Int[npt.NDArray[np.int64], " N"],
        *,
        batch_size: int,
        seed: int,
        augmentation: Augmentation,
        sampling: Sampling = "shuffled",
        device: torch.device | str = "cpu",
    ) -> None:
        """Copy pictures and labels to the device.

        ``batch_size`` ≥ 2 and ``seed`` ≥ 0. Raises FaultsError for fewer than two pictures, of which batch
        normalisation has no variance.
        """
        if len(labels_N) < 2:
            raise FaultsError([f"the training set has {len(labels_N)} pictures, but must have at least 2; add some"])
        self.device = torch.device(device)
        self.images_NHWC = _to_device(images_NHWC, self.device)
        self.labels_N = _to_device(labels_N, self.device)
        self.batch_size, self.seed = batch_size, seed
        self.augmentation, self.sampling = augmentation, sampling

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        whole, rest = divmod(len(self.labels_N), self.batch_size)
        return whole + (rest >= 2)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield an epoch's (images_BCHW float32 in channels_last, labels_B int64), for ``epoch`` ≥ 0.

        Each epoch draws as many pictures as there are: each once, or with ``class-balanced`` sampling with replacement
        so that every class is equally likely. A last batch of one picture is left out, for batch normalisation's sake.
        """
        generator = torch.Generator(self.device).manual_seed(_mix(self.seed, epoch))
        order_N = self._order(generator)
        for index in range(len(self)):
            chosen_B = order_N[index * self.batch_size : (index + 1) * self.batch_size]
            yield augment(self.images_NHWC, chosen_B, self.augmentation, generator), self.labels_N[chosen_B]

    def _order(self, generator: torch.Generator) -> Int[Tensor, " N"]:
        count = len(self.labels_N)
        if self.sampling == "shuffled":
            return torch.randperm(count, generator=generator, device=self.device)
        weight_N = 1 / torch.bincount(self.labels_N)[self.labels_N].to(torch.float32)
        return torch.multinomial(weight_N, count, replacement=True, generator=generator)


def normalise(images_BHWC: UInt8[Tensor, "B H W C"]) -> Float[Tensor, "B C H W"]:
    """Turn uint8 (B, H, W, C) into float32 (B, C, H, W) in [−2, 2], channels_last in memory."""
    return images_BHWC.to(torch.float32).mul_(SCALE).add_(OFFSET).permute(0, 3, 1, 2)


def augment(
    images_NHWC: UInt8[Tensor, "N H W C"],
    chosen_B: Int[Tensor, " B"],
    augmentation: Augmentation,
    generator: torch.Generator,
) -> Float[Tensor, "B C H W"]:
    """Gather, vary and normalise the chosen pictures; returns float32 (B, C, H, W), channels_last in memory."""
    images_BCHW = normalise(_gather(images_NHWC, chosen_B, augmentation, generator))
    if augmentation.rotate_degrees > 0 or augmentation.scale_share > 0:
        images_BCHW = _turn(images_BCHW, augmentation, generator)
    if augmentation.erase_probability > 0:
        images_BCHW = _erase(images_BCHW, augmentation.erase_probability, generator)
    return images_BCHW


def split_validation(
    labels_N: Int[npt.NDArray[np.int64], " N"], share: float, seed: int
) -> tuple[Int[npt.NDArray[np.int64], " T"], Int[npt.NDArray[np.int64], " V"]]:
    """Split indices into (train, validation), both sorted, class by class.

    Of each class ``share`` in (0, 1) is held out, rounded, but at least one and never all; a class of one picture stays
    in train. ``seed`` ≥ 0; numpy's generator makes the split the same on every machine.
    """
    rng = np.random.default_rng(seed)
    held: list[npt.NDArray[np.int64]] = []
    for label in np.unique(labels_N):
        members = rng.permutation(np.flatnonzero(labels_N == label))
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        held.append(members[:count])
    validation = np.sort(np.concatenate(held)) if held else np.empty(0, np.int64)
    train = np.setdiff1d(np.arange(len(labels_N)), validation, assume_unique=True)
    return train, validation


def _gather(
    images_NHWC: UInt8[Tensor, "N H W C"],
    chosen_B: Int[Tensor, " B"],
    augmentation: Augmentation,
    generator: torch.Generator,
) -> UInt8[Tensor, "B H W C"]:
    """Read each chosen picture through its own rows and columns; those beyond the border repeat it."""
    count, (height, width) = len(chosen_B), images_NHWC.shape[1:3]
    device, crop = images_NHWC.device, augmentation.crop_px
    if not crop and not augmentation.flip:
        return images_NHWC[chosen_B]
    rows_BH = torch.arange(height, device=device).expand(count, height)
    columns_BW = torch.arange(width, device=device).expand(count, width)
    if augmentation.flip:
        flipped_B1 = torch.rand(count, 1, generator=generator, device=device) < 0.5
        columns_BW = torch.where(flipped_B1, width - 1 - columns_BW, columns_BW)
    if crop:
        shift_2B1 = torch.randint(-crop, crop + 1, (2, count, 1), generator=generator, device=device)
        rows_BH = (rows_BH + shift_2B1[0]).clamp(0, height - 1)
        columns_BW = (columns_BW + shift_2B1[1]).clamp(0, width - 1)
    # Whole rows first, then bytes within them: on a CPU twice as fast as one index over rows and columns.
    lines_ML = images_NHWC.view(-1, width * 3)
    picked_RL = lines_ML.index_select(0, (chosen_B[:, None] * height + rows_BH).view(-1))
    bytes_B1L = (columns_BW[:, :, None] * 3 + torch.arange(3, device=device)).view(count, 1, width * 3)
    gathered_BHL = picked_RL.view(count, height, width * 3).gather(2, bytes_B1L.expand(count, height, width * 3))
    return gathered_BHL.view(count, height, width, 3)


def _turn(
    images_BCHW: Float[Tensor, "B C H W"], augmentation: Augmentation, generator: torch.Generator
) -> Float[Tensor, "B C H W"]:
    """Rotate and scale each picture about its middle, bilinearly; the border is repeated outward."""
    count, device = len(images_BCHW), images_BCHW.device
    angle_B, scale_B = torch.rand(2, count, generator=generator, device=device) * 2 - 1
    angle_B = angle_B * (augmentation.rotate_degrees * torch.pi / 180)
    zoom_B = 1 / (1 + augmentation.scale_share * scale_B)
    cosine_B, sine_B = zoom_B * angle_B.cos(), zoom_B * angle_B.sin()
    zero_B = torch.zeros_like(angle_B)
    affine_B23 = torch.stack([cosine_B, -sine_B, zero_B, sine_B, cosine_B, zero_B], dim=1).view(count, 2, 3)
    grid_BHW2 = torch.nn.functional.affine_grid(affine_B23, list(images_BCHW.shape), align_corners=False)
    turned_BCHW = torch.nn.functional.grid_sample(
        images_BCHW, grid_BHW2, mode="bilinear", padding_mode="border", align_corners=False
    )
    return turned_BCHW.contiguous(memory_format=torch.channels_last)


def _erase(
    images_BCHW: Float[Tensor, "B C H W"], probability: float, generator: torch.Generator
) -> Float[Tensor, "B C H W"]:
    """Turn a rectangle of some pictures grey: 0, which is the byte 127.5."""
    count, (height, width), device = len(images_BCHW), images_BCHW.shape[2:], images_BCHW.device
    draw_5B = torch.rand(5, count, generator=generator, device=device)
    share_B = ERASE_SHARE[0] + (ERASE_SHARE[1] - ERASE_SHARE[0]) * draw_5B[1]
    # Aspects are uniform in their logarithm: as often wide as tall.
    aspect_B = ERASE_ASPECT[0] * (ERASE_ASPECT[1] / ERASE_ASPECT[0]) ** draw_5B[2]
    chosen_B = draw_5B[0] < probability
    inside = []
    for side, extent_B, place_B in (
        (height, (share_B * aspect_B).sqrt(), draw_5B[3]),
        (width, (share_B / aspect_B).sqrt(), draw_5B[4]),
    ):
        extent_B = (extent_B * side).clamp(1, side)
        start_B = place_B * (side - extent_B)
        places_S = torch.arange(side, device=device) + 0.5
        inside.append((places_S >= start_B[:, None]) & (places_S < (start_B + extent_B)[:, None]))
    erased_BHW = chosen_B[:, None, None] & inside[0][:, :, None] & inside[1][:, None, :]
    return images_BCHW.masked_fill_(erased_BHW[:, None], 0.0)


def _mix(seed: int, epoch: int) -> int:
    # Neighbouring seeds and epochs must not share streams, as seed + epoch would.
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _to_device(
    array: Shaped[npt.NDArray[np.uint8] | npt.NDArray[np.int64], "*S"], device: torch.device
) -> Shaped[Tensor, "*S"]:
    # np.array copies out of the memory map: torch shares memory, and a map is read-only.
    return torch.from_numpy(np.array(array)).to(device)
