"""A safetensors file's bytes as tensors and metadata, read with distrust: checked before anything is taken in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

Framework = Literal["torch", "numpy"]

MOST_HEADER_BYTES = 2**24
MOST_TENSORS = 2**16
LENGTH_BYTES = 8
METADATA = "__metadata__"


def unpack(content: bytes, framework: Framework) -> tuple[dict[str, str], dict[str, Any]]:
    """Return metadata and tensors; raises ValueError that says what is wrong.

    The header's size and the number of tensors are held to a limit before anything is parsed or taken in; the library
    then checks names, types and shapes against the bytes that there are before it makes a tensor. What is held at a
    time is the content and one copy of it.
    """
    from safetensors import SafetensorError

    metadata = _metadata(content)
    try:
        if framework == "torch":
            from safetensors.torch import load as as_tensors

            return metadata, dict(as_tensors(content))
        from safetensors.numpy import load as as_arrays

        return metadata, dict(as_arrays(content))
    # The library's own for what it refuses; the others for types that numpy or this torch does not have.
    except (SafetensorError, KeyError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
        raise ValueError(f"its tensors cannot be read: {type(error).__name__}: {error}") from error


def _metadata(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:LENGTH_BYTES], "little")
    if len(content) < LENGTH_BYTES or length > len(content) - LENGTH_BYTES:
        raise ValueError(f"its header would have {length} bytes, of {len(content)} in all")
    if length > MOST_HEADER_BYTES:
        raise ValueError(f"its header has {length} bytes, but may have {MOST_HEADER_BYTES} at most")
    try:
        header = json.loads(content[LENGTH_BYTES : LENGTH_BYTES + length])
    except RecursionError as error:
        raise ValueError("its header is nested too deeply") from error
    if not isinstance(header, Mapping) or not all(isinstance(described, Mapping) for described in header.values()):
        raise ValueError("its header is no mapping of tensors")
    if len(header) > MOST_TENSORS:
        raise ValueError(f"it names {len(header)} tensors, but may hold {MOST_TENSORS} at most")
    metadata = header.get(METADATA, {})
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are not all text")
    return dict(metadata)
