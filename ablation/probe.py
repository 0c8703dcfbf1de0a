"""Look at what there is to run on, and measure two epochs on it."""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
import traceback
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from ablation.checkpoint import newest_path
from ablation.faults import FaultsError
from ablation.request import Prepared
from ablation.resources import Resources
from ablation.trial import EpochRecord, build_config, load


def visible_gpus(address: str | None) -> float:
    """Count the GPUs that trials could use: this machine's, or those of the cluster at ``address``."""
    if address is not None:
        from ablation.engine.driver import cluster_gpus

        try:
            return cluster_gpus(address)
        except ConnectionError as error:
            raise FaultsError([f"--address is {address!r}, but no Ray cluster answers there ({error})"]) from error
    try:
        import torch
    except ModuleNotFoundError:
        return 0  # a study of another model need not have torch
    return torch.cuda.device_count()


@dataclass(frozen=True)
class Slots:
    """How many trials run at once, and the CPUs and share of a GPU that each takes."""

    count: int
    cpus: float
    gpus: float


def local_slots(resources: Resources) -> Slots:
    """Find what this machine can run at once."""
    there = visible_gpus(None)
    gpus = (0.25 if there else 0.0) if resources.gpus_per_trial == "auto" else resources.gpus_per_trial
    count = int((os.cpu_count() or 1) / resources.cpus_per_trial)
    if gpus:
        count = min(count, int(there / gpus))
    return Slots(max(1, min(count, resources.max_concurrent or count)), resources.cpus_per_trial, gpus)


@dataclass(frozen=True)
class Probe:
    """What two epochs of the first arm's default configuration took, alone on this machine.

    Attributes:
        epoch_s: wall time of the second epoch, in seconds.
        checkpoint_bytes: size of the checkpoint at the end; 0 where the model writes none.
        took_s: wall time of the whole, in seconds.
    """

    epoch_s: float
    checkpoint_bytes: int
    took_s: float


def probe(prepared: Prepared, slots: Slots) -> Probe:
    """Train for two epochs as a trial in one of ``slots`` would; raises FaultsError where that fails."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ablation-probe-") as scratch:
        records = _train(prepared, slots, Path(scratch))
        checkpoint = newest_path(Path(scratch))
        size = 0 if checkpoint is None else checkpoint.stat().st_size
    return Probe(float(records[-1].epoch_s), size, time.monotonic() - began)


def _train(prepared: Prepared, slots: Slots, scratch: Path) -> list[EpochRecord]:
    plan, data = prepared.plan, prepared.data
    trial = next(plan.trials())
    arm = plan.arm(trial.arm)
    run_trial = load(plan.space.trial)
    defaults = {name: plan.space.domain(name).default for name in arm.searched}
    short = trial.model_copy(update={"trial_id": "probe", "epochs": 2})
    context = short.context(
        scratch,
        scratch,
        data=None if data is None else data["uri"],
        data_fingerprint=None if data is None else data["fingerprint"],
        device="cuda" if slots.gpus else "cpu",
        cpu_threads=max(1, int(slots.cpus)),
    )
    said = io.StringIO()  # a plan for programs is JSON and nothing else
    try:
        with redirect_stdout(said):
            records = list(run_trial(build_config(run_trial, plan.space.configuration(arm, defaults)), context))
    except Exception as error:  # whatever a model under study does
        print(said.getvalue(), file=sys.stderr, end="")
        traceback.print_exc()
        why = f"{type(error).__name__}: {error}"
        raise FaultsError(
            [f"two epochs of {arm.name} at its defaults fail ({why}); mend {plan.space.trial}"]
        ) from error
    if not records:
        raise FaultsError([f"{plan.space.trial} yields no record of two epochs of {arm.name}; see ablation/trial.py"])
    return records
