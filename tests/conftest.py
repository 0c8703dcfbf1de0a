"""What every test starts with: the models' arrays are held to the annotations of ``ablation.arrays``."""

from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path

import pytest
import torch

from ablation.machine import hardware, onednn_version
from tests.support import array_checks

# Before any test module is imported, so that `from ablation.tcl… import …` finds the checked functions.
array_checks.install()

# What a user's account keeps of runs that were started: not this one's, and none of another test run's.
state = tempfile.TemporaryDirectory(prefix="ablation-tests-")
atexit.register(state.cleanup)
os.environ["XDG_STATE_HOME"] = state.name


# What a file's tests take that `make test-fast` leaves out; the others together stay under a minute on two cores.
MARKS = {
    "ray": (
        "engine/test_driver_signals engine/test_paused_sweep engine/test_slots engine/test_sweep "
        "planning/test_user_code"
    ),
    "browser": "report/test_page",
    "s3": "ledger/test_s3 engine/test_store_run tcl/test_data_bucket",
    "slow": (
        "analysis/test_inference report/test_report analysis/test_sampling tcl/test_backbones planning/test_begin "
        "engine/test_chaos commands/test_cli planning/test_code_record planning/test_command_line "
        "tcl/test_data_dataset project/test_docs_own_model project/test_example_studies project/test_installed "
        "study/test_fairness engine/test_in_process console/test_log_format tcl/test_loss engine/test_machine "
        "project/test_mutants tcl/test_network engine/test_odd_studies commands/test_public report/test_due "
        "report/test_sections project/test_test_run tcl/test_train planning/test_trust console/test_unread_stderr"
    ),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their file."""
    marks = {name: mark for mark, names in MARKS.items() for name in names.split()}
    for item in items:
        path = Path(item.path)
        if (mark := marks.get(f"{path.parent.name}/{path.stem}")) is not None:
            item.add_marker(mark)


def pytest_report_header() -> str:
    """Say what floating point may depend on: a failure on another machine is read with this beside it."""
    reported = ", ".join(f"{name}: {value}" for name, value in hardware().items() if value)
    return f"torch {torch.__version__}, oneDNN {onednn_version()}, {reported}"
