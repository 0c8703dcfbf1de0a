"""Annotations that say what is in an array and its shape: ``Float[Tensor, "B D"]`` is float of any width, B×D.

They are jaxtyping's for type checkers, and where jaxtyping was imported before, as in the tests (tests/conftest.py).
Elsewhere they are the plain array types and nothing is checked: the program does not depend on jaxtyping.

One letter is one size within a call. A name alone has a space before it (``" B"``), or ruff takes it for a type.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Int, Shaped, UInt8
else:

    class _Plain:
        def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
            return item[0]

    Bool = Float = Int = Shaped = UInt8 = _Plain

__all__ = ["Bool", "Float", "Int", "Shaped", "UInt8"]
