"""Plans and accounts in words and tables, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ablation.plan import Plan, detectable_effect, effort
from ablation.probe import local_slots, measure_epoch_s
from ablation.request import Prepared
from ablation.resources import Resources
from ablation.tables import STATUSES

START_UP_S = 10.0


def print_header(console: Console, prepared: Prepared) -> None:
    """Say which budget and data a study runs on, and how much is to come."""
    plan, budget = prepared.plan, prepared.plan.budget
    console.print(f"{plan.space.name}: {plan.space.description}")
    console.print(
        f"budget {prepared.budget_name} ({prepared.budget_reason}): "
        f"{len(plan.arms)} arms × {budget.replicates} replicates × ({budget.trials} search + {budget.seeds} confirm) "
        f"= {plan.trial_count} trials of up to {budget.epochs} epochs"
    )
    if prepared.data is not None:
        console.print(f"data {escape(prepared.data['uri'])}")


def print_accounting(console: Console, summary: Mapping[str, Any]) -> None:
    """Print what became of every planned trial."""
    parts = " + ".join(f"{summary[status]} {status}" for status in STATUSES if summary[status])
    console.print(f"{summary['planned']} planned = {parts or 'none'}; sweep {summary['sweep_wall_s']:.0f} s")


def show_plan(prepared: Prepared, resources: Resources, as_json: bool) -> None:
    """Time an epoch here and print a plan with its cost on this machine."""
    found = plan_facts(prepared, measure_epoch_s(prepared), local_slots(resources))
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 160  # a file has no edge to cut the table at
    print_header(console, prepared)
    console.print(_arms_table(prepared.plan))
    for arm in prepared.plan.arms:
        for note in arm.notes:
            console.print(f"{arm.name}: {note}", markup=False)
    for line in _facts_in_words(found, prepared.plan):
        console.print(line, markup=False)


def plan_facts(prepared: Prepared, epoch_s: float, slots: int) -> dict[str, Any]:
    """Return a plan's numbers: effort in epochs, time in seconds, what it can detect in standard deviations."""
    plan, spent = prepared.plan, effort(prepared.plan)
    return {
        "space": plan.space.name,
        "design": plan.design,
        "metric": plan.metric,
        "budget_name": prepared.budget_name,
        "budget": plan.budget.model_dump(),
        "arms": [arm.model_dump() for arm in plan.arms],
        "comparisons": plan.comparisons,
        "trials": plan.trial_count,
        "rungs": plan.rungs,
        "search_is_random": plan.search_is_random,
        "epochs_most": spent.epochs_most,
        "epochs_expected": spent.epochs_expected,
        "epoch_s": epoch_s,
        "slots": slots,
        "sweep_expected_s": START_UP_S + spent.epochs_expected * epoch_s / slots,
        "sweep_most_s": START_UP_S + spent.epochs_most * epoch_s / slots,
        "detectable_sd": detectable_effect(plan),
        "sign_flip_floor": 2.0 ** (1 - plan.budget.replicates),
    }


def _arms_table(plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("arm")
    for factor in plan.space.factors:
        table.add_column(factor)
    table.add_column("search", justify="right")
    table.add_column("confirm", justify="right")
    budget = plan.budget
    for arm in plan.arms:
        levels = [str(arm.levels.get(factor, "–")) for factor in plan.space.factors]
        counts = f"{budget.replicates} × {budget.trials}", f"{budget.replicates} × {budget.seeds}"
        table.add_row(arm.name, *levels, *counts)
    return table


def _facts_in_words(found: Mapping[str, Any], plan: Plan) -> list[str]:
    lines = [
        f"epochs: {found['epochs_most']} at most, about {found['epochs_expected']:.0f} with early stopping at "
        f"epochs {', '.join(map(str, plan.rungs)) or '(none)'}",
        f"time: about {found['sweep_expected_s'] / 60:.1f} min, at most {found['sweep_most_s'] / 60:.1f} min, for "
        f"{found['epoch_s']:.2f} s an epoch (measured, alone) and {found['slots']} trials at a time",
    ]
    if found["search_is_random"]:
        lines.append(
            f"search: {plan.budget.trials} trials a replicate are the default and random points; TPE needs more"
        )
    if found["detectable_sd"] is not None:
        lines.append(
            f"{len(plan.comparisons)} declared comparisons over {plan.budget.replicates} replicates: detects a paired "
            f"difference of {found['detectable_sd']:.1f} standard deviations of such differences (power 80 %, Holm); "
            f"exact sign-flip p cannot fall below {found['sign_flip_floor']:.3g}"
        )
    return lines
