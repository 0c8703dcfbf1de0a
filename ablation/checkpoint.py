"""Checkpoints: one safetensors file each, tensors and JSON together, there whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablation.ledger import put_whole
from ablation.trial import EpochRecord

if TYPE_CHECKING:
    import torch

KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A trial at the end of an epoch.

    Attributes:
        epoch: epochs trained.
        identity: digest of configuration, seed and planned length (``identity``): what it may be resumed as.
        records: the epoch records up to it.
        tensors: model, centers and optimiser state by dotted name.
        about: whatever a reader needs to use the tensors, as JSON.
    """

    epoch: int
    identity: str
    records: tuple[EpochRecord, ...]
    tensors: Mapping[str, torch.Tensor]
    about: Mapping[str, Any]


def identity(*parts: object) -> str:
    """Digest what makes a trial the trial it is."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def save(directory: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint and keep the one before it, in case this one is lost."""
    from safetensors.torch import save as to_bytes

    header = {
        "epoch": str(checkpoint.epoch),
        "identity": checkpoint.identity,
        "records": json.dumps([asdict(record) for record in checkpoint.records]),
        "about": json.dumps(dict(checkpoint.about)),
    }
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"epoch-{checkpoint.epoch:05d}.safetensors"
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    put_whole(path, to_bytes(tensors, metadata=header))
    for stale in _by_age(directory)[KEPT:]:
        stale.unlink()
    return path


def newest_path(directory: Path) -> Path | None:
    """Return the path of a trial's newest checkpoint, if it has one."""
    return next(iter(_by_age(directory)), None)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint; nothing is unpickled."""
    from safetensors import safe_open

    with safe_open(path, framework="pt", device="cpu") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
    return Checkpoint(
        epoch=int(header["epoch"]),
        identity=header["identity"],
        records=tuple(EpochRecord(**record) for record in json.loads(header["records"])),
        tensors=tensors,
        about=json.loads(header["about"]),
    )


def newest(directory: Path, identity: str) -> Checkpoint | None:
    """Return a trial's newest whole checkpoint; one of another configuration, seed or length is none of its own."""
    from safetensors import SafetensorError

    for path in _by_age(directory):
        try:
            checkpoint = load(path)
        except SafetensorError as error:
            print(f"{path.name} is damaged ({error}); trying the one before it")
            continue
        if checkpoint.identity == identity:
            return checkpoint
        print(f"{path.name} belongs to another configuration, seed or length; ignored")
    return None


def with_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Put names under ``prefix.``."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Take the tensors under ``prefix.``, by their names within it."""
    return {
        name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")
    }


def _by_age(directory: Path) -> list[Path]:
    return sorted(directory.glob("epoch-*.safetensors"), reverse=True)
