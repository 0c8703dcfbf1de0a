"""The report, built in a process of its own, which knows nothing of what the sweep has loaded."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from ablation.console.messages import Messages
from ablation.paths import RunPaths
from ablation.store import AnyPath, as_typed
from ablation.tables import STATUSES
from ablation.user_code import OUR_ROOT


def write_report(paths: RunPaths, say: Messages) -> AnyPath | None:
    """Build a run's page and return where it is; None if it is not whole."""
    # -P and our folder first: what lies in the user's folder may be called analysis, too.
    command = [sys.executable, "-P", "-m", "analysis.report", as_typed(paths.root)]
    search_path = os.pathsep.join(filter(None, (str(OUR_ROOT), os.environ.get("PYTHONPATH"))))
    # Its output is taken in here: a process that cannot print would fail, and with it the report.
    built = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": search_path}
    )
    if built.returncode != 0:
        there = paths.page if built.stdout.strip() else None  # it prints the page's path once that is written
        say.report_failed(built.stderr, f"python -m analysis.report {shlex.quote(as_typed(paths.root))}", there)
    return paths.page if built.returncode == 0 else None


def is_reported(paths: RunPaths, summary: Mapping[str, Any]) -> bool:
    """Return whether the page counts what the summary does; one from before the study grew, or ended, does not."""
    try:
        reported = json.loads(paths.page.with_name("findings.json").read_bytes())["accounting"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return paths.page.is_file() and bool(reported == {key: summary[key] for key in ("planned", *STATUSES)})
