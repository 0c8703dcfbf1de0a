"""A metric knows its names, its direction and its unit; a space takes it whole or by name alone."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ablation.plan import Plan
from analysis.numbers import THIN, unit_of
from search_spaces.metrics import Metric, bare_name, is_judged, names_with_test, reported_name
from search_spaces.space import Space
from tests.toy_study import SPACE, toy_plan


def space(**changes: Any) -> Space:
    return Space.model_validate({**dict(SPACE), **changes})


def test_a_name_alone_stands_for_a_metric_of_the_spaces_direction() -> None:
    asked = space(metrics=("rmse", Metric(name="accuracy", unit="share", of="images")), direction="minimize")
    assert asked.metrics == (
        Metric(name="rmse", direction="minimize", unit=None),
        Metric(name="accuracy", direction="maximize", unit="share", of="images"),
    )
    assert asked.metric("accuracy").of == "images"


def test_a_space_comes_back_whole_from_json() -> None:
    asked = space(metrics=("rmse", Metric(name="accuracy", unit="percent")), direction="minimize")
    assert Space.model_validate_json(asked.model_dump_json()) == asked


@pytest.mark.parametrize(
    "metrics", [("val_score",), (Metric(name="test_score"),), ("score", Metric(name="score")), ({"name": "a/b"},)]
)
def test_names_are_held_to_the_rules_however_they_are_given(metrics: tuple[object, ...]) -> None:
    with pytest.raises(ValidationError, match=r"leave 'val_' and 'test_' away|listed twice|cannot be printed"):
        space(metrics=metrics)


def test_a_unit_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="'share', 'percent' or 'number'"):
        space(metrics=({"name": "score", "unit": "Share"},))


def test_records_and_tables_name_it() -> None:
    metric = Metric(name="macro_recall")
    assert (metric.validation, metric.test) == ("val_macro_recall", "test_macro_recall")
    assert metric.validation_column == "metric.val_macro_recall"
    assert metric.test_column == "metric.test_macro_recall"
    assert [bare_name(name) for name in ("val_a", "test_a", "a", "train_a")] == ["a", "a", "a", "train_a"]
    assert reported_name("metric.train_loss") == "train_loss"
    assert names_with_test(["arm", "metric.val_a", "metric.test_a", "metric.test_b", "test_c"]) == ["a", "b"]
    assert [is_judged(name) for name in ("train_loss", "val_a", "test_a", "d_pos")] == [True, True, True, False]


@pytest.mark.parametrize(("direction", "best"), [("maximize", 3.0), ("minimize", -2.0)])
def test_upwards_the_better_value_is_the_larger(direction: str, best: float) -> None:
    metric = Metric.model_validate({"name": "m", "direction": direction})
    assert max([1.0, 3.0, -2.0], key=metric.upwards) == best


@pytest.mark.parametrize(
    ("values", "unit", "printed"),
    [
        ([0.25, 0.5], "share", f"25.0{THIN}%"),
        ([0.25, 40.0], "share", f"25.0{THIN}%"),
        ([0.25, 40.0], "percent", f"0.2{THIN}%"),
        ([0.25, 0.5], "number", "0.2500"),
        ([0.25, 0.5], None, f"25.0{THIN}%"),  # not declared: maximised and within 0..1
        ([0.25, 40.0], None, "0.25"),
    ],
)
def test_a_declared_unit_is_obeyed_whatever_the_values(values: list[float], unit: Any, printed: str) -> None:
    assert unit_of(values, True, unit).value(0.25) == printed


def test_a_metric_that_a_space_lacks_is_named() -> None:
    with pytest.raises(ValueError, match="metric is 'scores', but the space toy has score"):
        SPACE.metric("scores")
    with pytest.raises(ValidationError, match="metric is 'scores'"):
        Plan.model_validate({**dict(toy_plan()), "metric": "scores"})
