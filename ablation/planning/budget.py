"""The budget of a study: the space's, with the options that change it, and what its sampler makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec

from ablation.faults import nearest
from ablation.planning.options import checked_options
from search_spaces.budget import Sampler
from search_spaces.points import grid_faults, grid_size
from search_spaces.space import Arm, Budget, Choice, Space

# Options that change a budget, and the field that each one sets.
BUDGET_OPTIONS = {
    **{name: name for name in ("replicates", "trials", "seeds", "epochs", "sampler", "early_stopping")},
    "eta": "reduction_factor",
    "grace": "grace_epochs",
}
OPTION_OF = {field: option for option, field in BUDGET_OPTIONS.items()}
ABOUT_SEARCHES = ("sampler", "early_stopping", "eta", "grace")
# What Optuna needs beside itself.
PACKAGES: dict[Sampler, str] = {"gp": "torch", "cmaes": "cmaes"}


def asked_budget(given: Mapping[str, object], space: Space, name: str, faults: list[str]) -> Budget:
    """Return the named budget with the options ``given`` by name; a valid stand-in where something is wrong."""
    if name not in space.budgets:
        faults.append(f"--budget is {name!r}; {nearest(name, ('auto', *space.budgets))}")
        return next(iter(space.budgets.values()))
    budget = space.budgets[name]
    fields = {BUDGET_OPTIONS[option]: value for option, value in given.items() if value is not None}
    if "epochs" in fields and "grace_epochs" not in fields and isinstance(fields["epochs"], int):
        # Where training is shorter than the grace period there is no early stopping: every trial runs to its end.
        fields["grace_epochs"] = max(1, min(fields["epochs"], budget.grace_epochs))
    asked = checked_options(Budget, {**budget.model_dump(), **fields}, faults, OPTION_OF)
    if asked is None:
        return budget
    faults += _early_stopping_faults(given, asked)
    return asked


def fit_to_sampler(
    budget: Budget, trials_asked: int | None, space: Space, arms: Sequence[Arm], faults: list[str]
) -> Budget:
    """Return the budget with as many trials as a grid has points; what the sampler cannot do is added to ``faults``."""
    if not budget.trials:
        return budget
    found = list(_sampler_faults(budget.sampler, space, arms))
    faults += found
    if budget.sampler == "grid" and not found:
        points = max((grid_size(space, arm) for arm in arms), default=budget.trials)
        if trials_asked not in (None, points):
            remedy = "leave --trials out, or give another --sampler"
            faults.append(f"--trials is {trials_asked}, but a grid tries all of its {points} combinations; {remedy}")
        budget = budget.model_copy(update={"trials": points})
    if len(space.first_points) > budget.trials:
        rule = f"but the space {space.name} has {len(space.first_points)} first points, which every search begins with"
        faults.append(f"--trials is {budget.trials}, {rule}; give more")
    return budget


def package_faults(sampler: Sampler) -> list[str]:
    """Say which package a sampler lacks."""
    package = PACKAGES.get(sampler)
    if package is None or find_spec(package) is not None:
        return []
    return [f"--sampler {sampler} needs {package}, which is not installed; pip install {package}, or give another one"]


def _sampler_faults(sampler: Sampler, space: Space, arms: Sequence[Arm]) -> Iterator[str]:
    yield from package_faults(sampler)
    if sampler == "grid":
        yield from grid_faults(space, arms)
    if sampler == "cmaes":
        for arm in arms:
            if arm.searched and all(isinstance(space.domain(name), Choice) for name in arm.searched):
                yield f"--sampler cmaes: {arm.name} searches no numbers, which it needs; give another --sampler"


def _early_stopping_faults(given: Mapping[str, object], budget: Budget) -> list[str]:
    about = [f"--{option}".replace("_", "-") for option in ABOUT_SEARCHES if given.get(option) is not None]
    if about and given.get("trials") == 0:
        return [f"{' and '.join(about)}: about searches, but none is asked for; drop one of them"]
    asked = [option for option in about if option in ("--eta", "--grace")]
    if asked and budget.early_stopping == "none":
        remedy = "leave it out, or give --early-stopping asha"
        return [f"{' and '.join(asked)}: about early stopping by ASHA, but early_stopping is 'none'; {remedy}"]
    if "--grace" in asked and not budget.rungs:
        rule = f"less than the {budget.epochs} epochs of training, or nothing is ever stopped"
        return [f"--grace is {budget.grace_epochs}, but must be {rule}; give less, or --early-stopping none"]
    return []
