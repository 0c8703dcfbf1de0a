"""Warnings of the library that decodes, each with the picture that it is about: Pillow's own name none."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_thread = threading.local()


@contextmanager
def about(picture: object) -> Iterator[None]:
    """Say which picture this thread is at work on."""
    _thread.picture = picture
    try:
        yield
    finally:
        del _thread.picture


@contextmanager
def kept_warnings() -> Iterator[list[str]]:
    """Yield a list that gets the warnings about pictures, of all threads, instead of stderr; others go on their way.

    Filters belong to the process: the block is for one thread, which waits in it for those that decode.
    """
    kept: list[str] = []
    with warnings.catch_warnings():
        warnings.filterwarnings("always", module=r"PIL\.|ablation\.tcl\.data\.")
        show = warnings.showwarning

        def keep(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if hasattr(_thread, "picture"):
                kept.append(f"{_thread.picture}: {' '.join(str(message).split())}")
            else:
                show(message, category, filename, lineno, file, line)

        warnings.showwarning = keep
        yield kept
