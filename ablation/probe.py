"""Look at what there is to run on, and rehearse a study on it."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from ablation.checkpoint import newest_path
from ablation.faults import FaultsError
from ablation.machine import usable_cpus
from ablation.rehearsal import confirm_checkpoints, faults_in_words, rehearse
from ablation.request import Prepared
from ablation.resources import Resources, Slots, fitting_slots, in_process_slot


def visible_gpus(address: str | None) -> float:
    """Count the GPUs that trials could use: this machine's, or those of the cluster at ``address``."""
    if address is not None:
        from ablation.engine.cluster import cluster_gpus

        try:
            return cluster_gpus(address)
        except ConnectionError as error:
            raise FaultsError([f"--address is {address!r}, but no Ray cluster answers there ({error})"]) from error
    try:
        import torch
    except ModuleNotFoundError:
        return 0  # a study of another model need not have torch
    return torch.cuda.device_count()


def local_slots(resources: Resources) -> Slots:
    """Find what this machine can run at once: one trial at least."""
    if resources.executor == "in-process":
        return in_process_slot(resources, visible_gpus(None))
    cpus = usable_cpus()
    slots = fitting_slots(resources, cpus.count, visible_gpus(None), cpus.limit)
    return replace(slots, count=max(1, slots.count))


@dataclass(frozen=True)
class Probe:
    """What a study's rehearsal took, alone on this machine.

    Attributes:
        epoch_s: wall time of an epoch of the first arm at its defaults without start-up, in seconds.
        checkpoint_bytes: size of the checkpoint at the end; 0 if the model writes none.
        took_s: wall time of the whole, in seconds.
        arms_begun: how many arms' first epochs there was time for.
    """

    epoch_s: float
    checkpoint_bytes: int
    took_s: float
    arms_begun: int


def probe(prepared: Prepared, slots: Slots) -> Probe:
    """Rehearse a study as in one of ``slots``; raises FaultsError with all that fails or breaks the contract."""
    began = time.monotonic()
    plan, data = prepared.plan, prepared.data
    with tempfile.TemporaryDirectory(prefix="ablation-probe-") as scratch:
        found = rehearse(
            plan,
            Path(scratch),
            data=None if data is None else data["uri"],
            data_fingerprint=None if data is None else data["fingerprint"],
            device="cuda" if slots.gpus else "cpu",
            cpu_threads=max(1, int(slots.cpus)),
        )
        checkpoint = newest_path(confirm_checkpoints(Path(scratch)))
        size = 0 if checkpoint is None else checkpoint.stat().st_size
    faults = faults_in_words(found, plan)
    if faults:
        raise FaultsError(faults)
    # The shortest: the first has the start-up, and the last may have the scoring of test data.
    epoch_s = min(record.epoch_s for record in found.epochs)
    return Probe(epoch_s, size, time.monotonic() - began, len(found.arms))
