"""Annotations of arrays are checked in tests: wrong shapes and kinds are refused, no array of the models is bare."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from ablation.sorting import config as sorting_config
from ablation.sorting import network as sorting_network
from ablation.sorting.train import scores as sorting_scores
from ablation.tcl import attention
from ablation.tcl.attention import ATTENTION, ElementAttention, PixelAttention, Pooled
from ablation.tcl.backbones import initialise
from ablation.tcl.config import Model
from ablation.tcl.data.cache import Split
from ablation.tcl.evaluate import Outputs
from ablation.tcl.loss import TripletCenterLoss, TwoSided, half_squares
from ablation.tcl.negatives import NEGATIVES
from ablation.tcl.network import Output, build_network
from tests.support.array_checks import CHECKED, MODELS, says_shape, shapes
from tests.support.metric_term_cases import Batch, draw_batch

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    module.name
    for model in MODELS
    for module in pkgutil.walk_packages(importlib.import_module(model).__path__, f"{model}.")
    if module.name != "ablation.tcl.standalone"  # which is copied to where nothing of this project is
)
LETTERS = re.compile(r"[a-z][a-z0-9_]*_([A-Z0-9]*[A-Z][A-Z0-9]*)")

# Of a predictor, which takes pictures of every size.
METHODS = ("_outputs", "attention", "decoded", "embed", "predict")
# Parameters, results and fields that hold arrays of every shape: states by a parameter's name, pictures.
BARE = {
    "ablation.sorting.optimizer.AdamW.load_state_dict(state)",
    "ablation.sorting.optimizer.AdamW.state_dict(return)",
    "ablation.tcl.backbones._format(found)",
    "ablation.tcl.backbones._format(targets)",
    "ablation.tcl.backbones._imagenet_state(return)",
    "ablation.tcl.backbones._own_tensors(return)",
    "ablation.tcl.backbones._stripped(targets)",
    "ablation.tcl.backbones.load_weights(state)",
    "ablation.tcl.backbones.read_state(return)",
    "ablation.tcl.negatives._without_autocast(tensor)",
    "ablation.tcl.network.network_of(tensors)",
    "ablation.tcl.optimizer.MomentumSGD.load_state_dict(state)",
    "ablation.tcl.optimizer.MomentumSGD.state_dict(return)",
    *(f"ablation.tcl.predictor.ExpressionPredictor.{name}(pictures)" for name in METHODS),
    "ablation.tcl.predictor._decoded(picture)",
}


def bad_batches() -> list[Batch]:
    """Spoil a batch of B = 9, K = 5, D = 6, a way at a time, so that the code itself might not notice."""
    good = draw_batch(0)
    return [
        good._replace(features_BD=good.features_BD[:, :1]),  # would broadcast
        good._replace(labels_B=good.labels_B[:, None]),
        good._replace(labels_B=good.labels_B.double()),
        good._replace(logits_BK=good.logits_BK[:, :4]),
        good._replace(attention_BD=good.attention_BD[:1]),  # would broadcast
        good._replace(logits_BK=good.attention_BD, attention_BD=good.logits_BK),
        good._replace(centers_KD=good.centers_KD.T),
    ]


@pytest.mark.parametrize("name", list(NEGATIVES))
@pytest.mark.parametrize("batch", bad_batches())
def test_every_strategy_refuses_it(name: str, batch: Batch) -> None:
    NEGATIVES[name](*draw_batch(0), synthesis_ratio=0.5)
    with pytest.raises(TypeCheckError):
        NEGATIVES[name](*batch, synthesis_ratio=0.5)


@pytest.mark.parametrize("method", ["forward", "two_sided"])
def test_the_loss_refuses_it(method: str) -> None:
    loss = TripletCenterLoss(5, 6, negatives="nearest", margin=1.0)
    good = draw_batch(0, dtype=torch.float32)
    call = getattr(loss, method)
    call(good.features_BD, good.labels_B, good.logits_BK, good.attention_BD)
    for wrong in (
        (good.features_BD, good.labels_B[:4], good.logits_BK),
        (good.features_BD, good.labels_B, good.logits_BK[:4]),
        (good.features_BD, good.logits_BK, good.labels_B),
        (good.features_BD.T, good.labels_B, good.logits_BK),
        (good.features_BD, good.labels_B, good.logits_BK, good.attention_BD[:, :1]),
    ):
        with pytest.raises(TypeCheckError):
            call(*wrong)
    with pytest.raises(TypeCheckError):
        half_squares(good.features_BD, good.features_BD[:1], good.attention_BD)


def test_attention_and_network_refuse_it() -> None:
    maps_BCHW = torch.zeros(2, 8, 3, 3)
    generator = torch.Generator().manual_seed(0)
    network = build_network(Model(width=4), 3, generator)
    parts = [(PixelAttention(8), maps_BCHW), (ElementAttention(8), maps_BCHW.mean((2, 3)))]
    parts += [(variant.build(8), maps_BCHW) for variant in ATTENTION.values()]
    for module, fitting in [*parts, (network, torch.zeros(2, 3, 48, 48))]:
        initialise(module, generator)
        module(fitting)
        with pytest.raises(TypeCheckError):
            module(fitting[0])


def test_the_transformer_refuses_it() -> None:
    network = sorting_network.build_network(sorting_config.Model(), 6, 5, seed=0)
    symbols_NL = torch.zeros(4, 6, dtype=torch.int64)
    sorting_scores(network, symbols_NL, symbols_NL)
    with pytest.raises(TypeCheckError):
        network(symbols_NL[0])
    with pytest.raises(TypeCheckError):
        sorting_scores(network, symbols_NL, symbols_NL.T)


def test_a_result_of_another_shape_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    part = ElementAttention(8)
    monkeypatch.setattr(attention, "unit_mean", lambda logits_BD: logits_BD.T)
    with pytest.raises(TypeCheckError, match="return value"):
        part(torch.zeros(2, 8))


def test_records_refuse_fields_that_disagree() -> None:
    features_BD, logits_BK, terms_B = torch.zeros(2, 8), torch.zeros(2, 3), torch.zeros(2)
    Output(features_BD, logits_BK, None, None)
    with pytest.raises(TypeCheckError):
        Output(features_BD, logits_BK.T, None, None)
    with pytest.raises(TypeCheckError):
        Pooled(features_BD, features_BD[:, :7], None)
    with pytest.raises(TypeCheckError):
        Outputs(logits_NK=logits_BK, features_ND=features_BD[:1], pixel_map_NHW=None)
    with pytest.raises(TypeCheckError):
        TwoSided(terms_B, terms_B[:1], {})
    with pytest.raises(TypeCheckError):
        Split(np.zeros((2, 4, 4, 3), np.uint8), np.zeros(3, np.int64), ("a", "b"))


class Found(NamedTuple):
    path: str
    hints: dict[str, Any]


def classes(module: Any) -> Iterator[type]:
    """Yield every class that a module defines."""
    yield from (
        value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__
    )


def functions(module: Any) -> Iterator[Found]:
    """Yield every function and method that a module defines, and what dataclasses are made by."""
    classes = [
        value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__
    ]
    for owner in (module, *classes):
        if getattr(owner, "_is_protocol", False):
            continue
        for value in vars(owner).values():
            plain = inspect.unwrap(getattr(value, "__func__", getattr(value, "fget", value)))
            if inspect.isfunction(plain) and plain.__module__ == module.__name__:
                yield Found(f"{module.__name__}.{plain.__qualname__}", get_type_hints(plain))


def bare(hint: Any) -> bool:
    """Say whether there is an array without a shape in an annotation."""
    arrays = (torch.Tensor, np.ndarray)
    origin = get_origin(hint) or hint
    if says_shape(origin):
        return False
    return (isinstance(origin, type) and issubclass(origin, arrays)) or any(map(bare, get_args(hint)))


@pytest.fixture(scope="module", params=MODULES)
def module(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(request.param)


def test_every_shape_that_is_written_is_checked(module: Any) -> None:
    for path, hints in functions(module):
        written = {name for name, hint in hints.items() if says_shape(hint)}
        assert CHECKED[path] == written, path


def test_every_array_says_its_shape(module: Any) -> None:
    found = {f"{path}({name})" for path, hints in functions(module) for name, hint in hints.items() if bare(hint)}
    assert found == {path for path in BARE if path.startswith(f"{module.__name__}.")}


def test_a_name_and_its_annotation_say_the_same(module: Any) -> None:
    for path, hints in functions(module):
        for name, hint in hints.items():
            if letters := LETTERS.fullmatch(name):
                said = {shape.replace(" ", "") for shape in shapes(hint)}
                assert said == {letters[1]}, f"{path}({name})"


def test_named_tuples_which_nobody_checks_hold_no_arrays(module: Any) -> None:
    for record in classes(module):
        if issubclass(record, tuple):
            hints = get_type_hints(record).values()
            assert not any(says_shape(hint) or bare(hint) for hint in hints), f"make {record} a dataclass"


def test_functions_methods_and_records_are_among_what_is_checked() -> None:
    assert CHECKED["ablation.tcl.loss.half_squares"] == {"features_BD", "points_BD", "attention_BD", "return"}
    assert CHECKED["ablation.tcl.network.Network.forward"] == {"images_BCHW"}
    assert CHECKED["ablation.tcl.network.Output.__init__"] == {*get_type_hints(Output)}
    assert CHECKED["ablation.sorting.sequences.draw"] == {"return"}


def test_an_array_without_a_shape_is_found_at_any_depth() -> None:
    assert all(map(bare, (torch.Tensor, torch.Tensor | None, dict[str, np.ndarray[Any, Any]])))
    assert not any(map(bare, get_type_hints(Pooled).values()))


def test_the_program_itself_loads_neither_jaxtyping_nor_beartype() -> None:
    check = f"import sys, {', '.join(MODULES)}; print(sorted({{'jaxtyping', 'beartype'}} & set(sys.modules)))"
    asked = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "[]"
