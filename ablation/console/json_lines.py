"""One JSON object a line: a sweep for programs to follow (``--log-format json``)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ablation.console.stderr import Stderr


def print_json_line(stream: Stderr, kind: str, fields: Mapping[str, Any]) -> None:
    """Print ``fields`` under ``kind`` as one line of strict JSON; a number that is not finite becomes null."""
    stream.write(json.dumps({"kind": kind, **_finite(fields)}, allow_nan=False) + "\n")
    stream.flush()


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
