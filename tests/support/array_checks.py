"""Hold functions and dataclasses to what their annotations say of arrays: what jaxtyping's import hook checks with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray, install_import_hook

MODELS = ["ablation.tcl", "ablation.sorting"]
# Module and function → what is checked of it: parameters, and "return". The hook makes of a name that it cannot
# resolve an annotation that accepts everything, without a word: tests compare this with what is written.
CHECKED: dict[str, set[str]] = defaultdict(set)


def install() -> None:
    """Check every module of the models that is imported from now on; those of processes that tests start are not."""
    install_import_hook(MODELS, f"{__name__}.arrays_checked")


def arrays_checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check arrays only: other wrong arguments are the function's own business, and tests pass them."""
    hints = function.__annotations__
    shaped = {name: hint for name, hint in hints.items() if says_shape(hint)}
    CHECKED[f"{function.__module__}.{function.__qualname__}"] |= set(shaped)
    function.__annotations__ = {name: shaped.get(name, Any) for name in hints}
    return beartype(function)


def says_shape(hint: Any) -> bool:
    """Say whether there is a shape in an annotation."""
    return any(True for _ in shapes(hint))


def shapes(hint: Any) -> Iterator[str]:
    """Yield the shapes in an annotation, as "B D"."""
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        yield hint.dim_str
    for part in get_args(hint):
        yield from shapes(part)
