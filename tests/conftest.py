"""What every test starts with: the models' arrays are held to the annotations of ``ablation.arrays``."""

from __future__ import annotations

import torch

from ablation.machine import hardware, onednn_version
from tests.support import array_checks

# Before any test module is imported, so that `from ablation.tcl… import …` finds the checked functions.
array_checks.install()


def pytest_report_header() -> str:
    """Say what floating point may depend on: a failure on another machine is read with this beside it."""
    reported = ", ".join(f"{name}: {value}" for name, value in hardware().items() if value)
    return f"torch {torch.__version__}, oneDNN {onednn_version()}, {reported}"
