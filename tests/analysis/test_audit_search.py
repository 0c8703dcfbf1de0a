"""The audit makes each search's beginning and grid again, and finds a ledger in which one proposal is another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ablation import study_file, tables
from ablation.ledger.log import Ledger, read_events
from ablation.paths import RunPaths
from ablation.plan import Plan
from ablation.trial import EpochRecord, TrialContext
from analysis.audit.checks import audit
from search_spaces.space import Choice, Domain, Float, Int, Levels, When
from tests import toy_study
from tests.support.ledgers import append
from tests.support.plain_loop import run_study
from tests.toy_study import SPACE, ToyConfig, ToyModel, toy_plan

FIRST: tuple[Levels, ...] = ({"toy.offset": 0.5}, {"toy.offset": -1.0})
LISTED: dict[str, Domain] = {
    "toy.offset": Choice(values=(-1.0, 0.0, 0.5), default=0.0),
    "toy.depth": Int(low=1, high=2, default=1),
}
# The baseline's grid is half as large: it goes through it twice.
SHALLOW = When(factor="toy.speed", among=(5.0,), drops=("toy.depth",), reason="none there")


def plan_of(sampler: str) -> Plan:
    is_grid = sampler == "grid"
    changed: dict[str, Any] = {
        "first_points": FIRST,
        "nuisance": LISTED if is_grid else {"toy.offset": Float(low=-2.0, high=2.0, default=1.0)},
        "conditions": (SHALLOW,) if is_grid else (),
        "trial": "tests.analysis.test_audit_search:run_trial",
    }
    space = SPACE.model_copy(update=changed)
    arms = tuple(arm for arm in space.arms() if arm.name in ("reference", "baseline"))
    budget = toy_plan().budget.model_copy(update={"replicates": 2, "trials": 6, "sampler": sampler})
    return toy_plan().model_copy(
        update={"space": space, "budget": budget, "arms": arms, "comparisons": space.declared(arms)}
    )


def run_trial(config: dict[str, Any], context: TrialContext) -> Iterator[EpochRecord]:
    """Train the toy, which has no depth."""
    return toy_study.run_trial(ToyConfig(toy=ToyModel(offset=config["toy.offset"])), context)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunPaths[Path]]:
    folder = tmp_path_factory.mktemp("runs")
    return {sampler: run_study(plan_of(sampler), folder / sampler) for sampler in ("grid", "random")}


def with_proposal(run: RunPaths[Path], root: Path, trial_id: str, proposal: Levels) -> list[str]:
    """Audit a copy of a run, made whole again in all but one trial's proposal, and confirm trials that follow it."""
    forged, file = RunPaths(root), study_file.read(run)
    study_file.write(file, forged)
    with Ledger(forged.ledger) as ledger:
        for event in read_events(run.ledger):
            payload = event.payload
            if event.kind == "proposed" and event.trial_id == trial_id:
                payload = {"proposal": proposal, "config": {**payload["config"], **proposal}}
            append(ledger, event.kind, event.trial_id, **payload)
    tables.materialise(forged)
    return [fault for fault in audit(root) if "does not confirm" not in fault]


@pytest.mark.parametrize("sampler", ["grid", "random"])
def test_a_sound_search_agrees_with_its_plan(runs: dict[str, RunPaths[Path]], sampler: str) -> None:
    assert audit(runs[sampler].root) == []


@pytest.mark.parametrize(
    ("sampler", "trial_id", "proposal", "reported"),
    [
        ("random", "baseline/1/search/0", {"toy.offset": 0.25}, "but its search begins with {'toy.offset': 0.5}"),
        ("random", "reference/0/search/2", {"toy.offset": -1.0}, "but its search begins with {'toy.offset': 1.0}"),
        ("random", "reference/0/search/4", {}, "proposes {}, but its arm searches ['toy.offset']"),
        ("grid", "reference/1/search/5", {"toy.offset": 0.25, "toy.depth": 1}, "which is no point of the grid"),
        (
            "grid",
            "reference/1/search/4",
            {"toy.offset": -1.0, "toy.depth": 1},
            "so a point of the grid is left out",
        ),
        ("grid", "baseline/0/search/5", {"toy.offset": 0.5}, "what baseline/0/search/3 does"),
        ("grid", "reference/0/search/0", {"toy.offset": 0.0, "toy.depth": 2}, "but its search begins with "),
    ],
)
def test_another_proposal_is_found(
    runs: dict[str, RunPaths[Path]], tmp_path: Path, sampler: str, trial_id: str, proposal: Levels, reported: str
) -> None:
    faults = with_proposal(runs[sampler], tmp_path / "forged", trial_id, proposal)
    assert any(f"{trial_id} proposes" in fault and reported in fault for fault in faults), faults


def test_a_grid_that_was_not_gone_through_is_found(runs: dict[str, RunPaths[Path]], tmp_path: Path) -> None:
    plan = plan_of("grid")
    short = plan.model_copy(update={"budget": plan.budget.model_copy(update={"trials": 4})})
    assert audit(run_study(short, tmp_path / "short").root) == ["plan: reference has a grid of 6, but 4 trials"]
