"""Hold the model's code to its names: where a name says a shape (``features_BD``), the value has it, in every test.

Parameters, results, local names, and the fields of named tuples and dataclasses are checked: names become jaxtyping
annotations, so one letter means one size within a call, and digits mean themselves. ``tests.shape_loader`` puts the
checks below into the modules as they are imported. The code itself keeps plain annotations and depends on neither
jaxtyping nor beartype; processes that tests start are not checked.

What is not checked: loops and generators, whose letters change their size from turn to turn; functions in functions.
"""

from __future__ import annotations

import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

SHAPED_NAME = re.compile(r"\b[a-z][a-z0-9_]*_([A-Z0-9]*[A-Z][A-Z0-9]*)\b")
SAYS_RESULT = re.compile(r"\b(?:[Rr]eturns?|result is)\b([^.;]*)")

# Shapes of arrays returned by functions whose docstring does not name them ("Return gaps_BKD", "the result is …").
RESULTS: dict[str, tuple[str, ...]] = {
    "attention.effective_dimensions": ("",),
    "attention.unit_mean": ("BD",),
    "data.batches.Batches._order": ("N",),
    "data.batches._erase": ("BCHW",),
    "data.batches._gather": ("BHWC",),
    "data.batches._turn": ("BCHW",),
    "data.batches.augment": ("BCHW",),
    "data.batches.normalise": ("BCHW",),
    "data.faces._ellipse": ("BSS",),
    "data.faces._inside": ("BSS",),
    "data.faces._photograph": ("BSSC",),
    "data.faces._stroke": ("BSS",),
    "data.faces.draw_faces": ("BSSC",),
    "data.synthetic._act": ("NA",),
    "evaluate.confusion": ("KK",),
    "loss.TripletCenterLoss._negatives": ("BD",),
    "loss.TripletCenterLoss._prepare": ("BD", "KD", "BD"),
    "loss.class_mean_weights": ("B",),
    "loss.half_squares": ("BD",),
    "negatives._largest": ("BD",),
    "train._class_weights": ("K",),
}


def letters(name: str) -> str | None:
    """Return the shape that a name says, one character a dimension; None if it says none."""
    found = SHAPED_NAME.fullmatch(name)
    return found[1] if found else None


def check(name: str, value: object) -> None:
    """Hold a value to its name, with the sizes that the running call's letters have so far; None passes.

    Raises: jaxtyping.TypeCheckError.
    """
    if value is not None and not isinstance(value, annotation(letters(name) or "", Any)):
        import jaxtyping

        shape = tuple(getattr(value, "shape", ())) if hasattr(value, "shape") else type(value).__name__
        raise jaxtyping.TypeCheckError(f"{name} has shape {shape}, but its letters say otherwise in this call")


@functools.cache
def annotation(shape: str, array: Any) -> Any:
    """Return the jaxtyping annotation of a shape such as "BD" or "B3HW"."""
    # Imported late: with torch already there, and not at all by tests that need no model.
    import jaxtyping

    return jaxtyping.Shaped[array, " ".join(shape)]


def function_checked(*, path: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a function: parameters and result by jaxtyping and beartype, and one meaning of letters for its body."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        annotations = _parameters(function, path) | _result(function, path)
        import beartype
        import jaxtyping

        # Only what says a shape: other wrong arguments are the function's own business, and tests pass them.
        function.__annotations__ = annotations
        wrapped: Callable[..., Any] = jaxtyping.jaxtyped(function, typechecker=beartype.beartype)
        wrapped.__annotations__ = annotations
        wrapped.__shapes__ = annotations  # type: ignore[attr-defined]
        return wrapped

    return decorate


def fields_checked(*, path: str) -> Callable[[type], type]:
    """Decorate a named tuple or dataclass: its fields agree with their names and each other when it is made."""

    def decorate(record: type) -> type:
        import jaxtyping

        names = [name for name in record.__annotations__ if letters(name)]
        maker = "__new__" if issubclass(record, tuple) else "__init__"
        make = getattr(record, maker)

        @functools.wraps(make)
        def made(*args: Any, **kwargs: Any) -> Any:
            result = make(*args, **kwargs)
            for name in names:
                check(name, getattr(result if maker == "__new__" else args[0], name))
            return result

        setattr(record, maker, jaxtyping.jaxtyped(made, typechecker=None))
        record.__shapes__ = names  # type: ignore[attr-defined]
        return record

    return decorate


def _parameters(function: Callable[..., Any], path: str) -> dict[str, Any]:
    return {
        name: _annotated(iter([shape]), _meaning(function, name), f"{path}({name})")
        for name in inspect.signature(function).parameters
        if (shape := letters(name))
    }


def _result(function: Callable[..., Any], path: str) -> dict[str, Any]:
    shapes = result_shapes(path, function.__doc__)
    if not shapes:
        return {}
    left = iter(shapes)
    result = _annotated(left, _meaning(function, "return"), path)
    if rest := list(left):
        raise TypeError(f"{path} says that it returns {shapes}, but its annotation has no array for {rest}")
    return {"return": result}


def result_shapes(path: str, docstring: str | None) -> tuple[str, ...]:
    """Return the shapes of the arrays that a function returns: by ``RESULTS``, else as its docstring names them."""
    said = [found for text in SAYS_RESULT.findall(docstring or "") for found in SHAPED_NAME.findall(text)]
    return RESULTS.get(path, tuple(said))


def _meaning(function: Callable[..., Any], name: str) -> Any:
    if name not in function.__annotations__:
        raise TypeError(f"{function.__qualname__} has no annotation for {name!r}")
    text = function.__annotations__[name]
    return eval(text, function.__globals__) if isinstance(text, str) else text


def _annotated(shapes: Iterator[str], meaning: Any, where: str) -> Any:
    """Put shapes, one after the other, on the arrays of an annotation; what is no array becomes Any."""
    import numpy as np
    import torch

    origin, inner = typing.get_origin(meaning), typing.get_args(meaning)
    if origin in (typing.Union, types.UnionType):
        shape = next(shapes, None)
        parts = [part if part is type(None) else _annotated(iter([shape]), part, where) for part in inner]  # type: ignore[list-item]
        return functools.reduce(lambda left, right: typing.Union[left, right], parts)  # noqa: UP007
    if origin is tuple:
        return tuple[tuple(_annotated(shapes, part, where) if _is_array(part) else Any for part in inner)]  # type: ignore[misc]
    shape = next(shapes, None)
    if shape is None or not _is_array(meaning):
        raise TypeError(f"{where}: a name says a shape where the annotation is {meaning}, which is no array")
    return annotation(shape, torch.Tensor if origin is None and issubclass(meaning, torch.Tensor) else np.ndarray)


def _is_array(meaning: Any) -> bool:
    import numpy as np
    import torch

    origin = typing.get_origin(meaning)
    if origin in (typing.Union, types.UnionType):
        return any(_is_array(part) for part in typing.get_args(meaning))
    return origin is np.ndarray or (isinstance(meaning, type) and issubclass(meaning, (torch.Tensor, np.ndarray)))
