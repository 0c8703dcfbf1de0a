"""A study without torch or data: curves in place of training, and trials that misbehave on request."""

from __future__ import annotations

import math
import os
import random
import signal
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from ablation.plan import Plan
from ablation.trial import EpochRecord, TrialContext
from search_spaces.space import Budget, Choice, Float, Space


class ToyModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    bonus: float = 0.0
    speed: float = Field(default=3.0, gt=0)
    offset: float = Field(default=0.0, ge=-3, le=3)
    misbehave: str = "no"


class ToyConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    toy: ToyModel = ToyModel()


class ToyError(RuntimeError):
    """What a misbehaving trial raises."""


def run_trial(config: ToyConfig, context: TrialContext) -> Iterator[EpochRecord]:
    """Follow f·(1 − exp(−t/τ)) with noise, as ENGINE_FACTS' slow starter does."""
    noise = random.Random(context.seed)
    toy = config.toy
    final = 0.8 + toy.bonus - 0.05 * toy.offset**2 + noise.gauss(0, 0.01)
    for epoch in range(1, context.epochs + 1):
        value = final * (1 - math.exp(-epoch / toy.speed)) + noise.gauss(0, 0.005)
        metrics = {"val_score": value, "train_loss": 1 - value, "note": math.nan}
        if toy.misbehave == "raise" and epoch == 2:
            raise ToyError("asked to")
        if toy.misbehave == "die once" and epoch == 2 and context.trial_id == "baseline/0/search/0":
            _die_once(context)
        if toy.misbehave == "nan" and epoch == 1:
            metrics["train_loss"] = math.nan
        if toy.misbehave == "none" and epoch == 2:
            metrics["val_score"] = None  # type: ignore[assignment]  # what a broken trial may yield
        if toy.misbehave == "missing":
            del metrics["val_score"]
        if toy.misbehave == "short" and epoch == 2:
            return
        if context.phase == "confirm" and epoch == context.epochs:
            metrics["test_score"] = final + noise.gauss(0, 0.01)
        print(f"{context.trial_id} epoch {epoch} process {os.getpid()}")
        yield EpochRecord(epoch=epoch, epoch_s=0.01, metrics=metrics, images=10)


def _die_once(context: TrialContext) -> None:
    """Kill the worker, as a machine that runs out of memory would, unless this trial has done so before."""
    context.checkpoint_dir.mkdir(parents=True, exist_ok=True)
    mark = context.checkpoint_dir / "died"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


SPACE = Space(
    name="toy",
    description="curves in place of training",
    trial="tests.toy_study:run_trial",
    factors={"toy.bonus": Choice(values=(0.0, 0.05, -0.05)), "toy.speed": Choice(values=(3.0, 5.0))},
    reference={"toy.bonus": 0.0, "toy.speed": 3.0},
    baseline={"toy.bonus": -0.05, "toy.speed": 5.0},
    nuisance={"toy.offset": Float(low=-2.0, high=2.0, default=1.0)},
    fixed={"toy.misbehave": "no"},
    metrics=("score",),
    budgets={
        "quick": Budget(replicates=3, trials=4, epochs=9, grace_epochs=1, reduction_factor=3),
        "standard": Budget(replicates=5, trials=6, epochs=27, grace_epochs=3, reduction_factor=3),
    },
)


PLAIN = Space(
    name="toy-plain",
    description="curves, without factors",
    trial="tests.toy_study:run_trial",
    nuisance={
        "toy.offset": Float(low=-2.0, high=2.0, default=1.0),
        "toy.speed": Float(low=1.0, high=10.0, default=5.0, log=True),
    },
    fixed={"toy.misbehave": "no"},
    metrics=("score",),
    budgets={"quick": Budget(replicates=1, trials=12, seeds=3, epochs=9, grace_epochs=1, reduction_factor=3)},
)


def plain_plan(**budget: int) -> Plan:
    """Plan the toy search without factors, with another budget if asked."""
    whole = PLAIN.budgets["quick"].model_copy(update=budget)
    return Plan(space=PLAIN, metric="score", budget=whole, arms=PLAIN.arms(), comparisons=())


def toy_plan(seed: int = 0, budget: str = "quick", **fixed: str) -> Plan:
    """Plan the toy study, with trials that misbehave as ``fixed`` says."""
    space = SPACE.model_copy(update={"fixed": {**SPACE.fixed, **{f"toy.{key}": text for key, text in fixed.items()}}})
    arms = space.arms()
    return Plan(
        space=space,
        metric="score",
        budget=space.budgets[budget],
        seed=seed,
        arms=arms,
        comparisons=space.declared(arms),
    )
