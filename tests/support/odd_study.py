"""A study whose scores are planted by rule, so that odd ones can be had: one score for all, none at all, thousands."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

from ablation.plan import Plan
from ablation.trial import EpochRecord, TrialContext
from search_spaces.space import Budget, Choice, Design, Float, Space

SPACE = Space(
    name="odd",
    description="scores by rule",
    trial="tests.support.odd_study:run_trial",
    factors={"odd.kind": Choice(values=("a", "b", "c")), "odd.size": Choice(values=(1, 2, 4))},
    reference={"odd.kind": "a", "odd.size": 2},
    baseline={"odd.kind": "b", "odd.size": 1},
    nuisance={"odd.rate": Float(low=1e-3, high=1.0, default=0.1, log=True)},
    fixed={"rule.scores": "usual", "rule.ends": "usual", "rule.metrics": "score"},
    metrics=("score",),
    budgets={"quick": Budget(replicates=3, trials=3, epochs=3, grace_epochs=1, reduction_factor=2)},
)
EFFECTS: Mapping[Any, float] = {"a": 0.0, "b": -0.05, "c": 0.02, 1: -0.01, 2: 0.0, 4: 0.01}
OTHERS = ("constant", "zero", "one", "level", "chance")


def run_trial(config: dict[str, Any], context: TrialContext) -> Iterator[EpochRecord]:
    """Yield what ``rule.scores`` says, and end as ``rule.ends`` says."""
    noise = random.Random(context.seed)
    for epoch in range(1, context.epochs + 1):
        _end_early(str(config["rule.ends"]), context, epoch)
        value = score(config, context, noise, epoch / context.epochs)
        names = str(config["rule.metrics"]).split(",")
        metrics = {f"val_{name}": value * (1 + place) for place, name in enumerate(names)}
        if context.phase == "confirm" and epoch == context.epochs:
            metrics |= {f"test_{name}": value * (1 + place) for place, name in enumerate(names)}
        if config["rule.ends"] == "second metric is nan":
            metrics |= {name: math.nan for name in metrics if name.endswith(names[-1])}
        yield EpochRecord(epoch=epoch, epoch_s=0.01, metrics=metrics, images=10)


def score(config: Mapping[str, Any], context: TrialContext, noise: random.Random, share: float) -> float:
    """Plant a score, ``share`` of the way to the end."""
    kind, arm = str(config["rule.scores"]), context.trial_id.partition("/")[0]
    level = EFFECTS.get(config.get("odd.kind"), 0.0) + EFFECTS.get(config.get("odd.size"), 0.0)
    usual = (0.7 + level) * (1 - 0.5 ** (5 * share)) + noise.gauss(0, 0.01)
    planted: dict[str, float] = {
        **{"usual": usual, "constant": 0.3, "zero": 0.0, "one": 1.0, "chance": float(noise.random() < 0.5)},
        **{"constant in one arm": 0.3 if arm == "baseline" else usual, "level": 0.7 + level},
        **{"thousands": 5000 * usual, "billions": 1e9 * usual, "tiny": 1e-9 * usual, "huge": 1e200 * usual},
        **{"negative": -usual, "around nought": usual - 0.67, "nearly all": 1 - 0.001 * (1.1 - usual)},
        **{"whole": float(round(100 * usual)), "huge in one arm": 1e300 if arm == "baseline" else usual},
        **{"infinite at first": math.inf if share < 0.5 else usual, "never known": math.nan},
        "never known in one arm": math.nan if arm == "kind=c" else usual,
    }
    return planted[kind]


def _end_early(rule: str, context: TrialContext, epoch: int) -> None:
    arm, replicate, phase, index = context.trial_id.split("/")
    fails = {
        "all fail": True,
        "all fail late": epoch == context.epochs,
        "searches fail in one arm": arm == "kind=c" and phase == "search",
        "the reference fails": arm == "reference",
        "the baseline fails": arm == "baseline",
        "one search trial survives": phase == "search" and (arm, replicate, index) != ("reference", "0", "0"),
        "one trial a search survives": phase == "search" and index != "1",
        "no search trial ends": phase == "search" and epoch == context.epochs,
        "confirm trials fail": phase == "confirm",
        "one replicate is left": phase == "confirm" and replicate != "0",
        "a replicate fails in one arm": (arm, replicate) == ("kind=c", "1"),
    }
    if fails.get(rule, False):
        raise RuntimeError(f"asked to, in epoch {epoch}:\n  <b>{rule}</b> & 'all'")


def odd_plan(
    scores: str = "usual",
    ends: str = "usual",
    *,
    design: Design = "one-at-a-time",
    budget: Mapping[str, Any] | None = None,
    **space: Any,
) -> Plan:
    """Plan the odd study by rule; ``budget`` and ``space`` replace what the ordinary one has."""
    asked = {**dict(SPACE), "metrics": ("score",), **space}
    rule = {"rule.scores": scores, "rule.ends": ends, "rule.metrics": ",".join(asked["metrics"])}
    whole = Space.model_validate({**asked, "fixed": {**asked["fixed"], **rule}})
    arms = whole.arms(design)
    return Plan(
        space=whole,
        design=design,
        metric=whole.metrics[0].name,
        budget=whole.budgets["quick"].model_copy(update=dict(budget or {})),
        seed=0,
        arms=arms,
        comparisons=whole.declared(arms),
    )
