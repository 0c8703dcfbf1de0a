"""Plans in words and tables, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from ablation.checkpoint import KEPT
from ablation.console.huge_difference import OnlyHuge, in_words, only_huge
from ablation.console.search_text import search_in_words
from ablation.engine.slots import Slots, local_slots
from ablation.plan import Plan
from ablation.planning.allocation import allocations
from ablation.planning.effort import START_UP_S, effort
from ablation.planning.probe import Probe
from ablation.planning.rehearsal_process import probe_apart
from ablation.planning.request import CheckedStudy
from ablation.power import detectable_difference, replicates_needed, replicates_to_equate, shown_margin
from ablation.resources import Keep, Resources
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


def header_facts(checked: CheckedStudy) -> dict[str, Any]:
    """Return what ``print_header`` says, for programs."""
    data = None if checked.data is None else checked.data["uri"]
    return {**_facts(checked), "budget_reason": checked.budget_reason, "data": data}


def _facts(checked: CheckedStudy) -> dict[str, Any]:
    plan = checked.plan
    huge = only_huge(plan)
    return {
        "space": plan.space.name,
        "design": plan.design,
        "metric": plan.metric,
        "budget_name": checked.budget_name,
        "budget": plan.budget.model_dump(),
        "arms": [arm.name for arm in plan.arms],
        "comparisons": plan.comparisons,
        "trials": plan.trial_count,
        "only_huge": None if huge is None else asdict(huge),
    }


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
        *_power_in_words(found),
        *([] if found["only_huge"] is None else [in_words(OnlyHuge(**found["only_huge"]))]),
        *allocations_in_words(found),
    ):
        out.print(line)


def plan_facts(
    checked: CheckedStudy,
    measured: Probe,
    slots: Slots,
    spread: Spread | None = None,
    hours: float | None = None,
    keep: Keep = "confirmed",
) -> dict[str, Any]:
    """Return a plan's numbers: effort in epochs, time, hours of hardware, bytes on disk, and what it can detect."""
    plan = checked.plan
    return {
        **_facts(checked),
        "arms": [arm.model_dump() for arm in plan.arms],
        "rungs": plan.rungs,
        "search_is_random": plan.search_is_random,
        **_cost(plan, measured, slots, keep),
        **_power(plan, spread),
        "hours": hours,
        "allocations": None
        if hours is None or not plan.comparisons
        else [asdict(one) for one in allocations(plan, measured.epoch_s, slots.count, hours, spread)],
    }


def _cost(plan: Plan, measured: Probe, slots: Slots, keep: Keep) -> dict[str, Any]:
    spent = effort(plan)
    expected_s = START_UP_S + spent.epochs_expected * measured.epoch_s / slots.count
    most_s = START_UP_S + spent.epochs_most * measured.epoch_s / slots.count
    arms, budget = len(plan.arms), plan.budget
    searched = arms * budget.replicates * budget.trials
    of_search = {"confirmed": 0, "best-per-arm": min(arms, searched), "all": searched}[keep]
    kept = arms * budget.replicates * plan.confirm_trials + of_search
    return {
        "epochs_most": spent.epochs_most,
        "epochs_expected": spent.epochs_expected,
        "epoch_s": measured.epoch_s,
        "probe_s": measured.took_s,
        "arms_begun": measured.arms_tried,
        "slots": slots.count,
        "slots_limit": slots.limit,
        "cpus_per_trial": slots.cpus,
        "gpus_per_trial": slots.gpus,
        "sweep_expected_s": expected_s,
        "sweep_most_s": most_s,
        "cpu_hours_expected": slots.count * slots.cpus * expected_s / 3600,
        "cpu_hours_most": slots.count * slots.cpus * most_s / 3600,
        "gpu_hours_expected": slots.count * slots.gpus * expected_s / 3600,
        "gpu_hours_most": slots.count * slots.gpus * most_s / 3600,
        "checkpoint_bytes": measured.checkpoint_bytes,
        # Other search trials have theirs while they run.
        "checkpoints_kept_bytes": KEPT * kept * measured.checkpoint_bytes,
        "checkpoints_most_bytes": KEPT * (kept + slots.count) * measured.checkpoint_bytes,
    }


def _power(plan: Plan, spread: Spread | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"sign_flip_floor": 2.0 ** (1 - plan.budget.replicates)}
    facts |= {"spread": None if spread is None else asdict(spread), "detectable_sd": None, "detectable": None}
    facts |= {"half": None, "equivalence": None, "assumes_equal_variances": False}
    if plan.comparisons:
        replicates, comparisons = plan.budget.replicates, len(plan.comparisons)
        found_sd = detectable_difference(1.0, replicates, comparisons)
        facts["assumes_equal_variances"] = comparisons > 1
        facts |= {"detectable_sd": found_sd, "detectable": None if spread is None else found_sd * spread.sd}
        facts["half"] = {
            "detectable_sd": found_sd / 2,
            "replicates_needed": replicates_needed(found_sd / 2, 1.0, comparisons),
            "detectable_sd_of_one_comparison": detectable_difference(1.0, replicates),
            "replicates_needed_for_one_comparison": replicates_needed(found_sd / 2, 1.0),
        }
        if (margin := plan.space.smallest_effect) is not None:
            needed = None if spread is None else replicates_to_equate(margin, spread.sd, comparisons)
            largest_sd = margin / shown_margin(1.0, replicates, comparisons)
            facts["equivalence"] = {"margin": margin, "largest_sd": largest_sd, "replicates_needed": needed}
    return facts


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


def _power_in_words(found: Mapping[str, Any]) -> list[str]:
    half, spread, comparisons = found["half"], found["spread"], len(found["comparisons"])
    if half is None:
        return [f"nothing is compared: {_score_in_words(found['arms'], found['budget'])}"]
    here = f"{comparisons} declared comparison{'s' * (comparisons > 1)} over {found['budget']['replicates']} replicates"
    equal = ", if all arms are equally noisy" if found["assumes_equal_variances"] else ""
    in_units = (
        f"in units of {found['metric']}: not known; give --spread-from RUN or --spread SD"
        if spread is None
        else f"in {found['metric']}: {found['detectable']:.3g}, where one standard deviation of such differences is "
        f"{spread['sd']:.3g} ({spread['source']})"
    )
    lines = [
        f"{here}: detects a paired difference of {found['detectable_sd']:.1f} standard deviations of such differences "
        f"(power 80 %, Holm{equal}); exact sign-flip p cannot fall below {found['sign_flip_floor']:.3g}",
        in_units,
        f"half that difference: {half['replicates_needed']} replicates for the same comparisons",
    ]
    if comparisons > 1:
        lines[-1] += (
            f"; with --arms down to one comparison {half['replicates_needed_for_one_comparison']}, and the replicates "
            f"planned would detect {half['detectable_sd_of_one_comparison']:.1f} standard deviations"
        )
    return lines + _equivalence_in_words(found)


def _equivalence_in_words(found: Mapping[str, Any]) -> list[str]:
    if (equal := found["equivalence"]) is None:
        return []
    needed, metric = equal["replicates_needed"], found["metric"]
    takes = "" if needed is None else f"; with the spread above it takes {needed} replicates"
    return [
        f"practically equal, within ±{equal['margin']:g} of {metric}: shown of equal arms (power 80 %) if one standard "
        f"deviation of such differences is at most {equal['largest_sd']:.3g}{takes}"
    ]


def allocations_in_words(found: Mapping[str, Any]) -> list[str]:
    """Say how the hours that were asked for are best spent, and what the other ways would detect."""
    ways, hours, spread = found["allocations"], found["hours"], found["spread"]
    if ways is None:
        return []
    if not ways:
        return [f"in {hours:g} h: no two replicates of these arms fit; give more hours, fewer arms or a smaller budget"]
    unit = found["metric"] if spread is not None else "standard deviations of differences"

    def of(way: Mapping[str, Any]) -> str:
        return f"{way['replicates']} replicates × ({way['trials']} search + {way['seeds']} confirm)"

    lines = [
        f"in {hours:g} h: {of(way)} detect least, {way['detectable']:.3g} {unit}" for way in ways if way["is_advised"]
    ]
    planned = found["budget"]["trials"]
    for way in ways:
        if not way["is_advised"]:
            assumed = "" if way["trials"] == planned else f", if arms are tuned as well as with {planned} trials"
            lines.append(f"  {of(way)}: {way['detectable']:.3g}{assumed}")
    if spread is None or spread["within_sd"] is None:
        lines.append(
            "  more confirm runs a replicate: not known; --spread-from a run with two (--seeds 2) splits the spread"
        )
    return lines


def _score_in_words(arms: Sequence[object], budget: Mapping[str, Any]) -> str:
    """Say what the score of a study without comparisons will rest on."""
    replicates, seeds = budget["replicates"], budget["seeds"]
    if len(arms) > 1:
        return "the study has no declared comparison among its arms"
    if replicates == seeds == 1:
        return "the best configuration gets one confirm run, and its score no interval; --seeds 3 gives one"
    of = "replicates, each with its own search" if budget["trials"] else "replicates of one configuration"
    return f"the score's interval is over {f'{replicates} {of}' if replicates > 1 else f'{seeds} seeds'}"
