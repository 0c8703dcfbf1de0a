"""Plans in words and tables, for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from ablation.console.huge_difference import huge_in_words
from ablation.console.plan_facts import plan_facts
from ablation.console.power_text import allocations_in_words, power_in_words
from ablation.console.search_text import search_in_words
from ablation.engine.slots import local_slots
from ablation.plan import Plan
from ablation.planning.rehearsal_process import probe_apart
from ablation.planning.request import CheckedStudy
from ablation.resources import Resources
from ablation.spread import Spread
from ablation.terminal import console


def print_header(out: Console, checked: CheckedStudy) -> None:
    """Say which budget and data a study runs on, and how much is to come."""
    plan, budget = checked.plan, checked.plan.budget
    arms = f"{_count(len(plan.arms), 'arm')} × " if plan.space.factors else ""
    out.print(": ".join(filter(None, (plan.space.name, plan.space.description))))
    out.print(
        f"budget {checked.budget_name} ({checked.budget_reason}): "
        f"{arms}{_count(budget.replicates, 'replicate')} × ({_runs_in_words(plan)}) "
        f"= {plan.trial_count} trials of up to {budget.epochs} epochs"
    )
    if (start := checked.plan.init_from) is not None:
        matched = ", ".join(dict.fromkeys(start.matched.values()))
        out.print(f"weights start from {start.trial_id} of {start.run}: {matched}")
    if checked.data is not None:
        classes = checked.data.get("class_names", ())
        out.print(f"data {checked.data['uri']}{': ' if classes else ''}{', '.join(classes)}")
        for remark in checked.data.get("remarks", ()):
            out.print(f"note: {remark}")
    possible = len(plan.space.arms(plan.design))
    if len(plan.arms) < possible:
        names = ", ".join(arm.name for arm in plan.arms)
        out.print(f"{len(plan.arms)} of {possible} arms: {names}; --arms '*' for all")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _runs_in_words(plan: Plan) -> str:
    confirm, trials = f"{plan.confirm_trials} confirm", plan.budget.trials
    return f"{trials} search + {confirm}" if trials else f"{confirm} at the defaults, no search"


def show_plan(
    checked: CheckedStudy,
    resources: Resources,
    as_json: bool,
    spread: Spread | None = None,
    hours: float | None = None,
) -> None:
    """Rehearse a plan here and print it with its cost on this machine; raises FaultsError with all that fails.

    ``hours`` adds what a study of that length detects, by how the time is spent.
    """
    slots = local_slots(resources)
    measured = probe_apart(checked, slots, 60 * resources.watchdog_minutes)
    found = plan_facts(checked, measured, slots, spread, hours, resources.keep or "confirmed")
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    out = console()
    if not out.is_terminal:
        out.width = 160  # a file has no edge to cut the table at
    print_header(out, checked)
    out.print(_arms_table(checked.plan) if checked.plan.space.factors else _searched_table(checked.plan))
    for arm in checked.plan.arms:
        for note in arm.notes:
            out.print(f"{arm.name}: {note}")
    for line in (
        *search_in_words(checked.plan),
        *_cost_in_words(found),
        *power_in_words(found),
        *huge_in_words(checked.plan),
        *allocations_in_words(found),
    ):
        out.print(line)


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
        counts = f"{budget.replicates} × {budget.trials}", f"{budget.replicates} × {plan.confirm_trials}"
        table.add_row(arm.name, *levels, *counts)
    return table


def _searched_table(plan: Plan) -> Table:
    """List what the one arm of a space without factors searches; without a search, what is trained."""
    table = Table(box=None, pad_edge=False)
    for heading in ("hyperparameter", "searched in", "default") if plan.budget.trials else ("hyperparameter", "value"):
        table.add_column(heading)
    for name in plan.arms[0].searched:
        domain = plan.space.domain(name)
        searched_in = [domain.in_words()] if plan.budget.trials else []
        table.add_row(name, *searched_in, str(domain.default))
    return table


def _cost_in_words(found: Mapping[str, Any]) -> list[str]:
    hardware = "gpu" if found["gpus_per_trial"] else "cpu"
    lines = [
        f"epochs: {found['epochs_most']} at most, about {found['epochs_expected']:.0f} with early stopping"
        if found["rungs"]
        else f"epochs: {found['epochs_most']}, as nothing is stopped early",
        f"time: about {found['sweep_expected_s'] / 60:.1f} min, at most {found['sweep_most_s'] / 60:.1f} min, for "
        f"{found['epoch_s']:.2f} s an epoch (measured, alone) and {found['slots']} trials at a time "
        f"({found['slots_limit']})",
        f"{hardware.upper()}-hours: about {found[f'{hardware}_hours_expected']:.2g}, at most "
        f"{found[f'{hardware}_hours_most']:.2g}, for {found[f'{hardware}s_per_trial']:g} {hardware.upper()} a trial",
    ]
    if found["checkpoint_bytes"]:
        kept, most, one = (
            decimal(found[name]) for name in ("checkpoints_kept_bytes", "checkpoints_most_bytes", "checkpoint_bytes")
        )
        lines.append(f"checkpoints: {kept} kept, {most} at most while the sweep runs, {one} each")
    return [*lines, _rehearsed_in_words(found)]


def _rehearsed_in_words(found: Mapping[str, Any]) -> str:
    tried, arms = found["arms_begun"], len(found["arms"])
    if arms == 1:
        return f"tried here in {found['probe_s']:.1f} s: a confirm trial"
    which = "every arm" if tried == arms else f"{tried} of {arms} arms, for lack of time"
    return f"tried here in {found['probe_s']:.1f} s: a confirm trial, and the first epoch of {which}"
