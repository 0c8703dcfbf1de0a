"""A trial costs the engine no more late in a study than early, counted in lines of Python run, not in seconds."""

from __future__ import annotations

import random
import statistics
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import optuna
import pytest

from ablation.ledger.log import read_events
from ablation.ledger.records import EpochRow, Outcome, TrialState
from ablation.plan import Plan, PlannedTrial
from ablation.study.searcher import Search, propose
from ablation.study.study import Study
from benchmarks.engine_scaling import Spent, carry_out, plan_of
from search_spaces.space import Choice, Domain, Float, Int
from tests.support.spaces import with_direction
from tests.toy_study import SPACE, toy_plan

ROOT = Path(__file__).parents[2]
ROOMS = tuple(str(ROOT / room) for room in ("ablation", "search_spaces", "tests"))
WINDOW = 36  # four replicates
MIXED: tuple[Outcome, ...] = ("completed", "stopped", "stopped", "failed", "diverged")
CENSORED: tuple[Outcome, ...] = ("stopped", "stopped", "failed")  # so that TPE goes by the curves of stopped trials
DOMAINS: dict[str, Domain] = {
    "toy.a": Float(low=-2, high=2, default=1),
    "toy.b": Float(low=1e-4, high=1, default=0.1, log=True),
    "toy.c": Int(low=1, high=9, default=3),
    "toy.d": Choice(values=("x", "y", "z")),
    "toy.e": Int(low=1, high=200, default=3, log=True),
    "toy.f": Float(low=1, high=1, default=1),
}


def test_ten_thousand_trials_are_the_shape_of_the_benchmark() -> None:
    for replicates, trials in ((50, 16), (2, 416)):
        plan = plan_of(replicates, trials)
        assert len(plan.arms) == 12 and plan.trial_count >= 10_000


def test_every_trial_of_a_study_of_no_ops_is_timed_and_told(tmp_path: Path) -> None:
    plan = plan_of(2, 4)
    carried = carry_out(plan, tmp_path)
    events = Counter(event.kind for event in read_events(tmp_path))
    assert len(carried.spent) == plan.trial_count == 12 * 2 * (4 + 1)
    assert events["proposed"] == events["started"] == events["ended"] == plan.trial_count
    assert carried.events == events.total()
    assert all(spent.wall_s > 0 for spent in carried.spent)


def test_a_trial_runs_no_more_lines_late_in_a_study_than_early(tmp_path: Path) -> None:
    assert _growth_in_lines(tmp_path, Study) < 1.2


def test_counting_lines_sees_a_scan_of_all_records(tmp_path: Path) -> None:
    class Scanning(Study):
        def report(self, *arguments: Any) -> bool:
            assert all(state.trial_id for state in self.records.values())
            return super().report(*arguments)

    assert _growth_in_lines(tmp_path, Scanning) > 1.4


def test_a_search_tells_optuna_of_each_trial_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[str] = []
    add_trials = optuna.Study.add_trials

    def note(study: optuna.Study, trials: list[Any]) -> None:
        reported.extend("reported" for _ in trials)
        add_trials(study, trials)

    monkeypatch.setattr(optuna.Study, "add_trials", note)
    plan = _plan(seed=0, trials=24, domains=DOMAINS)
    for _ in _propose_all(plan, random.Random(0), lambda search, trial, states: search.propose(trial, states)):
        pass
    assert len(reported) == plan.startup_trials  # the others are known from having been asked for


@pytest.mark.parametrize("outcomes", [MIXED, CENSORED])
@pytest.mark.parametrize("seed", range(4))
def test_a_kept_search_proposes_what_one_built_anew_would(seed: int, outcomes: tuple[Outcome, ...]) -> None:
    source = random.Random(seed)
    domains = {name: DOMAINS[name] for name in source.sample(list(DOMAINS), source.randint(1, len(DOMAINS)))}
    plan = _plan(seed, trials=20, domains=domains)

    def both(search: Search, trial: PlannedTrial, states: list[TrialState]) -> dict[str, Any]:
        kept, anew = search.propose(trial, states), propose(plan, trial, states)
        assert kept == anew, trial.trial_id
        if source.random() < 0.1:
            assert search.propose(trial, states) == anew, "asked a second time"
        return kept

    for states in _propose_all(plan, source, both, outcomes):
        failed = [state for state in states if state.outcome == "failed"]
        if failed and source.random() < 0.2:
            failed[0].outcome = None  # as --retry-failed does
    assert {state.outcome for state in states} >= set(outcomes) - {"diverged", "failed"}


def _growth_in_lines(directory: Path, study_type: type[Study]) -> float:
    plan = plan_of(replicates=20, trials=2, arms=3)  # too short for Optuna, whose lines grow with a search's length
    with _counting_lines() as count:
        carried = carry_out(plan, directory, lambda: Spent(count.total(), 0.0), study_type)
    second, last = carried.spent[WINDOW : 2 * WINDOW], carried.spent[-WINDOW:]
    early, late = (statistics.median(spent.wall_s for spent in part) for part in (second, last))
    assert early > 100
    return late / early


@contextmanager
def _counting_lines() -> Iterator[Counter[str]]:
    """Count lines run in this thread, each turn of a loop again, in the project's rooms."""
    count: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(ROOMS):
            return None
        count[event] += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(before)


def _plan(seed: int, trials: int, domains: dict[str, Domain]) -> Plan:
    space = with_direction(SPACE, "minimize" if seed % 2 else "maximize").model_copy(update={"nuisance": domains})
    plan = toy_plan(seed)
    budget = plan.budget.model_copy(update={"trials": trials})
    return plan.model_copy(update={"space": space, "arms": space.arms(), "budget": budget})


def _propose_all(
    plan: Plan, source: random.Random, ask: Any, outcomes: tuple[Outcome, ...] = MIXED
) -> Iterator[list[TrialState]]:
    """Have a whole search proposed, its trials going on and ending by chance in between."""
    states: list[TrialState] = []
    search = Search(plan, plan.arm("reference"))
    for trial in plan.trials():
        if (trial.arm, trial.replicate, trial.phase) != ("reference", 1, "search"):
            continue
        states.append(TrialState(trial.trial_id, proposal=ask(search, trial, states)))
        for state in (state for state in states if not state.has_ended):
            _go_on(state, source, outcomes)
        yield states


def _go_on(state: TrialState, source: random.Random, outcomes: tuple[Outcome, ...]) -> None:
    if source.random() < 0.2:
        state.epochs.clear()  # as a new attempt does that finds no checkpoint
    row = EpochRow(len(state.epochs) + 1, 0, 0.1, 1, {"val_score": source.random()})
    state.epochs.append(row)
    if source.random() < 0.4:
        state.outcome = source.choice(outcomes)
