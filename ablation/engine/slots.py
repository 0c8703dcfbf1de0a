"""How many trials run at once, on what, and what allows no more of them: the same rules for plan and sweep."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ablation.engine.connecting import address_faults
from ablation.faults import FaultsError
from ablation.machine import usable_cpus
from ablation.resources import Resources

# One of these is there on Linux if it has a GPU that torch could use: NVIDIA's, AMD's, under WSL, on a Jetson.
GPU_DEVICES = tuple(map(Path, ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "/dev/nvhost-gpu", "/dev/nvgpu")))


@dataclass(frozen=True)
class Slots:
    """How many trials run at once, the CPUs and share of a GPU that each takes, and what allows no more of them.

    ``wait`` says what is waited for, if workers wait for a place.
    """

    count: int
    cpus: float
    gpus: float
    limit: str = ""
    wait: str = ""

    @property
    def per_trial(self) -> dict[str, float]:
        """Return what Ray is asked for, for each trial."""
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {})}

    def __str__(self) -> str:
        """Say the count and its reason."""
        return f"{self.count} at a time" + (f" ({self.limit})" if self.limit else "")


def fitting_slots(resources: Resources, cpus: float, gpus: float, cpu_limit: str = "") -> Slots:
    """Count the trials that fit into so many CPUs and GPUs of one machine; 0 if none does.

    ``cpu_limit`` says why there are no more CPUs, if there is a reason.

    >>> str(fitting_slots(Resources(cpus_per_trial=2), cpus=8, gpus=0))
    '4 at a time (CPUs: 8, 2 a trial)'
    >>> fitting_slots(Resources(), cpus=16, gpus=1).count
    4
    """
    return slots_on([{"CPU": cpus, "GPU": gpus}], resources, cpu_limit)


def slots_on(nodes: Iterable[Mapping[str, float]], resources: Resources, cpu_limit: str = "") -> Slots:
    """Count the trials that fit onto nodes with so many CPUs and GPUs each: none is spread over two.

    >>> str(slots_on([{"CPU": 3}, {"CPU": 3}], Resources(cpus_per_trial=2)))
    '2 at a time (CPUs: 2 × 3, 2 a trial)'
    """
    nodes = list(nodes)
    cpus_each, gpus_each = resources.cpus_per_trial, resources.gpus_per_trial
    if gpus_each == "auto":
        gpus_each = 0.25 if any(node.get("GPU") for node in nodes) else 0.0
    by_cpus = [whole(node.get("CPU", 0.0), cpus_each) for node in nodes]
    because = "; ".join(filter(None, (f"CPUs: {_sizes(nodes, 'CPU')}, {cpus_each:g} a trial", cpu_limit)))
    limits = [(sum(by_cpus), because)]
    if gpus_each:
        by_gpus = [whole(node.get("GPU", 0.0), gpus_each) for node in nodes]
        count = sum(map(min, by_cpus, by_gpus))
        limits.append((count, f"GPUs: {_sizes(nodes, 'GPU')}, {gpus_each:g} a trial"))
    if resources.max_concurrent is not None:
        limits.append((resources.max_concurrent, f"--max-concurrent {resources.max_concurrent}"))
    count, limit = min(limits, key=lambda found: found[0])
    return Slots(count, cpus_each, gpus_each, limit)


def whole(there: float, each: float) -> int:
    """Count the trials that take so much each and fit whole; Ray counts in ten-thousandths.

    >>> whole(0.3, 0.1)
    3
    """
    return math.floor(there / each + 1e-4)


def _sizes(nodes: Iterable[Mapping[str, float]], name: str) -> str:
    """Say what nodes have, the equal ones together: ``2 × 3 + 8``."""
    sizes = Counter(node[name] for node in nodes if node.get(name))
    return " + ".join(f"{count} × {size:g}" if count > 1 else f"{size:g}" for size, count in sizes.items()) or "0"


def in_process_slot(resources: Resources, gpus: float) -> Slots:
    """Return the one slot of this process, on a GPU if there is one and trials may take it."""
    is_on_gpu = gpus > 0 and resources.gpus_per_trial != 0
    return Slots(1, resources.cpus_per_trial, 1.0 if is_on_gpu else 0.0, "--executor in-process")


def visible_gpus(address: str | None) -> float:
    """Count the GPUs that trials could use: this machine's, or those of the cluster at ``address``."""
    if address is not None:
        faults = address_faults(address)
        if faults:
            raise FaultsError(faults)
        from ablation.engine.cluster import cluster_gpus

        try:
            return cluster_gpus(address)
        except ConnectionError as error:
            raise FaultsError([f"--address is {address!r}, but {error}"]) from error
    if sys.platform == "linux" and not any(device.exists() for device in GPU_DEVICES):
        return 0  # torch, which takes seconds to import, has none to find
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
