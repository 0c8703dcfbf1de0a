"""The best configuration of a run, in a line and for programs; ``ablation best`` says more of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ablation.best_trial import best_trial
from ablation.faults import FaultsError
from ablation.run_dir import RunLocation, run_dir


def best_facts(run: RunLocation) -> dict[str, Any] | None:
    """Return the best confirm trial by validation: its id, score, searched values and checkpoint; None without one."""
    where = run_dir(run)
    try:
        best = best_trial(where)
        plan = where.plan_now()
    except (FileNotFoundError, FaultsError):
        return None  # nothing is confirmed yet, or tables are not there
    arm = next(arm for arm in plan.arms if arm.name == best.arm)
    searched = {name: best.row.get(f"config.{name}") for name in arm.searched}
    return {
        "trial_id": best.trial_id,
        "metric": plan.space.metric(best.metric).validation,
        "value": best.score,
        "config": {name: value for name, value in searched.items() if value is not None},
        "checkpoint": None if best.checkpoint is None else str(best.checkpoint),
    }


def best_in_words(best: Mapping[str, Any] | None) -> list[str]:
    """Say which trial is best, with what, and where its checkpoint is; nothing without one."""
    if best is None:
        return []
    values = ", ".join(f"{name}={_short(value)}" for name, value in best["config"].items())
    score = f"{best['metric']} {best['value']:.4g}"
    lines = [f"best by validation: {', '.join(filter(None, (best['trial_id'], score, values)))}"]
    return lines if best["checkpoint"] is None else [*lines, f"checkpoint: {best['checkpoint']}"]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
