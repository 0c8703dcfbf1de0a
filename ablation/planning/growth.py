"""How a study may differ when it goes on: larger by replicates and arms, said in other words, and in nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from ablation.faults import FaultsError
from ablation.plan import Plan
from ablation.planning.budget import OPTION_OF, fit_to_sampler
from ablation.planning.request import CheckedStudy, config_faults, matching, replicates_faults
from ablation.planning.settings import with_fixed
from ablation.planning.warm_start import keep_warm_start
from ablation.store import AnyPath, as_typed
from ablation.study_file import StudyFile
from ablation.trial import import_object
from search_spaces.space import Arm, Choice, Space
from search_spaces.wording import without_wording


def changes(root: AnyPath, file: StudyFile, plan: Plan, checked: CheckedStudy) -> list[str]:
    """Say what keeps a run from going on as asked: everything but more replicates and arms, by which a study grows."""
    # What is said about a study may change: its words are not compared.
    now, asked = plan.without_wording(), checked.plan.without_wording()
    both = [(key, getattr(asked, key), getattr(now, key)) for key in ("design", "metric", "seed")]
    budget = {key: value for key, value in asked.budget if key != "replicates"}
    both += [(OPTION_OF.get(key, key), value, getattr(now.budget, key)) for key, value in budget.items()]
    faults = []
    for key, value, known in both:
        if value != known:
            what = f"is {value}, but the run has {known}" if isinstance(known, str | int | float) else "differs"
            faults.append(f"--resume: {key} {what}")
    faults += [f"--resume: {change}" for change in space_changes(now.space, asked.space, now.design == "joint")]
    replicates = now.budget.replicates
    if asked.budget.replicates < replicates:
        faults.append(f"--resume: the run has {replicates} replicates, {asked.budget.replicates} are asked for")
    missing = [arm.name for arm in now.arms if arm not in asked.arms]
    if missing:
        faults.append(f"--resume: the run's arms {', '.join(missing)} are not among those asked for")
    if file.data_fingerprint != (checked.data or {}).get("fingerprint"):
        faults.append("--resume: the data differ from the run's own, or their content has changed")
    remedy = (
        f"ablation resume {shlex.quote(as_typed(root))} goes on with it as it is; it grows by whole replicates and "
        f"arms, with its other options as they were ({shlex.join(file.command)}); or start a new study from what this "
        f"one confirmed: another --name with --warm-start {as_typed(root)}"
    )
    return [f"{fault}; {remedy}" for fault in faults] + _title_faults(root, file, checked.title)


def _title_faults(root: AnyPath, file: StudyFile, asked: str | None) -> list[str]:
    if asked in (None, file.title):
        return []
    has = "none" if file.title is None else repr(file.title)
    remedy = f"leave it out, and give it to the report: ablation report {shlex.quote(as_typed(root))} --title TEXT"
    return [f"--resume: --title is {asked!r}, but the run has {has}; {remedy}"]


def space_changes(now: Space, asked: Space, is_joint: bool) -> Iterator[str]:
    """Name what a space has otherwise than that of a run, but for words and further levels, which are further arms.

    In a joint study levels are searched, as hyperparameters are, and more of them are another search.
    """
    now, asked = without_wording(now), without_wording(asked)
    for key, value in asked:
        if key != "factors" and value != getattr(now, key):
            yield f"the space's {key} differs"
    for name in sorted(now.factors.keys() ^ asked.factors.keys()):
        yield f"the space's factor {name} {'is gone' if name in now.factors else 'is new'}"
    for name in sorted(now.factors.keys() & asked.factors.keys()):
        gone, added = _levels(now.factors[name], asked.factors[name]), _levels(asked.factors[name], now.factors[name])
        if gone:
            yield f"the space's factor {name} lacks {', '.join(gone)}, which the run has"
        if added and is_joint:
            yield f"the space's factor {name} has {', '.join(added)}, too, which a joint study searches"


def _levels(of: Choice, but: Choice) -> list[str]:
    known = {(type(level), level) for level in but.values}
    return [str(level) for level in of.values if (type(level), level) not in known]


def larger(
    file: StudyFile,
    plan: Plan,
    replicates: int | None,
    trials: int | None,
    space: Space | None,
    arms: Sequence[str],
    faults: list[str],
) -> Plan:
    """Return the plan of a run that is to grow; what keeps it from that is added to ``faults``.

    Args:
        file: study.json.
        plan: the run's plan as it stands.
        replicates: so many, if more are asked for.
        trials: search trials of a replicate: so many, if more are asked for.
        space: the space as it is now; arms of levels that it has gained are the study's, too.
        arms: patterns of further arms of the space.
        faults: what is wrong already.
    """
    now = plan.budget.replicates
    if replicates is not None and replicates < now:
        faults.append(f"--replicates is {replicates}, but the run has {now}; a study grows, and never shrinks")
    budget = plan.budget.model_copy(update={"replicates": max(now, replicates or now)})
    grown = plan.model_copy(update={"budget": budget})
    if space is not None:
        space = keep_warm_start(with_fixed(space, {**plan.budget.fixed, **(file.settings or {})}), plan)
        space = space.model_copy(update={"smallest_effect": plan.space.smallest_effect})  # as before the results
        found = list(space_changes(plan.space, space, plan.design == "joint"))
        faults += [f"--space: {change}; only levels may be new when a study grows" for change in found]
        if found:
            return grown
    if space is not None or arms:
        chosen = _arms(plan, space or plan.space, arms, faults)
        grown = grown.model_copy(
            update={"space": space or plan.space, "arms": chosen, "comparisons": (space or plan.space).declared(chosen)}
        )
        faults += _new_arms_faults(plan, grown)
    return _with_trials(grown, trials, faults)


def _with_trials(plan: Plan, trials: int | None, faults: list[str]) -> Plan:
    """Return the plan with a longer search, where nothing is compared."""
    now = plan.budget.trials
    asked = f"--trials is {trials}, but"
    if trials is not None and trials < now:
        faults.append(f"{asked} the run has {now}; a study grows, and never shrinks")
    elif trials not in (None, now) and not now:
        faults.append(f"{asked} the run searches nothing; start a new study to search")
    elif trials not in (None, now) and plan.budget.sampler == "grid":
        faults.append(f"{asked} the search goes through its grid of {now} points; start a new study for another grid")
    elif plan.comparisons and (trials not in (None, now) or plan.searched_before):
        rule = "a search that goes on after a look at its results compares nothing fairly; start a new study"
        faults.append(f"{asked if trials else 'the search grew, but'} the run compares arms, and {rule}")
    elif trials not in (None, now):
        return plan.with_trials(trials)
    return plan


def _arms(plan: Plan, space: Space, patterns: Iterable[str], faults: list[str]) -> tuple[Arm, ...]:
    """Return the run's arms, those of levels that the space has gained, and those that were asked for by pattern."""
    candidates = space.arms(plan.design)
    own = {arm.name: arm for arm in plan.arms}
    names = [arm.name for arm in candidates]
    wanted = own.keys() | (set(names) - {arm.name for arm in plan.space.arms(plan.design)})
    for pattern in patterns:
        wanted |= matching(pattern, names, "--arms", faults)
    faults += [f"--space: it has no arm {name} any more, which the run has" for name in own if name not in names]
    return tuple(own.get(arm.name, arm) for arm in candidates if arm.name in wanted)


def _new_arms_faults(plan: Plan, grown: Plan) -> list[str]:
    added = [arm for arm in grown.arms if arm not in plan.arms]
    faults = replicates_faults(grown.budget, grown.comparisons)
    fitted, trials = fit_to_sampler(grown.budget, None, grown.space, added, faults), plan.budget.trials
    if fitted.trials > trials:
        rule = f"but the run's arms have {trials} trials each, and all get the same"
        faults.append(f"--arms: an added one has a grid of {fitted.trials}, {rule}; start a new study")
    try:
        return faults + config_faults(grown.space, added, import_object(grown.space.trial))
    except FaultsError as error:
        return [*faults, *error.faults]
