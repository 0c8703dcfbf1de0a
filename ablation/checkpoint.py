"""Checkpoints: one safetensors file each, tensors and JSON together, there whole or not at all.

A file is named ``epoch-<epoch>-<digest>``: the digest is of its content, so that no changed byte goes unnoticed.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter

from ablation import node_cache
from ablation.reporting import ReportingContext
from ablation.store import AnyPath, StorePath, put_whole
from ablation.tensor_file import Framework, unpack
from ablation.trial import EpochRecord, TrialContext

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    from ablation.torch_state import HasState

KEPT = 2
NAME = re.compile(r"epoch-(\d+)-([0-9a-f]{12})\.safetensors")
RECORDS = TypeAdapter(tuple[EpochRecord, ...])


class DamagedCheckpointError(ValueError):
    """A checkpoint's content is not what was written."""


@dataclass(frozen=True)
class Checkpoint:
    """A trial at the end of an epoch.

    Attributes:
        epoch: epochs trained.
        identity: digest of configuration, seed and planned length (``identity``): what it may be resumed as.
        records: the epoch records up to it.
        tensors: whatever the rest of the trial depends on, by dotted name: torch's tensors, or numpy's arrays.
        about: whatever a reader needs to use the tensors, as JSON.
    """

    epoch: int
    identity: str
    records: tuple[EpochRecord, ...]
    tensors: Mapping[str, Any]
    about: Mapping[str, Any]


class Cadence:
    """Say after which epochs of a trial a checkpoint is due.

    Those are the last, those where the search decides (``context.checkpoint_epochs``), and as many between them that
    no more than ``every_s`` seconds of training, or one epoch if that takes longer, are ever to be repeated.
    """

    def __init__(self, context: TrialContext, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._epochs = {*context.checkpoint_epochs, context.epochs}
        self._every_s = every_s
        self._clock = clock
        self._saved = clock()

    def is_due(self, record: EpochRecord) -> bool:
        """Return whether to save now, after the epoch of ``record``; where it is, the caller does."""
        now = self._clock()
        # Due before it is too late: one more such epoch must not make more than that to repeat.
        is_late = now - self._saved + record.epoch_s > self._every_s
        if is_late or record.epoch in self._epochs:
            self._saved = now
            return True
        return False


def identity(*parts: object) -> str:
    """Digest what makes a trial the trial it is."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def save(directory: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint and keep the one before it, in case this one is lost."""
    header = {
        "epoch": str(checkpoint.epoch),
        "identity": checkpoint.identity,
        "records": json.dumps([asdict(record) for record in checkpoint.records]),
        "about": json.dumps(dict(checkpoint.about)),
    }
    directory.mkdir(parents=True, exist_ok=True)
    content = _to_bytes(checkpoint.tensors, header)
    path = directory / f"epoch-{checkpoint.epoch:05d}-{_digest(content)}.safetensors"
    put_whole(path, content)
    for stale in [other for other in _by_age(directory) if other != path][KEPT - 1 :]:
        stale.unlink(missing_ok=True)
    return path


def newest_path(directory: Path) -> Path | None:
    """Return the path of a trial's newest checkpoint, if it has one."""
    return next(iter(_by_age(directory)), None)


def names_like(name: str) -> str:
    """Return the pattern of the names of all checkpoints of the same epoch."""
    named = NAME.fullmatch(name)
    return name if named is None else f"epoch-{named[1]}-*.safetensors"


def load(path: AnyPath, framework: Framework = "torch") -> Checkpoint:
    """Read a checkpoint, its tensors as those of ``framework``; nothing is unpickled.

    Raises DamagedCheckpointError if a byte was changed or is missing (a renamed file is not held against its
    digest), FileNotFoundError if there is none.
    """
    if isinstance(path, StorePath):
        with suppress(FileNotFoundError, DamagedCheckpointError):
            return parse(node_cache.copy_of(path).read_bytes(), str(path), framework)
        return parse(node_cache.fetch(path).read_bytes(), str(path), framework)
    return parse(path.read_bytes(), str(path), framework)


def parse(content: bytes, name: str, framework: Framework = "torch") -> Checkpoint:
    """Read a checkpoint's bytes, wherever they come from; ``name`` is its path, whose digest they are held to.

    Raises DamagedCheckpointError that names it, and what is wrong.
    """
    named = NAME.fullmatch(name.rpartition("/")[2])
    if named is not None and _digest(content) != named[2]:
        raise DamagedCheckpointError(f"{name} is damaged: its content does not match its name; restore or delete it")
    try:
        header, tensors = unpack(content, framework)
        about = json.loads(header["about"])
        if not isinstance(about, dict):
            raise ValueError(f"what it says of itself is a {type(about).__name__}, but must be a mapping")
        return Checkpoint(
            epoch=int(header["epoch"]),
            identity=header["identity"],
            records=RECORDS.validate_python(json.loads(header["records"])),
            tensors=tensors,
            about=about,
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        what = " ".join(str(error).split())
        raise DamagedCheckpointError(
            f"{name} is no checkpoint of this project ({type(error).__name__}: {what}); give another"
        ) from error


def newest(
    directory: Path, identity: str, framework: Framework = "torch", *, most_epochs: int | None = None
) -> Checkpoint | None:
    """Return a trial's newest whole checkpoint, of ``most_epochs`` at most, and rename damaged ones that are newer.

    One of another configuration, seed or length is none of its own.
    """
    for path in _by_age(directory):
        named = NAME.fullmatch(path.name)
        if most_epochs is not None and named is not None and int(named[1]) > most_epochs:
            continue
        try:
            checkpoint = load(path, framework)
        except FileNotFoundError:
            continue  # a worker that was given up, but lives on, has put newer ones in its place
        except DamagedCheckpointError as error:
            # Out of the way: it would pass for the newest, and push out whole ones, until training is past its epoch.
            path.replace(path.with_suffix(".damaged"))
            print(f"{error}; set aside, trying the one before it")
            continue
        if checkpoint.identity == identity:
            return checkpoint
        print(f"{path.name} belongs to another configuration, seed or length; ignored")
    return None


def save_model(
    context: ReportingContext, model: HasState, optimizer: HasState | None, epoch: int, **others: HasState
) -> Path:
    """Save a usual training loop after an epoch: model, optimizer, and the global generators.

    Save before ``context.report``, which a trial that is stopped leaves, and at least after the last epoch.

    Args:
        context: what ``ablation.trial.reporting`` gives to ``train``.
        model: a torch module, or anything with ``state_dict`` and ``load_state_dict``; its tensors are ``model.…``.
        optimizer: likewise; None if there is nothing to keep.
        epoch: epochs trained.
        others: what else the rest depends on, by a name of its own, such as ``scheduler=scheduler``.

    Raises: TypeError if a state holds what is neither a tensor nor JSON: nothing is pickled.
    """
    from ablation.torch_state import flattened

    tensors: dict[str, torch.Tensor] = {}
    forms = {}
    for name, part in _parts(model, optimizer, others).items():
        held, forms[name] = flattened(name, part.state_dict())
        tensors |= held
    about = {"trial_id": context.trial_id, "config": _plain_config(context), "forms": forms}
    return save(context.checkpoint_dir, Checkpoint(epoch, _identity_of(context), (), tensors, about))


def load_model(context: ReportingContext, model: HasState, optimizer: HasState | None, **others: HasState) -> int:
    """Go on from what ``save_model`` left, if it left anything; return the epochs trained, 0 if there is nothing.

    The next epoch is reported as one more than that. One that was saved, but never reported, is trained again.
    """
    from ablation.torch_state import rebuilt

    parts = _parts(model, optimizer, others)
    found = newest(context.checkpoint_dir, _identity_of(context), most_epochs=context.reported)
    if found is None:
        return 0
    for name, part in parts.items():
        part.load_state_dict(rebuilt(found.about["forms"][name], found.tensors))
    print(f"resumed {context.trial_id} after epoch {found.epoch}")
    return found.epoch


def _parts(model: HasState, optimizer: HasState | None, others: Mapping[str, HasState]) -> dict[str, HasState]:
    """Name what is saved, in the order of loading: the generators last, from which loading may draw."""
    from ablation.torch_state import GlobalGenerators

    given = {"model": model} if optimizer is None else {"model": model, "optimizer": optimizer}
    return {**given, **others, "generators": GlobalGenerators()}


def _plain_config(context: ReportingContext) -> Any:
    if not isinstance(context, ReportingContext):
        raise TypeError(
            f"context is a {type(context).__name__}, but must be what ablation.trial.reporting gives to train; "
            "a generator saves its records, too: use checkpoint.save and checkpoint.newest"
        )
    return context.config.model_dump(mode="json") if isinstance(context.config, BaseModel) else dict(context.config)


def _identity_of(context: ReportingContext) -> str:
    config = _plain_config(context)
    return identity(config, context.seed, context.replicate_seed, context.epochs, context.phase)


def with_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Put names under ``prefix.``."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Take the tensors under ``prefix.``, by their names within it."""
    return {
        name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")
    }


def _to_bytes(tensors: Mapping[str, torch.Tensor | npt.NDArray[np.generic]], header: dict[str, str]) -> bytes:
    import numpy as np

    # A trial that does without torch need not import it: it takes seconds.
    if all(isinstance(tensor, np.ndarray) for tensor in tensors.values()):
        from safetensors.numpy import save as arrays_to_bytes

        return bytes(arrays_to_bytes({name: np.ascontiguousarray(array) for name, array in tensors.items()}, header))
    from safetensors.torch import save as tensors_to_bytes

    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}  # type: ignore[union-attr]
    return bytes(tensors_to_bytes(held, header))


def _by_age(directory: Path) -> list[Path]:
    return sorted(directory.glob("epoch-*.safetensors"), reverse=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
