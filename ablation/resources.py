"""What trials may take of the machine or cluster they run on, and how a sweep reports itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from search_spaces.space import Frozen

Keep = Literal["confirmed", "best-per-arm", "all"]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Resources(Frozen):
    """Share of the hardware per trial, limits of the whole, form of the log: recorded, but not what is studied."""

    cpus_per_trial: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    gpus_per_trial: NonNegative | Literal["auto"] = Field(
        default="auto", description="auto: a quarter if there are GPUs"
    )
    max_concurrent: int | None = Field(default=None, ge=1)
    max_nodes: int | None = Field(default=None, ge=1, description="wait for nodes to join, up to so many")
    address: str | None = None
    executor: Literal["ray", "in-process"] = "ray"
    watchdog_minutes: float = Field(default=60.0, gt=0, allow_inf_nan=False, description="longest epoch; a hang ends")
    max_hours: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_equal_failures: int = Field(
        default=5, ge=0, description="pause when that many trials fail alike and none works; 0: never"
    )
    keep: Keep | None = Field(
        default=None, description="checkpoints of search trials that stay: none, each arm's best, all; None: as before"
    )
    log_format: Literal["text", "json"] = Field(default="text", description="json: one object a line on stderr")
