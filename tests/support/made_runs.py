"""Run directories written by hand, with planted values: what the analysis must find is known beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ablation.paths import RunPaths
from search_spaces.space import Arm, Budget, Choice, Comparison, Design, Float, Space

# Not the model this project ships: the analysis must know nothing of it.
BRIDGES = Space(
    name="bridges",
    description="which parts of a made bridge matter",
    trial="made.bridges:run_trial",
    factors={"deck.material": Choice(values=("steel", "wood")), "deck.span": Choice(values=(1.0, 10.0, 100.0))},
    reference={"deck.material": "steel", "deck.span": 10.0},
    baseline={"deck.material": "wood", "deck.span": 1.0},
    comparisons=(Comparison(against="reference"),),
    nuisance={"build.rate": Float(low=0.01, high=1.0, default=0.1, log=True)},
    metrics=("strength", "beauty"),
    budgets={"quick": Budget(replicates=3, trials=2, epochs=4, grace_epochs=2, reduction_factor=2)},
)
BRIDGE_EFFECTS = {"reference": 0.0, "material=wood": -0.10, "span=1.0": 0.004, "span=100.0": -0.002, "baseline": -0.06}
CLASSES = ("calm", "stormy")

Value = Callable[[Arm, int, int], float]
Statuses = Mapping[str, tuple[str, str | None]]


def bridge_value(arm: Arm, replicate: int, seed: int) -> float:
    """Plant 0.70 + the arm's effect + 0.01 a replicate + a wobble of at most 0.002 that differs by arm."""
    wobble = 0.002 * ((len(arm.name) * (replicate + 1) * 7) % 11 / 5 - 1)
    return 0.70 + BRIDGE_EFFECTS.get(arm.name, 0.0) + 0.01 * replicate + wobble + 0.001 * seed


def write_run(
    root: Path,
    space: Space = BRIDGES,
    *,
    value: Value = bridge_value,
    replicates: int | None = None,
    seeds: int | None = None,
    statuses: Statuses | None = None,
    design: Design = "one-at-a-time",
    artifacts: bool = False,
    random_search: bool = False,
    classes: tuple[str, ...] = CLASSES,
) -> Path:
    """Write a study's run directory whose confirm trials score ``value(arm, replicate, seed)``.

    ``statuses`` plants (status, reason) by trial id; every second search trial is stopped at the first rung.
    """
    budget = space.budgets["quick"]
    budget = budget.model_copy(update={"replicates": replicates or budget.replicates, "seeds": seeds or budget.seeds})
    arms = space.arms(design)
    paths = RunPaths(root)
    paths.root.mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for arm in arms:
        for replicate in range(budget.replicates):
            for phase, count in (("search", budget.trials), ("confirm", budget.seeds)):
                for index in range(count):
                    row = _trial(space, budget, arm, replicate, phase, index, value, statuses or {})
                    rows.append(row)
                    curves += _curve(space, budget, row)
                    if artifacts and phase == "confirm" and row["status"] == "completed":
                        _write_artifacts(paths.artifact_dir(row["trial_id"]), row, space, classes)
    pd.DataFrame(rows).astype({"reason": object}).to_parquet(paths.trials, index=False)
    pd.DataFrame(curves).to_parquet(paths.epochs, index=False)
    paths.study.write_text(json.dumps(_study(space, budget, arms, design, random_search, classes), indent=1))
    paths.summary.write_text(json.dumps(_summary(rows)))
    return root


def _trial(
    space: Space, budget: Budget, arm: Arm, replicate: int, phase: str, index: int, value: Value, statuses: Statuses
) -> dict[str, Any]:
    trial_id = f"{arm.name}/{replicate}/{phase}/{index}"
    usual = "stopped" if phase == "search" and index % 2 else "completed"
    status, reason = statuses.get(trial_id, (usual, None))
    whole = status == "completed"
    trained = budget.epochs if whole else 0 if status == "pending" else budget.grace_epochs
    row: dict[str, Any] = {"trial_id": trial_id, "arm": arm.name, "replicate": replicate, "phase": phase}
    row |= {"index": index, "seed": 1000 * replicate + index, "status": status, "reason": reason}
    row |= {"epochs_planned": budget.epochs, "epochs_trained": trained, "attempts": 0 if status == "pending" else 1}
    row |= {"stopped_at_rung": budget.grace_epochs if status == "stopped" else None, "wall_s": 2.5 * trained}
    row |= {"images_per_s": 100.0, "checkpoint": None}
    proposal = {name: space.default(name) for name in arm.searched}
    levels = space.configuration(arm, proposal)
    levels |= {"build.rate": 0.1 * 2**replicate} if "build.rate" in levels else {}
    row |= {f"config.{name}": levels.get(name) for name in (*space.fixed, *space.factors, *space.nuisance)}
    score = value(arm, replicate, index if phase == "confirm" else 0)
    for place, metric in enumerate(metric.name for metric in space.metrics):
        row[f"metric.val_{metric}"] = score - 0.01 * place if trained else None
        row[f"metric.test_{metric}"] = score - 0.05 * place if phase == "confirm" and whole else None
    return row


def _curve(space: Space, budget: Budget, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    records = []
    for epoch in range(1, row["epochs_trained"] + 1):
        share = 1 - 0.5 ** (5 * epoch / budget.epochs)
        record = {
            "trial_id": row["trial_id"],
            "epoch": epoch,
            "seq": epoch,
            "epoch_s": 2.5,
            "metric.train_loss": 1 / epoch,
        }
        record |= {(name := f"metric.val_{metric.name}"): row[name] * share for metric in space.metrics}
        records.append(record)
    return records


def _write_artifacts(folder: Path, row: Mapping[str, Any], space: Space, classes: tuple[str, ...]) -> None:
    folder.mkdir(parents=True)
    recall = row[f"metric.test_{space.metrics[0].name}"]
    cells = []
    for label in range(len(classes)):
        hits = round(1000 * recall) - 20 * label
        cells += [(label, label, hits), (label, (label + 1) % len(classes), 1000 - hits)]
    pd.DataFrame(cells, columns=["label", "predicted", "count"]).to_parquet(folder / "confusion.parquet", index=False)
    pairs = [(label, predicted) for label, predicted, count in cells for _ in range(count // 100)]
    frame = pd.DataFrame(pairs, columns=["label", "predicted"])
    frame.insert(0, "image", range(len(frame)))
    frame.assign(confidence=0.5).to_parquet(folder / "predictions.parquet", index=False)


def _study(
    space: Space, budget: Budget, arms: tuple[Arm, ...], design: str, random_search: bool, classes: tuple[str, ...]
) -> dict[str, Any]:
    plan = {
        "space": space.model_dump(mode="json"),
        "design": design,
        "metric": space.metrics[0].name,
        "budget": budget.model_dump(mode="json"),
        "seed": 7,
        "arms": [arm.model_dump(mode="json") for arm in arms],
        "comparisons": [list(pair) for pair in space.declared(arms)],
    }
    data = {"uri": "made", "fingerprint": "f" * 16, "class_names": list(classes), "train_count": 80, "test_count": 20}
    return {
        "schema_version": 2,
        "name": f"made-{space.name}",
        "created_utc": "2030-01-02T03:04:05Z",
        "command": ["python", "-m", "ablation.run", "--space", space.name],
        "versions": {"python": "3.12.0", "ray": "2.60.0"},
        "git_commit": "0123456789abcdef",
        "hardware": {"cpus": 2, "gpus": 0},
        "budget_name": "quick",
        "data": data,
        "plan": plan,
        "rungs": [budget.grace_epochs],
        "search_is_random": random_search,
    }


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    statuses = [row["status"] for row in rows]
    names = ("completed", "stopped", "diverged", "failed", "interrupted", "pending")
    return {"planned": len(rows)} | {name: statuses.count(name) for name in names} | {"sweep_wall_s": 123.4}
