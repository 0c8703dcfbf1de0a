"""A study to break: logistic regression in numpy, which trains, keeps checkpoints, and repeats itself to the bit.

Trials misbehave on request: ``chaos.misbehave``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from ablation import checkpoint
from ablation.trial import EpochRecord, TrialContext
from search_spaces.space import Budget, Choice, Float, Space

EXAMPLES, FEATURES, BATCH = 2000, 40, 20
F64 = npt.NDArray[np.float64]


class Chaos(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    lr: float = Field(default=0.1, gt=0)
    decay: float = Field(default=1e-3, ge=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    passes: int = Field(default=4, ge=1, description="passes over the data an epoch: how long one takes")
    rounds: int = Field(default=1, ge=1, description="how often all passes are done: longer epochs, nothing else")
    misbehave: str = "no"


class ChaosConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    chaos: Chaos = Chaos()


def run_trial(config: ChaosConfig, context: TrialContext) -> Iterator[EpochRecord]:
    """Train with momentum SGD; order of an epoch is a function of (seed, epoch), every epoch ends in a checkpoint."""
    chaos = config.chaos
    identity = checkpoint.identity(config.model_dump(), context.seed, context.epochs)
    train, validation, test = (_data(context.replicate_seed, part) for part in range(3))
    found = checkpoint.newest(context.checkpoint_dir, identity, "numpy")
    state = _start(context.seed) if found is None else {name: array.copy() for name, array in found.tensors.items()}
    records = [] if found is None else list(found.records)
    yield from records
    while len(records) < context.epochs:
        epoch, began = len(records) + 1, time.monotonic()
        _misbehave(chaos.misbehave, epoch)
        _train(state, train, chaos, np.random.default_rng([context.seed, epoch]))
        metrics = {"val_accuracy": _accuracy(state, validation), "train_loss": _loss(state, train)}
        if chaos.misbehave == "nan" and epoch == 2:
            metrics["train_loss"] = math.nan
        if chaos.misbehave == "none" and epoch == 3:  # later than what is tried before a sweep
            metrics["val_accuracy"] = None  # type: ignore[assignment]  # what a broken trial may yield
        if context.phase == "confirm" and epoch == context.epochs:
            metrics["test_accuracy"] = _accuracy(state, test)
        record = EpochRecord(epoch, time.monotonic() - began, metrics, images=EXAMPLES)
        records.append(record)
        about: dict[str, Any] = {"trial_id": context.trial_id}
        kept = checkpoint.Checkpoint(epoch, identity, tuple(records), state, about)
        checkpoint.save(context.checkpoint_dir, kept)
        print(f"{context.trial_id} epoch {epoch}")
        yield record


def _misbehave(how: str, epoch: int) -> None:
    if epoch != 2:
        return
    if how == "raise":
        raise ArithmeticError("asked to")
    if how == "memory":
        raise MemoryError("asked to")
    if how == "hang":
        while True:
            time.sleep(1)


def _data(seed: int, part: int) -> tuple[F64, F64]:
    rng = np.random.default_rng([seed, part])
    truth_D = np.random.default_rng(seed).normal(size=FEATURES)
    inputs_ND = rng.normal(size=(EXAMPLES, FEATURES))
    labels_N = (inputs_ND @ truth_D + rng.normal(scale=4, size=EXAMPLES) > 0).astype(np.float64)
    return inputs_ND, labels_N


def _start(seed: int) -> dict[str, F64]:
    return {"weight": np.random.default_rng(seed).normal(size=FEATURES) * 0.01, "velocity": np.zeros(FEATURES)}


def _train(state: dict[str, F64], data: tuple[F64, F64], chaos: Chaos, rng: np.random.Generator) -> None:
    inputs_ND, labels_N = data
    for _ in range(chaos.passes * chaos.rounds):
        for batch_B in rng.permutation(EXAMPLES).reshape(-1, BATCH):
            error_B = _probability(state, inputs_ND[batch_B]) - labels_N[batch_B]
            gradient_D = inputs_ND[batch_B].T @ error_B / BATCH + chaos.decay * state["weight"]
            state["velocity"] = chaos.momentum * state["velocity"] + gradient_D
            state["weight"] = state["weight"] - chaos.lr * state["velocity"]


def _probability(state: dict[str, F64], inputs_ND: F64) -> F64:
    return np.asarray(1 / (1 + np.exp(-np.clip(inputs_ND @ state["weight"], -30, 30))))


def _accuracy(state: dict[str, F64], data: tuple[F64, F64]) -> float:
    return float(((_probability(state, data[0]) > 0.5) == data[1]).mean())


def _loss(state: dict[str, F64], data: tuple[F64, F64]) -> float:
    probability_N = np.clip(_probability(state, data[0]), 1e-12, 1 - 1e-12)
    return float(-np.log(np.where(data[1] > 0, probability_N, 1 - probability_N)).mean())


SPACE = Space(
    name="chaos",
    description="logistic regression, to be broken",
    trial="tests.chaos.trial:run_trial",
    factors={"chaos.momentum": Choice(values=(0.0, 0.5, 0.9)), "chaos.passes": Choice(values=(2, 4))},
    reference={"chaos.momentum": 0.9, "chaos.passes": 4},
    baseline={"chaos.momentum": 0.0, "chaos.passes": 2},
    nuisance={
        "chaos.lr": Float(low=1e-3, high=1.0, default=0.05, log=True),
        "chaos.decay": Float(low=1e-5, high=1e-1, default=1e-3, log=True),
    },
    fixed={"chaos.rounds": 1, "chaos.misbehave": "no"},
    metrics=("accuracy",),
    budgets={
        "quick": Budget(replicates=2, trials=5, epochs=9, grace_epochs=1, reduction_factor=3),
        "standard": Budget(replicates=4, trials=6, epochs=27, grace_epochs=1, reduction_factor=3),
    },
)
