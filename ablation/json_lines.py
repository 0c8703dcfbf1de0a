"""One JSON object a line on stderr: a sweep for programs to follow (``--log-format json``)."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import Any


def print_json_line(kind: str, fields: Mapping[str, Any]) -> None:
    """Print ``fields`` under ``kind`` as one line of strict JSON; a number that is not finite becomes null."""
    print(json.dumps({"kind": kind, **_finite(fields)}, allow_nan=False), file=sys.stderr, flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
