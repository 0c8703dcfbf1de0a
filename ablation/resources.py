"""What trials may take of the machine or cluster they run on, and how a sweep tells of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from search_spaces.space import Frozen

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Resources(Frozen):
    """Share of the hardware per trial, limits of the whole, form of the log: recorded, but not what is studied."""

    cpus_per_trial: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    gpus_per_trial: NonNegative | Literal["auto"] = Field(
        default="auto", description="auto: a quarter where there are GPUs"
    )
    max_concurrent: int | None = Field(default=None, ge=1)
    address: str | None = None
    executor: Literal["ray", "in-process"] = "ray"
    watchdog_minutes: float = Field(default=60.0, gt=0, allow_inf_nan=False, description="longest epoch; a hang ends")
    max_hours: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_equal_failures: int = Field(
        default=5, ge=0, description="pause when that many trials fail alike and none works; 0: never"
    )
    log_format: Literal["text", "json"] = Field(default="text", description="json: one object a line on stderr")


@dataclass(frozen=True)
class Slots:
    """How many trials run at once, the CPUs and share of a GPU that each takes, and what allows no more of them."""

    count: int
    cpus: float
    gpus: float
    limit: str = ""

    @property
    def per_trial(self) -> dict[str, float]:
        """Return what Ray is asked for, for each trial."""
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {})}

    def __str__(self) -> str:
        """Say the count and its reason."""
        return f"{self.count} at a time" + (f" ({self.limit})" if self.limit else "")


def fitting_slots(resources: Resources, cpus: float, gpus: float, cpu_limit: str = "") -> Slots:
    """Count the trials that fit into so many CPUs and GPUs; 0 if none does.

    ``cpu_limit`` says why there are no more CPUs, if there is a reason.
    """
    cpus_each, gpus_each = resources.cpus_per_trial, resources.gpus_per_trial
    if gpus_each == "auto":
        gpus_each = 0.25 if gpus else 0.0
    because = "; ".join(filter(None, (f"CPUs: {cpus:g}, {cpus_each:g} a trial", cpu_limit)))
    limits = [(int(cpus / cpus_each), because)]
    if gpus_each:
        limits.append((int(gpus / gpus_each), f"GPUs: {gpus:g}, {gpus_each:g} a trial"))
    if resources.max_concurrent is not None:
        limits.append((resources.max_concurrent, f"--max-concurrent {resources.max_concurrent}"))
    count, limit = min(limits, key=lambda found: found[0])
    return Slots(count, cpus_each, gpus_each, limit)


def in_process_slot(resources: Resources, gpus: float) -> Slots:
    """Return the one slot of this process, on a GPU if there is one and trials may take it."""
    is_on_gpu = gpus > 0 and resources.gpus_per_trial != 0
    return Slots(1, resources.cpus_per_trial, 1.0 if is_on_gpu else 0.0, "--executor in-process")
