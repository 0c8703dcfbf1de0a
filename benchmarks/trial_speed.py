"""How fast does one trial of the model under study train, alone and beside a second one?

Prints JSON: images/s of training with validation included, per arm, as medians over epochs with their range.
Run: ``python -m benchmarks.trial_speed [--data URI] [--epochs N]``.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import typer

from ablation.planning.request import Request, check_request
from ablation.trial import TrialContext, build_config, import_object

ARMS = ("baseline", "reference")


def images_per_s(arm_name: str, data: str, epochs: int) -> list[float]:
    """Train an arm's default configuration for one epoch more than asked, and leave out the first."""
    checked = check_request(Request("tcl", data=data, budget="quick"), gpus=0)
    plan = checked.plan
    arm = plan.arm(arm_name)
    run_trial = import_object(plan.space.trial)
    defaults = {name: plan.space.domain(name).default for name in arm.searched}
    assert checked.data is not None
    with tempfile.TemporaryDirectory() as scratch:
        context = TrialContext(
            trial_id="benchmark",
            phase="search",
            epochs=epochs + 1,
            seed=0,
            replicate_seed=0,
            checkpoint_dir=Path(scratch),
            data=data,
            data_fingerprint=checked.data["fingerprint"],
        )
        records = run_trial(build_config(run_trial, plan.space.configuration(arm, defaults)), context)
        return [record.images / record.epoch_s for record in list(records)[1:]]


def main(
    data: Annotated[str, typer.Option(help="What to train on.")] = "synthetic",
    epochs: Annotated[int, typer.Option(help="Epochs measured, per arm and setting.")] = 8,
) -> None:
    """Measure each arm alone and two at a time, one setting after the other."""
    import torch

    found: dict[str, Any] = {}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for arm in ARMS:
            alone = pool.submit(images_per_s, arm, data, epochs).result()
            pair = [pool.submit(images_per_s, arm, data, epochs) for _ in range(2)]
            beside = [value for future in pair for value in future.result()]
            found[arm] = {"alone": _summary(alone), "beside_another": _summary(beside)}
    about = {"cpus": os.cpu_count(), "machine": platform.machine(), "torch": torch.__version__, "data": data}
    typer.echo(json.dumps({"images_per_s": found, **about}, indent=1))


def _summary(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values)), "lowest": round(min(values)), "highest": round(max(values))}


if __name__ == "__main__":
    typer.run(main)
