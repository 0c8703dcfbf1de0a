"""How fast does a ResNet-18 trial train on a GPU: alone, where does its time go, and several side by side?

Trains through the project's own loop, with augmentation, on random uint8 pictures in device memory.
Prints JSON with hardware and versions. Run: ``python -m benchmarks.gpu [--device cpu --pictures 256 ...]``.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ablation.tcl.train import Training

WARM_UP_EPOCHS = 2
PROFILED_STEPS = 20
LONGEST_WAIT_S = 120.0


def made_training(pictures: int, batch_size: int, size_px: int, device: str, precision: str, arm: str) -> Training:
    """Build a trial of an arm's default configuration with ResNet-18."""
    import numpy as np

    from ablation.tcl.data.cache import Split
    from ablation.tcl.data.dataset import Dataset
    from ablation.tcl.train import Training
    from ablation.trial import TrialContext, build_config, import_object
    from search_spaces.tcl import SPACE

    rng = np.random.default_rng(0)

    def split(count: int) -> Split:
        images_NHWC = rng.integers(0, 256, (count, size_px, size_px, 3), dtype=np.uint8)
        return Split(images_NHWC, np.arange(count) % 7, tuple(str(number) for number in range(count)))

    dataset = Dataset("made", tuple("abcdefg"), "made", size_px, split(pictures), split(14))
    asked = next(one for one in SPACE.arms() if one.name == arm)
    flat = SPACE.configuration(asked, {name: SPACE.domain(name).default for name in asked.searched})
    flat = {**flat, "model.backbone": "resnet18", "data.size_px": size_px, "train.batch_size": batch_size}
    config = build_config(
        import_object(SPACE.trial), {**flat, "train.precision": precision, "data.validation_share": 0.02}
    )
    context = TrialContext(
        trial_id="benchmark",
        phase="search",
        epochs=1000,
        seed=0,
        replicate_seed=0,
        checkpoint_dir=Path(tempfile.gettempdir()),
        device=device,
    )
    return Training(config, context, dataset)


def epochs_s(training: Training, repetitions: int) -> list[float]:
    """Time whole epochs, validation included, after warming up."""
    for _ in range(WARM_UP_EPOCHS):
        training.run_epoch()
    return [training.run_epoch().epoch_s for _ in range(repetitions)]


def solo(repetitions: int, **asked: Any) -> dict[str, float]:
    """Return images/s of one trial and the memory it took at most."""
    training = made_training(**asked)
    images = len(training.batches.labels_N)
    found: dict[str, float] = _summary([images / epoch_s for epoch_s in epochs_s(training, repetitions)])
    if asked["device"] == "cuda":
        import torch

        found["peak_memory_mib"] = round(torch.cuda.max_memory_reserved() / 2**20)
    return found


def profile(**asked: Any) -> dict[str, float]:
    """Return where a training step's time goes: kernels on the device against the whole step."""
    import torch
    from torch._C._autograd import DeviceType
    from torch.profiler import ProfilerActivity

    training = made_training(**asked)
    training.run_epoch()
    batches = list(islice(training.batches.epoch(1), PROFILED_STEPS))
    on_gpu = asked["device"] == "cuda"
    began = time.perf_counter()
    for images_BCHW, labels_B in batches:
        training._step(images_BCHW, labels_B, 0.01)
    host_s = time.perf_counter() - began
    if on_gpu:
        torch.cuda.synchronize()
    step_s = time.perf_counter() - began
    found = {"step_ms": 1e3 * step_s / len(batches), "launching_ms": 1e3 * host_s / len(batches)}
    if on_gpu:
        with torch.profiler.profile(activities=[ProfilerActivity.CUDA]) as profiled:
            for images_BCHW, labels_B in batches:
                training._step(images_BCHW, labels_B, 0.01)
            torch.cuda.synchronize()
        kernels = [event for event in profiled.events() if event.device_type == DeviceType.CUDA]
        found["kernels_a_step"] = len(kernels) / len(batches)
        found["kernels_ms"] = sum(event.device_time_total for event in kernels) / 1e3 / len(batches)
        found["gpu_busy_share"] = found["kernels_ms"] / found["step_ms"]
    return {name: round(value, 3) for name, value in found.items()}


def beside(barrier: Any, results: Any, repetitions: int, asked: dict[str, Any]) -> None:
    """Train one of several trials: every measured epoch starts when all are ready."""
    training = made_training(**asked)
    for _ in range(WARM_UP_EPOCHS):
        training.run_epoch()
    for _ in range(repetitions):
        barrier.wait(LONGEST_WAIT_S)
        began = time.monotonic()
        training.run_epoch()
        results.put((began, time.monotonic(), len(training.batches.labels_N)))
        barrier.wait(LONGEST_WAIT_S)


def side_by_side(trials: int, repetitions: int, **asked: Any) -> dict[str, float]:
    """Return images/s of all trials together, each in a process of its own, as the engine runs them."""
    spawn = get_context("spawn")
    barrier, results = spawn.Barrier(trials), spawn.Queue()
    workers = [spawn.Process(target=beside, args=(barrier, results, repetitions, asked)) for _ in range(trials)]
    for worker in workers:
        worker.start()
    together = []
    for _ in range(repetitions):
        found = [results.get(timeout=LONGEST_WAIT_S) for _ in range(trials)]
        span_s = max(end for _, end, _ in found) - min(began for began, _, _ in found)
        together.append(sum(images for _, _, images in found) / span_s)
    for worker in workers:
        worker.join()
    return _summary(together)


def main(
    device: Annotated[str, typer.Option(help="A torch device name.")] = "cuda",
    pictures: Annotated[int, typer.Option(help="Pictures of each trial's data.")] = 12_000,
    size_px: Annotated[int, typer.Option(help="Their side.")] = 100,
    batch_sizes: Annotated[str, typer.Option(help="Batch sizes, with commas.")] = "64,256",
    trials: Annotated[str, typer.Option(help="How many trials side by side, with commas.")] = "1,2,4,8",
    repetitions: Annotated[int, typer.Option(help="Epochs measured, per setting.")] = 5,
    arm: Annotated[str, typer.Option(help="Whose default configuration is trained.")] = "reference",
) -> None:
    """Measure one setting after the other; each result is printed as a line, all of them as JSON at the end."""
    import torch

    about = {"torch": torch.__version__, "cpus": os.cpu_count(), "pictures": pictures, "size_px": size_px, "arm": arm}
    about["device"] = torch.cuda.get_device_name() if device == "cuda" else device
    found: dict[str, Any] = {}

    def note(name: str, value: Any) -> None:
        found[name] = value
        typer.echo(json.dumps({name: value}), err=True)

    for batch_size in (int(size) for size in batch_sizes.split(",")):
        asked = {"pictures": pictures, "size_px": size_px, "device": device, "batch_size": batch_size, "arm": arm}
        for precision in ("bfloat16", "float32"):
            note(f"solo, batch {batch_size}, {precision}", solo(repetitions, **asked, precision=precision))
        asked["precision"] = "bfloat16"
        note(f"profile, batch {batch_size}, bfloat16", profile(**asked))
        for count in (int(count) for count in trials.split(",")):
            note(f"{count} side by side, batch {batch_size}, bfloat16", side_by_side(count, repetitions, **asked))
    typer.echo(json.dumps({"images_per_s": found, **about}, indent=1))


def _summary(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values)), "lowest": round(min(values)), "highest": round(max(values))}


if __name__ == "__main__":
    typer.run(main)
