"""Look at what there is to run on, and time one epoch on it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ablation.faults import FaultsError
from ablation.request import Prepared
from ablation.resources import Resources
from ablation.trial import TrialContext, build_config, load


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


def local_slots(resources: Resources) -> int:
    """Count the trials that this machine can run at once."""
    gpus = visible_gpus(None)
    per_trial = (0.25 if gpus else 0.0) if resources.gpus_per_trial == "auto" else resources.gpus_per_trial
    slots = int((os.cpu_count() or 1) / resources.cpus_per_trial)
    if per_trial:
        slots = min(slots, int(gpus / per_trial))
    return max(1, min(slots, resources.max_concurrent or slots))


def measure_epoch_s(prepared: Prepared) -> float:
    """Train the first arm's default configuration for two epochs, alone on this machine, and time the second."""
    plan, data = prepared.plan, prepared.data
    trial = next(plan.trials())
    arm = plan.arm(trial.arm)
    run_trial = load(plan.space.trial)
    defaults = {name: plan.space.domain(name).default for name in arm.searched}
    with tempfile.TemporaryDirectory(prefix="ablation-probe-") as scratch:
        context = TrialContext(
            trial_id="probe",
            phase="search",
            epochs=2,
            seed=trial.seed,
            replicate_seed=trial.replicate_seed,
            checkpoint_dir=Path(scratch),
            data=None if data is None else data["uri"],
            data_fingerprint=None if data is None else data["fingerprint"],
        )
        records = run_trial(build_config(run_trial, plan.space.configuration(arm, defaults)), context)
        return float([record.epoch_s for record in records][-1])
