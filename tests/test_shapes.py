"""The checks of shapes themselves: they refuse what the names exclude, and no part of the model goes without them."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator
from importlib.util import cache_from_source
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

import ablation.tcl
from ablation.tcl.attention import ATTENTION, ElementAttention, PixelAttention, Pooled
from ablation.tcl.backbones import initialise
from ablation.tcl.config import Model
from ablation.tcl.evaluate import Outputs
from ablation.tcl.loss import TripletCenterLoss, half_squares
from ablation.tcl.negatives import NEGATIVES
from ablation.tcl.network import build_network
from tests import shape_loader, shapes
from tests.metric_term_cases import Batch, draw_batch

ROOT = Path(__file__).parent.parent
MODULES = sorted(module.name for module in pkgutil.walk_packages(ablation.tcl.__path__, "ablation.tcl."))
every_strategy = pytest.mark.parametrize("name", list(NEGATIVES))

# Functions that return arrays whose shape has no letters: of any shape, or of sizes that follow from no name.
NO_LETTERS = {
    "backbones.ResidualBlock.forward": "⌈H/stride⌉×⌈W/stride⌉",
    "data.batches._to_device": "any",
    "data.batches.split_validation": "two parts of N",
    "data.fer2013_pixels._parse": "48×48 of a file's rows",
    "data.photographs._decode_one": "size_px comes as a number",
    "data.photographs._decoded_or_fault": "size_px comes as a number",
    "data.photographs.decode": "size_px comes as a number",
    "data.photographs.fit": "size_px comes as a number",
    "data.synthetic._wavering": "count comes as a number",
    "negatives.widened": "any",
    "predictor.ExpressionPredictor._decoded": "a list, one for each path",
}

MADE = '''
"""A module as the model's are, for the checks to go over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy.typing as npt
import torch
from torch import Tensor


class Pair(NamedTuple):
    features_BD: Tensor
    labels_B: Tensor | None
    count: int


@dataclass(frozen=True)
class Split:
    images_N3: npt.NDArray[np.uint8]
    labels_N: npt.NDArray[np.int64]


def scale(features_BD: Tensor, weights_D: Tensor | None = None, *, name: int = 0) -> Tensor:
    """Return scaled_BD, or in its stead the wrong thing."""
    return features_BD if weights_D is None else (features_BD * weights_D).sum(name or 3 - features_BD.ndim + 1)


def local(features_BD: Tensor, wrong: bool) -> int:
    if wrong:
        means_B = features_BD.mean(0)
    else:
        means_B, sums_D = features_BD.mean(1), features_BD.sum(0)
    return len(means_B)


def turns(features_BD: Tensor) -> int:
    for rows_R in (features_BD[0], features_BD[:, 0]):
        rows_R = rows_R + 1
    return 0


def parts(features_BD: Tensor) -> Iterator[Tensor]:
    for start in (0, 1):
        part_P = features_BD[start:, 0]
        yield part_P
'''


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """Make a module with the checks in it."""
    module = ModuleType("ablation.tcl.made")
    module.__dict__["np"] = np
    sys.modules[module.__name__] = module
    exec(compile(shape_loader.checked(MADE, module.__name__), "made.py", "exec", dont_inherit=True), module.__dict__)
    del sys.modules[module.__name__]
    return module


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("features_BD", "BD"),
        ("images_B3HW", "B3HW"),
        ("draw_5B", "5B"),
        ("d_pos_B", "B"),
        ("features", None),
        ("features_2", None),
        ("features_bd", None),
        ("TRAIN_PER_CLASS", None),
        ("F32", None),
    ],
)
def test_a_shape_is_the_capitals_and_digits_that_end_a_name(name: str, shape: str | None) -> None:
    assert shapes.letters(name) == shape


def test_what_agrees_passes(made: ModuleType) -> None:
    assert made.scale(torch.ones(2, 3)).shape == (2, 3)
    assert made.local(torch.ones(2, 3), wrong=False) == 2
    assert made.Pair(torch.ones(2, 3), None, 1).count == 1
    assert made.Pair(torch.ones(2, 3), torch.ones(2), 1)._replace(count=2).count == 2
    assert made.Split(np.zeros((4, 3), np.uint8), np.zeros(4, np.int64)).labels_N.shape == (4,)


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda made: made.scale(torch.ones(2)), "a dimension too few"),
        (lambda made: made.scale(torch.ones(2, 3), torch.ones(2)), "one letter, two sizes"),
        (lambda made: made.scale(torch.ones(3), torch.ones(2, 3)), "swapped"),
        (lambda made: made.scale(np.ones((2, 3))), "an array for a tensor"),
        (lambda made: made.scale(None), "none where there must be one"),
        (lambda made: made.scale(torch.ones(2, 3), torch.ones(3), name=1), "the result"),
        (lambda made: made.local(torch.ones(2, 3), wrong=True), "a local name"),
        (lambda made: made.Pair(torch.ones(2, 3), torch.ones(3), 1), "fields of a named tuple"),
        (lambda made: made.Split(np.zeros((4, 3)), np.zeros(3)), "fields of a dataclass"),
        (lambda made: made.Split(np.zeros((4, 2)), np.zeros(4)), "a fixed size"),
    ],
)
def test_what_disagrees_is_refused(made: ModuleType, call: Callable[[ModuleType], object], what: str) -> None:
    with pytest.raises(TypeCheckError):
        call(made)


def test_letters_are_free_in_every_turn_of_a_loop_and_of_a_generator(made: ModuleType) -> None:
    assert made.turns(torch.ones(2, 3)) == 0
    assert [len(part) for part in made.parts(torch.ones(2, 3))] == [2, 1]


@pytest.mark.parametrize(
    "source", ["def f(rows_B: int) -> None: ...", 'def f() -> int:\n    """Return rows_B."""', "def f(rows_B): ..."]
)
def test_a_shape_on_what_is_no_array_is_refused_when_the_module_is_imported(source: str) -> None:
    with pytest.raises(TypeError, match=r"rows_B|no array"):
        exec(compile(shape_loader.checked(source, "ablation.tcl.made"), "made.py", "exec"), {"__name__": "made"})


def test_installing_after_the_model_was_imported_is_refused() -> None:
    with pytest.raises(RuntimeError, match="call it first"):
        shape_loader.install()


def bad_batches() -> list[Batch]:
    """Spoil a batch of B = 9, K = 5, D = 6, a way at a time, so that the code itself might not notice."""
    good = draw_batch(0)
    return [
        good._replace(features_BD=good.features_BD[:, :1]),  # would broadcast
        good._replace(labels_B=good.labels_B[:, None]),
        good._replace(logits_BK=good.logits_BK[:, :4]),
        good._replace(attention_BD=good.attention_BD[:1]),  # would broadcast
        good._replace(logits_BK=good.attention_BD, attention_BD=good.logits_BK),
        good._replace(centers_KD=good.centers_KD.T),
    ]


@every_strategy
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
    with pytest.raises(TypeCheckError):
        Pooled(torch.zeros(2, 8), torch.zeros(2, 7), None)
    with pytest.raises(TypeCheckError):
        Outputs(logits_NK=torch.zeros(2, 3), features_ND=torch.zeros(1, 8), pixel_map_NHW=None)


class Found(NamedTuple):
    path: str
    value: Any


def functions() -> Iterator[Found]:
    """Yield every function and method that the model's modules define."""
    for name in MODULES:
        module = importlib.import_module(name)
        owners: list[Any] = [module, *filter(inspect.isclass, vars(module).values())]
        for owner in owners:
            if owner.__dict__.get("__module__", name) != name or getattr(owner, "_is_protocol", False):
                continue
            prefix = name if owner is module else f"{name}.{owner.__qualname__}"
            for key, value in vars(owner).items():
                plain = getattr(value, "__func__", getattr(value, "fget", value))
                if not inspect.isfunction(plain) or plain.__module__ != name:
                    continue
                # What @dataclass and NamedTuple write is no function of the module's; its fields are checked.
                if inspect.unwrap(plain).__code__.co_filename == module.__file__:
                    yield Found(f"{prefix}.{key}".removeprefix("ablation.tcl."), plain)


def records() -> Iterator[Found]:
    """Yield every named tuple and dataclass with a field whose name says a shape."""
    for name in MODULES:
        for value in filter(inspect.isclass, vars(importlib.import_module(name)).values()):
            fields: Any = getattr(value, "_fields", None) or getattr(value, "__dataclass_fields__", ())
            if value.__module__ == name and any(shapes.letters(field) for field in fields):
                yield Found(f"{name}.{value.__name__}", value)


def written() -> dict[str, ast.FunctionDef]:
    """Parse every function and method of the model, by its path; what a file says, whatever was made of it."""
    found: dict[str, ast.FunctionDef] = {}

    def collect(scope: ast.Module | ast.ClassDef, prefix: str) -> None:
        for node in scope.body:
            if isinstance(node, ast.FunctionDef):
                found[f"{prefix}.{node.name}"] = node
            elif isinstance(node, ast.ClassDef):
                collect(node, f"{prefix}.{node.name}")

    for name in MODULES:
        source = Path(importlib.import_module(name).__file__ or "").read_text()
        collect(ast.parse(source), name.removeprefix("ablation.tcl."))
    return found


def returns_array(node: ast.FunctionDef) -> bool:
    annotation = ast.unparse(node.returns) if node.returns else ""
    holds_array = any(word in annotation for word in ("Tensor", "NDArray", "F32"))
    # Of dicts and iterators the names say nothing.
    return holds_array and not annotation.startswith(("dict", "Iterator", "Mapping"))


def test_every_parameter_that_says_a_shape_is_checked() -> None:
    made = {found.path: found.value for found in functions()}
    shaped = {path: names for path, node in written().items() if (names := shape_loader.parameter_names(node))}
    assert {"loss.half_squares", "network.Network.forward", "data.batches.Batches.__init__"} <= set(shaped)
    for path, names in shaped.items():
        if path != "negatives.Strategy.__call__":  # a protocol is never called itself
            assert {*names} <= {*made[path].__shapes__}, path


def test_every_array_returned_is_checked_or_has_no_letters() -> None:
    nodes = written()
    returning = {found.path: found.value for found in functions() if returns_array(nodes[found.path])}
    unsaid = {path for path, function in returning.items() if "return" not in getattr(function, "__shapes__", ())}
    assert unsaid == set(NO_LETTERS), "give these a line in shapes.RESULTS, or in NO_LETTERS"


def test_every_field_that_says_a_shape_is_checked() -> None:
    found = {record.path: record.value for record in records()}
    assert {"ablation.tcl.network.Output", "ablation.tcl.evaluate.Outputs", "ablation.tcl.loss.TwoSided"} <= set(found)
    assert [path for path, record in found.items() if not getattr(record, "__shapes__", ())] == []


def test_registries_hold_the_checked_functions() -> None:
    assert all(hasattr(strategy, "__shapes__") for strategy in NEGATIVES.values())


def test_results_name_what_there_is() -> None:
    assert set(shapes.RESULTS) <= set(written())


def test_the_model_itself_neither_needs_the_checks_nor_keeps_them_in_bytecode() -> None:
    for name in MODULES:
        path = Path(importlib.import_module(name).__file__ or "")
        assert "jaxtyping" not in path.read_text()
        cached = Path(cache_from_source(str(path)))
        assert not cached.exists() or b"shapes__" not in cached.read_bytes()
