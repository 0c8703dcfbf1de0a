"""What a space says: arms, comparisons, corners, and what it refuses."""

from __future__ import annotations

import math
import re
from itertools import permutations, product
from pathlib import Path

import pytest
from pydantic import ValidationError

from ablation.paths import RunPaths, file_safe
from ablation.trial import build_config, import_object
from search_spaces.conditions import meaning
from search_spaces.space import IS_RECORDED, Budget, Choice, Comparison, Design, Float, Level, Levels, Space, When
from search_spaces.tcl import SPACE, STRATEGIES

QUICK = {"quick": Budget(replicates=2, trials=1, epochs=1, grace_epochs=1, reduction_factor=2)}


def small_space(**changes: object) -> Space:
    given: dict[str, object] = {
        "name": "small",
        "trial": "nowhere:run_trial",
        "factors": {"a": Choice(values=(1, 2)), "b": Choice(values=("x", "y"))},
        "nuisance": {"c": Float(low=0.1, high=1.0, default=0.5)},
        "reference": {"a": 2, "b": "y"},
        "baseline": {"a": 1, "b": "x"},
        "metrics": ("score",),
        "budgets": QUICK,
    }
    return Space.model_validate({**given, **changes})


def test_one_at_a_time_has_reference_first_each_other_level_once_and_baseline_last() -> None:
    arms = SPACE.arms("one-at-a-time")
    names = [arm.name for arm in arms]
    others = {f"{factor.split('.')[1]}={level}" for factor, choice in SPACE.factors.items() for level in choice.values}
    own_levels = {f"{factor.split('.')[1]}={level}" for factor, level in SPACE.reference.items()}
    assert names[0] == "reference" and names[-1] == "baseline"
    assert set(names[1:-1]) == others - own_levels
    assert len(names) == len(set(names)) == 13


def test_factorial_merges_combinations_that_mean_the_same() -> None:
    # By hand: 4 strategies × 4 margins × 4 attentions, and none and center each with none or pixel, no margin.
    arms = SPACE.arms("factorial")
    assert len(arms) == 4 * 4 * 4 + 2 * 2
    assert len({frozenset(arm.levels.items()) for arm in arms}) == len(arms)


def test_meaningless_combinations_take_the_nearest_meaningful_one_and_say_so() -> None:
    arm = next(arm for arm in SPACE.arms() if arm.name == "negatives=center")
    assert arm.levels == {"loss.negatives": "center", "model.attention": "pixel"}
    assert any("selective" in note and "pixel" in note for note in arm.notes)
    baseline = SPACE.arms()[-1]
    assert "loss.weight" not in baseline.searched and "optim.center_lr" not in baseline.searched


def test_joint_is_one_arm_that_searches_the_factors_too() -> None:
    (arm,) = SPACE.arms("joint")
    assert set(arm.searched) == {*SPACE.factors, *SPACE.nuisance}
    assert SPACE.declared((arm,)) == ()
    proposal: Levels = {"loss.negatives": "none", "loss.margin": 1.0, "model.attention": "element", "optim.lr": 0.1}
    assert SPACE.configuration(arm, proposal)["model.attention"] == "none"


def test_every_arm_is_compared_with_the_reference_and_the_strategies_with_the_baseline() -> None:
    arms = SPACE.arms()
    pairs = SPACE.declared(arms)
    assert {arm for arm, against in pairs if against == "reference"} == {arm.name for arm in arms[1:]}
    against_baseline = {arm for arm, against in pairs if against == "baseline"}
    # The third strategy is the reference: that pair is already among the first.
    assert against_baseline == {f"negatives={name}" for name in STRATEGIES if name != "fully-synthesized"}
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)


def test_every_corner_of_the_space_is_a_valid_configuration() -> None:
    run_trial = import_object(SPACE.trial)
    for corner in SPACE.corners():
        build_config(run_trial, corner)


def test_corners_are_the_product_of_the_range_ends() -> None:
    corners = list(small_space().corners())
    expected = [{"a": a, "b": b, "c": c} for a, b, c in product((1, 2), ("x", "y"), (0.1, 1.0))]
    assert sorted(corners, key=str) == sorted(expected, key=str)


def test_a_space_lists_all_its_faults_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        small_space(
            reference={"a": 3},
            conditions=(When(factor="z", among=(1,), reason="none"),),
            fixed={"c": 1},
            comparisons=(Comparison(against="reference", factor="a", levels=(9,)),),
        )
    text = str(caught.value)
    for part in ("reference sets a to 3", "no level for 'b'", "'z'", "'c' is fixed and varied", "names level 9 of a"):
        assert part in text


def test_a_comparison_by_factor_without_levels_is_of_all_its_levels() -> None:
    factors = {"a": Choice(values=(1, 2, 3)), "b": Choice(values=("x", "y"))}
    by_a = small_space(factors=factors, comparisons=(Comparison(against="reference", factor="a"),))
    assert by_a.declared(by_a.arms()) == (("a=1", "reference"), ("a=3", "reference"))
    one = small_space(factors=factors, comparisons=(Comparison(against="reference", factor="a", levels=(3,)),))
    assert one.declared(one.arms()) == (("a=3", "reference"),)


@pytest.mark.parametrize("bad", [{"low": 2.0}, {"default": 5.0}, {"low": 0.0, "log": True}])
def test_a_range_refuses_what_cannot_be_sampled(bad: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Float.model_validate({"low": 0.5, "high": 1.0, "default": 0.7, **bad})


def test_factors_of_the_same_last_name_give_arms_of_their_own() -> None:
    depth = Choice(values=(2, 4))
    levels: Levels = {"enc.depth": 2, "dec.depth": 2}
    factors = {"enc.depth": depth, "dec.depth": depth}
    space = small_space(factors=factors, reference=levels, baseline={"enc.depth": 4, "dec.depth": 4})
    names = [arm.name for arm in space.arms("factorial")]
    assert len(names) == len(set(names)) == 4


@pytest.mark.parametrize(
    ("factor", "values", "reported"),
    [
        ("net/depth", (1, 2), "factor 'net/depth' holds '/' or '__'"),
        ("net.de__pth", (1, 2), "factor 'net.de__pth' holds '/' or '__'"),
        ("kind", ("a/b", "c"), "level 'a/b' of kind holds '/' or '__'"),
        ("kind", ("a__b", "c"), "level 'a__b' of kind holds '/' or '__'"),
        ("kind", ("c", "a_"), "level 'a_' of kind holds '/' or '__' or ends with '_'"),
        ("kind", (1, "1"), "levels 1 and '1' of kind are written alike"),
        ("kind", ("False", False), "levels 'False' and False of kind are written alike"),
        ("kind", ("a", "a,other=x"), "'a,other=x' of kind reads as levels of two factors"),
    ],
)
def test_names_that_no_trial_id_can_hold_are_refused(factor: str, values: tuple[Level, ...], reported: str) -> None:
    factors = {factor: Choice(values=values), "net.other": Choice(values=("x", "y"))}
    reference, baseline = ({factor: value, "net.other": "x"} for value in values)
    with pytest.raises(ValidationError) as caught:
        small_space(factors=factors, reference=reference, baseline=baseline)
    assert reported in str(caught.value) and "rename" in str(caught.value)


def test_file_names_hold_nothing_that_signers_and_readers_of_partitions_stumble_over() -> None:
    levels: Levels = {"my__group._wide_": "_a_b", "my__group.deep": 2}
    factors = {"my__group._wide_": Choice(values=("_a_b", "_c d")), "my__group.deep": Choice(values=(2, 4))}
    baseline: Levels = {"my__group._wide_": "_c d", "my__group.deep": 4}
    arms = [arm.name for arm in small_space(factors=factors, reference=levels, baseline=baseline).arms("factorial")]
    assert any("_wide_=_c d" in name for name in arms)
    # Equal but for what is replaced.
    ids = [f"{name}/0/confirm/0" for name in (*arms, "x=1,y=2", "x-1-y-2", "x 1 y 2", "é", "è")]
    names = [file_safe(trial_id) for trial_id in ids]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names)
    assert len(set(names)) == len(ids)
    assert file_safe("reference/0/confirm/0") == "reference__0__confirm__0"


@pytest.mark.parametrize(
    ("changes", "reported"),
    [
        ({"factors": {"a": Choice(values=(1, True))}}, "levels 1 and True of a are equal, so one would be lost"),
        ({"factors": {"a": Choice(values=(False, 1, 0))}}, "levels False and 0 of a are equal"),
        ({"factors": {"a": Choice(values=(1, 1.0))}}, "levels 1 and 1.0 of a are equal"),
        ({"factors": {"a": Choice(values=(1, 2, 2))}}, "levels 2 and 2 of a are equal"),
        ({"factors": {"a": Choice(values=(1, math.nan))}}, "level nan of a must be finite"),
        ({"nuisance": {"c": Choice(values=(0, False))}}, "levels 0 and False of c are equal"),
        ({"fixed": {"clip": math.inf}}, "fixed clip is inf, but must be finite"),
        ({"metrics": ("score", "arm")}, "metric 'arm' is a column of the report's tables already; rename it"),
        ({"metrics": ("score", "score_low")}, "metric 'score_low' is the column for the interval of 'score'"),
        ({"metrics": ("val_score",)}, "leave 'val_' and 'test_' away"),
        ({"metrics": ("a/b",)}, "metric 'a/b' holds '/'"),
        ({"metrics": ("a\nb",)}, "or what cannot be printed"),
        ({"metrics": ("score", "score")}, "metric 'score' is listed twice"),
    ],
)
def test_what_tables_could_not_tell_apart_is_refused_by_name(changes: dict[str, object], reported: str) -> None:
    if "factors" in changes:
        changes = {**changes, "reference": {"a": 1}, "baseline": {"a": 1}}
    with pytest.raises(ValidationError) as caught:
        small_space(**changes)
    assert reported in str(caught.value)


def test_a_space_that_has_run_is_read_whatever_its_names_are() -> None:
    recorded = small_space().model_dump() | {"metrics": ("arm", "mean")}
    with pytest.raises(ValidationError, match="metric 'arm'"):
        Space.model_validate(recorded)
    read = Space.model_validate(recorded, context={IS_RECORDED: True})
    assert [metric.name for metric in read.metrics] == ["arm", "mean"]


@pytest.mark.parametrize("end", ["low", "high", "default"])
def test_a_range_has_finite_ends(end: str) -> None:
    with pytest.raises(ValidationError, match="finite"):
        Float.model_validate({"low": 0.5, "high": 1.0, "default": 0.7, end: math.inf})


A = When(factor="a", among=(1,), drops=("b",), reason="b is off")
B = When(factor="b", among=("x",), drops=("c",), replaces={"d": (("p", "q"),)}, reason="c and p need y")
D = When(factor="a", among=(2,), replaces={"d": (("q", "r"),)}, reason="q needs a=1")


@pytest.mark.parametrize("conditions", list(permutations((A, B, D))))
def test_nested_conditions_mean_the_same_in_every_order(conditions: tuple[When, ...]) -> None:
    factors = {"a": Choice(values=(1, 2)), "b": Choice(values=("x", "y")), "d": Choice(values=("p", "q", "r"))}
    levels: Levels = {"a": 2, "b": "y", "d": "p"}
    space = small_space(factors=factors, reference=levels, baseline={**levels, "a": 1}, conditions=conditions)
    # b has no level where a drops it, so what b=x says does not hold.
    for b in ("x", "y"):
        dropped = space.arm({"a": 1, "b": b, "d": "p"})
        assert (dropped.levels, dropped.searched) == ({"a": 1, "d": "p"}, ("c",))
    nested = space.arm({"a": 2, "b": "x", "d": "p"})
    assert (nested.levels, nested.searched) == ({"a": 2, "b": "x", "d": "r"}, ())
    assert nested.notes == (
        "d=p stands as q with b=x: c and p need y",
        "d=q stands as r with a=2: q needs a=1",
    )
    for point in product(*(choice.values for choice in factors.values())):
        combination = dict(zip(factors, point, strict=True))
        assert meaning(combination, space.conditions).levels == space.arm(combination).levels


@pytest.mark.parametrize(
    ("conditions", "reported"),
    [
        ((A, When(factor="b", among=("x",), drops=("a",), reason="")), "go round in a circle"),
        ((When(factor="a", among=(1,), drops=("a",), reason=""),), "drops or replaces a itself"),
        (
            (
                When(factor="a", among=(1, 2), replaces={"b": (("x", "y"),)}, reason=""),
                When(factor="a", among=(2,), replaces={"b": (("x", "z"),)}, reason=""),
            ),
            "two Whens (a and a) replace b=x by 'y' and by 'z'",
        ),
    ],
)
def test_conditions_that_only_an_order_could_decide_are_refused(conditions: tuple[When, ...], reported: str) -> None:
    with pytest.raises(ValidationError) as caught:
        small_space(factors={"a": Choice(values=(1, 2)), "b": Choice(values=("x", "y", "z"))}, conditions=conditions)
    assert reported in str(caught.value)


@pytest.mark.parametrize("design", ["one-at-a-time", "factorial"])
def test_a_baseline_that_is_the_reference_is_one_arm_and_not_compared(design: Design) -> None:
    single = {"factors": {"a": Choice(values=(1,))}, "reference": {"a": 1}, "baseline": {"a": 1}}
    space = small_space(**single, comparisons=(Comparison(against="baseline"),))
    (arm,) = space.arms(design)
    assert arm.name == "reference" and "trained once" in arm.notes[0]
    assert space.declared((arm,)) == ()
    twins = small_space(baseline={"a": 2, "b": "y"})
    arms = twins.arms(design)
    assert arms[0].name == "reference" and "baseline" not in [arm.name for arm in arms]
    assert len({frozenset(arm.levels.items()) for arm in arms}) == len(arms) > 1
    assert {against for _, against in twins.declared(arms)} == {"reference"}


@pytest.mark.parametrize("design", ["one-at-a-time", "factorial"])
def test_a_space_without_factors_is_one_arm_that_searches_everything_and_compares_nothing(design: Design) -> None:
    nuisance = {"c": Float(low=0.1, high=1.0, default=0.5), "d": Choice(values=("x", "y"))}
    space = Space(name="plain", trial="nowhere:run_trial", nuisance=nuisance, metrics=("score",), budgets=QUICK)
    (arm,) = space.arms(design)
    assert (arm.name, arm.levels, arm.searched, arm.notes) == ("model", {}, ("c", "d"), ())
    assert space.declared((arm,)) == ()
    assert space.configuration(arm, {"c": 0.2, "d": "y"}) == {"c": 0.2, "d": "y"}
    assert Space.model_validate_json(space.model_dump_json()) == space


def test_reference_and_baseline_are_needed_where_there_are_factors_and_refused_where_there_are_none() -> None:
    with pytest.raises(ValidationError, match="reference gives no level for 'a'") as caught:
        small_space(reference={}, baseline={})
    assert "baseline gives no level for 'b'" in str(caught.value)
    with pytest.raises(ValidationError, match="reference names 'a', which is no factor"):
        small_space(factors={})
    with pytest.raises(ValidationError, match="there are no factors, and so nothing to compare; leave them out"):
        small_space(factors={}, reference={}, baseline={}, comparisons=(Comparison(against="baseline"),))


@pytest.mark.parametrize(
    ("smallest", "said"),
    [
        (0.0, "smallest_effect is 0, but must be a number > 0, in the unit of accuracy"),
        (float("inf"), "smallest_effect is inf, but must be a number > 0"),
        (0.5, "smallest_effect is 0.5, but must be at most 0.25 for accuracy, which is a share, 0 to 1: 0.005 is half"),
    ],
)
def test_a_smallest_effect_that_cannot_be_meant_is_refused(smallest: float, said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        Space.model_validate({**SPACE.model_dump(), "smallest_effect": smallest})
    assert Space.model_validate({**SPACE.model_dump(), "smallest_effect": 0.005}).smallest_effect == 0.005


def test_a_space_survives_json() -> None:
    assert Space.model_validate_json(SPACE.model_dump_json()) == SPACE


def test_a_long_trial_id_is_shortened_to_a_name_that_every_file_system_takes_and_no_two_share() -> None:
    ids = [f"{'é' * 200}={level}/0/search/0" for level in range(3)] + ["short/0/search/0"]
    names = [file_safe(trial_id) for trial_id in ids]
    assert len(set(names)) == 4 and names[3] == "short__0__search__0"
    assert all(len(f"{name}.hang.txt".encode()) <= 143 for name in names)


def test_files_that_were_named_by_their_whole_id_are_still_found(tmp_path: Path) -> None:
    trial_id = f"{'long-' * 30}/0/confirm/0"
    paths = RunPaths(tmp_path)
    assert paths.log(trial_id).name == f"{file_safe(trial_id)}.txt" != f"{trial_id.replace('/', '__')}.txt"
    old = tmp_path / "logs" / f"{trial_id.replace('/', '__')}.txt"
    old.parent.mkdir()
    old.touch()
    assert paths.log(trial_id) == old and paths.checkpoint_dir(trial_id).name == file_safe(trial_id)
    assert len(paths.log(f"{'x' * 300}/0/confirm/0").name) < 143
