"""What trials may take of the machine or cluster they run on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from search_spaces.space import Frozen

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Resources(Frozen):
    """Share of the hardware per trial and limits of the whole; recorded, but no part of what is studied."""

    cpus_per_trial: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    gpus_per_trial: NonNegative | Literal["auto"] = Field(
        default="auto", description="auto: a quarter where there are GPUs"
    )
    max_concurrent: int | None = Field(default=None, ge=1)
    address: str | None = None
    max_hours: float | None = Field(default=None, gt=0, allow_inf_nan=False)
