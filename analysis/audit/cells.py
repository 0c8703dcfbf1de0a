"""How cells of tables compare: nothing equals nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd


def equal(left: pd.Series, right: pd.Series) -> np.ndarray:
    """Compare two columns by position."""
    return np.asarray((left.to_numpy() == right.to_numpy()) | (left.isna().to_numpy() & right.isna().to_numpy()))


def same(left: Any, right: Any) -> bool:
    """Compare two cells."""
    absent = [value is None or (isinstance(value, float) and math.isnan(value)) for value in (left, right)]
    return all(absent) if any(absent) else bool(left == right)


def columns(table: pd.DataFrame, prefix: str) -> list[str]:
    """List the columns that begin with ``prefix``."""
    return [str(name) for name in table.columns if str(name).startswith(prefix)]
