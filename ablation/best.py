"""Command: ``python -m ablation.best RUN_DIR`` prints the best configuration, its score and how to load it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isnan
from statistics import fmean
from typing import Annotated, Any

import typer

from ablation.best_trial import Selection, best_trials
from ablation.how_to_load import how_to_load
from ablation.mean_interval import mean_interval
from ablation.plan import Plan
from ablation.run_dir import RunLocation, run_dir
from ablation.terminal import console, exit_on_errors


def facts(run: RunLocation, arm: str | None = None) -> dict[str, Any]:
    """Return the best confirm trial by validation, of one arm or of all, with its arm's test score over replicates.

    ``test`` is the mean over the arm's replicates, of those all of whose planned seeds completed, as on the page; None
    if there is none. Of a single replicate, it is over the ``n`` seeds of this configuration, and ``unit`` says so.
    ``low`` and ``high`` are the ends of the page's interval, None for fewer than two values or equal ones. Raises
    FileNotFoundError without a finished confirm trial, FaultsError for an arm that has none.
    """
    where = run_dir(run)
    plan, trials = where.plan_now(), best_trials(where, Selection(arm))
    scores = (trial.row.get(plan.primary.test_column) for trial in (trials if arm is None else best_trials(where)))
    largest = plan.primary.largest(score for score in scores if score is not None)
    best = trials[0]
    rows = [trial.row for trial in trials if trial.arm == best.arm]
    config = {name.removeprefix("config."): value for name, value in best.row.items() if name.startswith("config.")}
    return {
        "trial_id": best.trial_id,
        "arm": best.arm,
        "metric": best.metric,
        "validation": best.score,
        **_test(best.row, rows, plan, largest),
        "config": {name: value for name, value in config.items() if value is not None},
        "checkpoint": None if best.checkpoint is None else str(best.checkpoint),
    }


def _test(best: Mapping[str, Any], rows: list[Mapping[str, Any]], plan: Plan, largest: float) -> dict[str, Any]:
    metric, seeds = plan.primary.test_column, plan.budget.seeds
    scored = [row for row in rows if row.get(metric) is not None]
    if plan.budget.replicates == 1:
        names = [name for name in best if name.startswith("config.")]
        stage = [row for row in scored if plan.stage_of(row["index"]) == plan.stage_of(best["index"])]
        of_seeds = [float(row[metric]) for row in stage if all(row[name] == best[name] for name in names)]
        return {**_mean(of_seeds, largest), "unit": "seed", "replicates": 1}
    by_replicate: dict[int, list[float]] = {}
    for row in scored:
        if row["index"] >= plan.confirm_trials - seeds:  # those before confirmed what was best before the search grew
            by_replicate.setdefault(row["replicate"], []).append(float(row[metric]))
    means = [fmean(values) for values in by_replicate.values() if len(values) == seeds]
    return {**_mean(means, largest), "unit": "replicate", "replicates": len(means)}


def _mean(values: list[float], largest: float) -> dict[str, Any]:
    test, low, high = (None if isnan(number) else float(number) for number in mean_interval(values, largest))
    return {"test": test, "low": low, "high": high, "n": len(values)}


def values_in_words(found: Mapping[str, Any]) -> str:
    """Say how many values a test score of ``facts`` is over, and of what."""
    return f"{found['n']} {found['unit']}{'s' * (found['n'] != 1)}"


def show(
    run: Annotated[str, typer.Argument(help="A run directory, or its address.")],
    arm: Annotated[str | None, typer.Option(help="The best of this arm; default: of all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print the best configuration by validation, its arm's test score with interval, and how to load the model."""
    with exit_on_errors(FileNotFoundError, ValueError):
        found = facts(run, arm)
        file = run_dir(run).study()
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    out = console()
    out.print(f"{found['trial_id']}: validation {found['metric']} {found['validation']:.4g}")
    interval = "" if found["low"] is None else f" (95 % interval {found['low']:.4g} to {found['high']:.4g})"
    test = "not known yet" if found["test"] is None else f"{found['test']:.4g}{interval}, {values_in_words(found)}"
    out.print(f"test {found['metric']} of {found['arm']}: {test}")
    for name, value in found["config"].items():
        out.print(f"  {name} = {value!r}")
    out.print(f"checkpoint: {found['checkpoint'] or 'none, as this model saves none; there is nothing to load'}")
    if lines := how_to_load(file, run, found["checkpoint"], arm):
        out.print("\n  ".join(("load it:", *lines)))


if __name__ == "__main__":
    typer.run(show)
