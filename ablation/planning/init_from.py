"""Begin every trial's weights at an earlier run's best checkpoint: found, tried on every arm, recorded in the plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ablation.best_trial import Selection, best_available
from ablation.checkpoint import Checkpoint
from ablation.faults import FaultsError
from ablation.plan import InitFrom
from ablation.store import as_typed, located
from ablation.trial import RunTrial, build_config, import_object
from search_spaces.space import Arm, Space


def init_from(asked: str, space: Space, arms: Iterable[Arm], run_trial: RunTrial) -> InitFrom:
    """Find the best checkpoint of RUN, or of an arm of RUN:ARM, and hold every arm's network to it.

    Raises FaultsError if there is none, if the study's predictor has no class method ``start``, and with what that
    says of an arm whose network does not match.
    """
    run, arm = _parts(asked)
    try:
        trial, read = best_available(located(run), Selection(arm))
    except (FaultsError, FileNotFoundError) as error:
        raise FaultsError([f"--init-from {asked}: {error}"]) from error
    start: Any = None if space.predictor is None else getattr(import_object(space.predictor), "start", None)
    if start is None:
        rule = "its predictor needs a class method start(config, checkpoint), and run_trial to use context.init_from"
        raise FaultsError([f"--init-from {asked}: the study {space.name} starts from no checkpoint; {rule}"])
    found = dict(_shares(asked, start, space, arms, run_trial, read))
    assert trial.checkpoint is not None, "it was read"
    address = as_typed(trial.checkpoint.absolute())
    return InitFrom(run=located(run).absolute().name, trial_id=trial.trial_id, checkpoint=address, matched=found)


def _parts(asked: str) -> tuple[str, str | None]:
    """Take RUN:ARM apart; what has a study.json as it stands is a run, whatever colons are in it."""
    run, colon, arm = asked.rpartition(":")
    if not colon or arm.startswith("//") or (located(asked) / "study.json").is_file():
        return asked, None
    return run, arm


def _shares(
    asked: str, start: Any, space: Space, arms: Iterable[Arm], run_trial: RunTrial, read: Checkpoint
) -> Iterable[tuple[str, str]]:
    faults: list[str] = []
    for arm in arms:
        proposal: Mapping[str, Any] = {name: space.domain(name).default for name in arm.searched}
        try:
            yield arm.name, str(start(build_config(run_trial, space.configuration(arm, proposal)), read))
        except FaultsError as error:
            faults += [f"--init-from {asked}: {arm.name}: {fault}" for fault in error.faults]
    if faults:
        raise FaultsError(dict.fromkeys(faults))
