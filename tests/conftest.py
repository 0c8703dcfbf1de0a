"""What every test starts with: the models' arrays are held to the annotations of ``ablation.arrays``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ablation.machine import hardware, onednn_version
from tests.support import array_checks

# Before any test module is imported, so that `from ablation.tcl… import …` finds the checked functions.
array_checks.install()


# What a file's tests take that `make test-fast` leaves out; the others together stay under a minute on two cores.
MARKS = {
    "ray": "test_driver_signals test_paused_sweep test_slots test_sweep test_user_code",
    "browser": "test_report_page",
    "s3": "test_s3",
    "slow": (
        "test_analysis_inference test_analysis_report test_analysis_sampling test_backbones test_begin "
        "test_chaos test_cli test_code_record test_command_line test_data_dataset test_docs_own_model "
        "test_fairness test_in_process test_log_format test_loss test_machine test_mutants test_network "
        "test_odd_studies test_public test_report_due test_report_sections test_test_run test_train "
        "test_trust test_unread_stderr"
    ),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their file."""
    marks = {name: mark for mark, names in MARKS.items() for name in names.split()}
    for item in items:
        if (mark := marks.get(Path(item.path).stem)) is not None:
            item.add_marker(mark)


def pytest_report_header() -> str:
    """Say what floating point may depend on: a failure on another machine is read with this beside it."""
    reported = ", ".join(f"{name}: {value}" for name, value in hardware().items() if value)
    return f"torch {torch.__version__}, oneDNN {onednn_version()}, {reported}"
