"""The contract of a model under study: ``run_trial(config, context)`` yields epoch records.

A trial function is a generator. It trains for ``context.epochs`` epochs, yields one record after each, resumes by
itself from ``context.checkpoint_dir`` (records of epochs trained before come first, as they were), and knows nothing
of schedulers: a ``for`` loop runs it, and closing the generator stops it. Its first parameter's annotation, a
pydantic model, is its config schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from pydantic import BaseModel, ValidationError

from ablation.faults import FaultsError, nearest
from ablation.user_code import study_module

if TYPE_CHECKING:
    from ablation.reporting import ReportingContext

Phase = Literal["search", "confirm"]


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch of training gave.

    Attributes:
        epoch: epochs trained so far, 1-based, without gaps or repeats.
        epoch_s: wall time of the epoch, in seconds.
        metrics: any names; ``val_<metric>`` for the space's metrics, which may be left out in epochs that are neither
            a rung (``TrialContext.checkpoint_epochs``) nor the last; ``test_<metric>`` in the last record of a confirm
            trial and nowhere else. A ``train_*``, ``val_*`` or ``test_*`` that is not finite
            ends the trial as diverged; other metrics may be NaN if they mean nothing.
        images: training images seen in the epoch, for throughput.

    >>> record = EpochRecord(epoch=1, epoch_s=2.5, metrics={"val_accuracy": 0.75}, images=1000)
    >>> record.images / record.epoch_s
    400.0
    """

    epoch: int
    epoch_s: float
    metrics: Mapping[str, float]
    images: int = 0


@dataclass(frozen=True)
class TrialContext:
    """Where and how a trial runs: everything that is not the configuration.

    Attributes:
        trial_id: the trial's name in the study, for messages.
        phase: test data may be scored in ``confirm`` only, once, after the last epoch.
        epochs: planned length; part of the trial's identity, since schedules depend on it.
        seed: seed of everything random in training.
        replicate_seed: seed that all trials of a replicate share, in every arm: for the validation split.
        data: URI of the data, as given to ``--data``; None for studies without data.
        data_fingerprint: what the URI's content was when the study was planned; a mismatch is an error.
        data_decoding: version of the rules by which pictures were decoded then; None: today's.
        checkpoint_dir: the trial's own folder, which exists; it may hold checkpoints of an interrupted attempt.
        init_from: address of a checkpoint at which the weights begin, from ``--init-from``; None: drawn.
        artifact_dir: where a confirm trial leaves its Parquet artifacts, which exists; None in the search phase. They
            are to be there before the last epoch's checkpoint: a trial that goes on from it makes none.
        device: a torch device name, or ``auto``.
        cpu_threads: threads the trial may use for computing.
        checkpoint_epochs: epochs after which a checkpoint is worth having, beside the last: ASHA's rungs.
    """

    trial_id: str
    phase: Phase
    epochs: int
    seed: int
    replicate_seed: int
    checkpoint_dir: Path
    data: str | None = None
    data_fingerprint: str | None = None
    data_decoding: int | None = None
    artifact_dir: Path | None = None
    device: str = "auto"
    cpu_threads: int = 1
    checkpoint_epochs: tuple[int, ...] = ()
    init_from: str | None = None


RunTrial = Callable[[Any, TrialContext], Iterator[EpochRecord]]


def import_object(import_path: str) -> Any:
    """Import ``package.module:name``, or find it in the study's file; raise FaultsError if there is no such thing."""
    module_name, _, name = import_path.partition(":")
    try:
        module = study_module(module_name) or import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever a module of the user's does when imported
        why = f"{type(error).__name__}: {error}"
        raise FaultsError([f"cannot import {module_name!r} of {import_path!r} ({why}); is it on the path?"]) from error
    if not hasattr(module, name):
        raise FaultsError([f"{module_name} has no {name!r}; write 'package.module:name'"])
    return getattr(module, name)


def config_type(run_trial: RunTrial) -> type[BaseModel] | None:
    """Return the pydantic model that annotates the trial function's first parameter, if one does."""
    hints = get_type_hints(run_trial)
    hints.pop("return", None)
    first = next(iter(hints.values()), None)
    return first if isinstance(first, type) and issubclass(first, BaseModel) else None


def build_config(run_trial: RunTrial, flat: Mapping[str, object]) -> Any:
    """Turn a flat configuration with dotted names into the trial's config; raise FaultsError listing every fault."""
    schema = config_type(run_trial)
    if schema is None:
        return dict(flat)
    known = dotted_names(schema)
    unknown = [f"{name!r} is no configuration key; {nearest(name, known)}" for name in flat if name not in known]
    try:
        config = schema.model_validate(_nested({name: value for name, value in flat.items() if name in known}))
    except ValidationError as error:
        raise FaultsError([*unknown, *map(_format_fault, error.errors())]) from error
    if unknown:
        raise FaultsError(unknown)
    return config


def dotted_names(schema: type[BaseModel], prefix: str = "") -> tuple[str, ...]:
    """List a config schema's leaves by dotted name."""
    names: list[str] = []
    for name, field in schema.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += dotted_names(inner, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return tuple(names)


def _nested(flat: Mapping[str, object]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for dotted, value in flat.items():
        *groups, leaf = dotted.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[leaf] = value
    return tree


def _format_fault(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    rule = str(error["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    if not where:
        return rule  # a rule between several values names them itself
    return f"{where} is {error['input']!r}, but must be {rule}"


def reporting(train: Callable[[Any, ReportingContext], None]) -> RunTrial:
    """Make a ``run_trial`` of a function that calls ``context.report({...})`` after each epoch.

    It trains in a thread, asleep while the study decides. A trial that is stopped leaves ``report`` by TrialStopped,
    which is no Exception. A function that resumes from a checkpoint of epoch e reports ``epoch=e + 1`` next.
    """
    from ablation.reporting import reporting as made

    return made(train)
