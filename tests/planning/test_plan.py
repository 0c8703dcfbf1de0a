"""A plan: seeds, effort, what it costs and what it can detect."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from ablation.console.plan_facts import plan_facts
from ablation.console.power_text import power_in_words
from ablation.engine.slots import Slots
from ablation.faults import FaultsError
from ablation.plan import Plan
from ablation.planning.effort import effort
from ablation.planning.probe import Probe, probe
from ablation.planning.request import CheckedStudy, Request, check_request
from ablation.power import replicates_to_equate, shown_margin
from ablation.seeds import derive_seed
from ablation.spread import Spread
from ablation.trial import EpochRecord, TrialContext
from search_spaces.metrics import Metric
from tests import toy_study
from tests.toy_study import ToyConfig, toy_plan

ALONE = Slots(count=1, cpus=1.0, gpus=0.0)


def test_arms_share_seeds_and_nothing_else_does() -> None:
    trials = list(toy_plan().trials())
    seeds: dict[tuple[int, str, int], set[int]] = {}
    for trial in trials:
        seeds.setdefault((trial.replicate, trial.phase, trial.index), set()).add(trial.seed)
    assert all(len(shared) == 1 for shared in seeds.values())
    assert len(set.union(*seeds.values())) == len(seeds)


def test_every_arm_and_replicate_gets_the_same_effort() -> None:
    plan = toy_plan()
    trials = list(plan.trials())
    assert len(trials) == plan.trial_count == len({trial.trial_id for trial in trials})
    counts = {
        (arm.name, replicate): sum(trial.arm == arm.name and trial.replicate == replicate for trial in trials)
        for arm in plan.arms
        for replicate in range(plan.budget.replicates)
    }
    assert set(counts.values()) == {plan.budget.trials + plan.budget.seeds}


@pytest.mark.parametrize(
    ("grace", "factor", "epochs", "rungs"), [(1, 3, 243, (1, 3, 9, 27, 81)), (3, 3, 9, (3,)), (5, 2, 5, ())]
)
def test_rungs_are_whole_powers_below_the_full_length(
    grace: int, factor: int, epochs: int, rungs: tuple[int, ...]
) -> None:
    assert _with_budget(grace_epochs=grace, reduction_factor=factor, epochs=epochs).rungs == rungs


def test_expected_effort_lies_between_survivors_only_and_no_stopping() -> None:
    plan = toy_plan()
    found = effort(plan)
    searches = len(plan.arms) * plan.budget.replicates
    assert found.epochs_most == searches * (plan.budget.trials + plan.budget.seeds) * plan.budget.epochs
    least = searches * (plan.budget.epochs + (plan.budget.trials - 1) * plan.budget.grace_epochs)
    assert least < found.epochs_expected < found.epochs_most
    no_stopping = _with_budget(grace_epochs=9)
    assert effort(no_stopping).epochs_expected == effort(no_stopping).epochs_most


def test_costs_follow_from_the_probe() -> None:
    plan = toy_plan()
    facts = plan_facts(
        _prepared(plan), Probe(2.0, checkpoint_bytes=1000, took_s=4.5, arms_tried=5), Slots(8, 2.0, 0.25)
    )
    searches = len(plan.arms) * plan.budget.replicates
    assert facts["checkpoints_kept_bytes"] == searches * plan.budget.seeds * 2 * 1000
    assert facts["checkpoints_most_bytes"] == facts["checkpoints_kept_bytes"] + 8 * 2 * 1000
    hours = facts["sweep_most_s"] / 3600
    assert facts["sweep_most_s"] == pytest.approx(10 + facts["epochs_most"] * 2.0 / 8)
    assert facts["gpu_hours_most"] == pytest.approx(2 * hours)
    assert facts["cpu_hours_most"] == pytest.approx(16 * hours)
    assert facts["gpu_hours_expected"] / facts["gpu_hours_most"] == pytest.approx(
        facts["sweep_expected_s"] / facts["sweep_most_s"]
    )


def test_half_the_difference_takes_more_replicates_or_fewer_comparisons() -> None:
    plan = toy_plan()
    measured = Probe(0.01, 0, 0.1, 5)
    unknown = plan_facts(_prepared(plan), measured, ALONE)
    assert unknown["spread"] is None and unknown["detectable"] is None
    known = plan_facts(_prepared(plan), measured, ALONE, Spread(0.5, "as stated"))
    assert known["detectable"] == pytest.approx(0.5 * known["detectable_sd"])
    half = known["half"]
    more = _with_budget(replicates=half["replicates_needed"])
    assert plan_facts(_prepared(more), measured, ALONE)["detectable_sd"] <= known["detectable_sd"] / 2
    fewer = plan.model_copy(update={"comparisons": plan.comparisons[:1]})
    assert plan_facts(_prepared(fewer), measured, ALONE)["detectable_sd"] == half["detectable_sd_of_one_comparison"]
    nothing = plan_facts(_prepared(plan.model_copy(update={"comparisons": ()})), measured, ALONE)
    assert nothing["half"] is None and nothing["detectable_sd"] is None


@pytest.mark.parametrize(("seeds", "sd", "said"), [(1, 0.02, "1 confirm run"), (4, 0.01, "4 confirm runs")])
def test_a_spread_by_seed_is_that_of_as_many_confirm_runs_as_are_planned(seeds: int, sd: float, said: str) -> None:
    plan = _with_budget(seeds=seeds)
    plan = plan.model_copy(update={"space": plan.space.model_copy(update={"smallest_effect": 0.05})})
    of_two_seeds = Spread(0.02 / math.sqrt(2), "a run", between_sd=0.0, within_sd=0.02)
    facts = plan_facts(_prepared(plan), Probe(0.01, 0, 0.1, 5), ALONE, of_two_seeds)
    assert facts["detectable"] == pytest.approx(facts["detectable_sd"] * sd)
    needed = replicates_to_equate(0.05, sd, len(plan.comparisons))
    assert facts["equivalence"]["replicates_needed"] == needed
    assert f"such differences is {sd:.3g} (a run; for {said} a replicate)" in power_in_words(facts)[1]


def test_a_plan_says_what_it_takes_to_show_that_arms_are_practically_equal() -> None:
    plan = toy_plan()
    assert plan_facts(_prepared(plan), Probe(0.01, 0, 0.1, 5), ALONE)["equivalence"] is None
    plan = plan.model_copy(update={"space": plan.space.model_copy(update={"smallest_effect": 0.02})})
    facts = plan_facts(_prepared(plan), Probe(0.01, 0, 0.1, 5), ALONE)["equivalence"]
    comparisons, replicates = len(plan.comparisons), plan.budget.replicates
    assert facts["margin"] == 0.02 and facts["replicates_needed"] is None
    assert shown_margin(facts["largest_sd"], replicates, comparisons) == pytest.approx(0.02)
    known = plan_facts(_prepared(plan), Probe(0.01, 0, 0.1, 5), ALONE, Spread(0.05, "as stated"))["equivalence"]
    assert known["replicates_needed"] == replicates_to_equate(0.02, 0.05, comparisons)


def test_a_smallest_effect_that_the_spread_puts_out_of_reach_is_planned_all_the_same() -> None:
    plan = toy_plan()
    plan = plan.model_copy(update={"space": plan.space.model_copy(update={"smallest_effect": 0.02})})
    facts = plan_facts(_prepared(plan), Probe(0.01, 0, 0.1, 5), ALONE, Spread(50.0, "as stated"))
    assert facts["equivalence"]["replicates_needed"] is None
    assert power_in_words(facts)[-1].endswith("; with the spread above no 100,000 replicates show it")


def test_a_difference_that_no_two_shares_can_have_is_planned_as_one() -> None:
    plan, wide = toy_plan(), Spread(0.5, "as stated")
    metrics = tuple(metric.model_copy(update={"unit": "share"}) for metric in plan.space.metrics)
    shares = plan.model_copy(update={"space": plan.space.model_copy(update={"metrics": metrics})})
    lines = {
        name: power_in_words(plan_facts(_prepared(one), Probe(0.01, 0, 0.1, 5), ALONE, wide))[1]
        for name, one in (("number", plan), ("share", shares))
    }
    assert "(no two values differ by so much), where one standard deviation" in lines["share"]
    assert "no two values" not in lines["number"]


def test_the_smallest_effect_is_the_options_or_the_spaces_for_its_first_metric() -> None:
    space = toy_plan().space.model_copy(update={"smallest_effect": 0.02})
    assert check_request(Request(space), gpus=0).plan.space.smallest_effect == 0.02
    assert check_request(Request(space, equivalence=0.01), gpus=0).plan.space.smallest_effect == 0.01
    two = space.model_copy(update={"metrics": (*space.metrics, Metric(name="other"))})
    assert check_request(Request(two, metric="other"), gpus=0).plan.space.smallest_effect is None
    with pytest.raises(FaultsError, match="--equivalence is -1, but must be a number > 0, in the unit of score"):
        check_request(Request(space, equivalence=-1.0), gpus=0)


def test_the_probe_measures_a_checkpoint_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[TrialContext] = []
    original = toy_study.run_trial

    def run_trial(config: ToyConfig, context: TrialContext) -> Iterator[EpochRecord]:
        seen.append(context)
        for record in original(config, context):
            path = context.checkpoint_dir / f"epoch-{record.epoch:05d}.safetensors"
            path.write_bytes(bytes(100 * record.epoch))
            yield record

    monkeypatch.setattr(toy_study, "run_trial", run_trial)
    measured = probe(_prepared(toy_plan()), Slots(count=4, cpus=3.0, gpus=0.25))
    assert (measured.epoch_s, measured.checkpoint_bytes) == (0.01, 200)
    assert measured.took_s > 0
    confirm, *first_epochs = seen
    assert (confirm.epochs, confirm.phase) == (2, "confirm")
    assert [(context.epochs, context.phase) for context in first_epochs] == [(9, "search")] * len(toy_plan().arms)
    for context in seen:
        assert (context.device, context.cpu_threads) == ("cuda", 3)
        assert not context.checkpoint_dir.exists()
    assert capsys.readouterr().out == ""


def test_a_probe_that_fails_is_a_fault_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FaultsError, match="ToyError: asked to"):
        probe(_prepared(toy_plan(misbehave="raise")), ALONE)
    captured = capsys.readouterr()
    assert "Traceback" in captured.err and "probe epoch 1" in captured.err and captured.out == ""


def test_derived_seeds_are_the_same_everywhere_and_differ_by_any_part() -> None:
    assert derive_seed(0, "search", 1) == 7270598584162995374
    assert len({derive_seed(0, "a"), derive_seed(1, "a"), derive_seed(0, "b"), derive_seed(0, "a", 0)}) == 4


def _with_budget(**changes: int) -> Plan:
    plan = toy_plan()
    return plan.model_copy(update={"budget": plan.budget.model_copy(update=changes)})


def _prepared(plan: Plan) -> CheckedStudy:
    return CheckedStudy(plan, "quick", "as asked for", None)


@pytest.mark.parametrize("text", ["nan", "NaN", "Infinity"])
def test_a_text_that_looks_like_no_finite_number_is_a_text_where_one_is_wanted(text: str) -> None:
    plan = check_request(Request("tests.toy_study:SPACE", settings=(f"toy.misbehave={text}",)), gpus=0).plan
    assert plan.space.fixed["toy.misbehave"] == text
    with pytest.raises(FaultsError, match="must be a finite number"):
        check_request(Request("tests.toy_study:SPACE", settings=(f"toy.offset={text}",)), gpus=0)
