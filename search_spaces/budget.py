"""How much effort every arm gets, and how its hyperparameters are searched for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from search_spaces.domains import Frozen, Levels

Sampler = Literal["tpe", "random", "gp", "cmaes", "grid"]
EarlyStopping = Literal["asha", "none"]


class Budget(Frozen):
    """Effort that every arm gets alike.

    >>> budget = Budget(replicates=3, trials=6, epochs=9, grace_epochs=1, reduction_factor=3)
    >>> budget.seeds, budget.sampler, budget.rungs
    (1, 'tpe', (1, 3))
    >>> Budget(replicates=3, trials=6, epochs=9, early_stopping="none").rungs
    ()
    """

    replicates: int = Field(ge=1, description="independent repetitions of search and confirmation, per arm")
    trials: int = Field(
        ge=0, description="search trials per arm and replicate, which a grid counts itself; 0: no search, defaults only"
    )
    seeds: int = Field(default=1, ge=1, description="confirm runs per replicate")
    epochs: int = Field(ge=1, description="full training length")
    sampler: Sampler = Field(default="tpe", description="what proposes the hyperparameters of search trials")
    early_stopping: EarlyStopping = Field(default="asha", description="none: all search trials are trained in full")
    grace_epochs: int = Field(default=1, ge=1, description="ASHA's first rung")
    reduction_factor: int = Field(default=3, ge=2, description="ASHA's η: one in η goes on at a rung")
    fixed: Levels = Field(default={}, description="fixed hyperparameters that come with this budget")
    arms: tuple[str, ...] = Field(
        default=(), description="globs of a one-at-a-time study's arms if --arms asks for no others; empty: all of them"
    )

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which ASHA decides: grace · η^k, below the full length; none without early stopping."""
        rungs, epoch = [], self.grace_epochs
        while self.early_stopping == "asha" and epoch < self.epochs:
            rungs.append(epoch)
            epoch *= self.reduction_factor
        return tuple(rungs)
