"""What to type to go on with a run: its folder, and nothing that the run knows itself."""

from __future__ import annotations

import shlex
import sys

from ablation import study_file
from ablation.ledger.events import SessionOpened
from ablation.ledger.log import read_events
from ablation.paths import RunPaths
from ablation.planning.planned_run import PlannedRun
from ablation.store import as_typed
from ablation.study_file import StudyFile
from ablation.trust import needs_trust
from ablation.typed_command import typed_command


def go_on_command(file: StudyFile, paths: RunPaths, *options: str) -> str:
    """Return the command that goes on with a run, with ``options`` beside the one that its code needs."""
    is_installed = sys.argv[0].startswith("ablation ")
    program = ["ablation", "resume"] if is_installed else [sys.executable, "-m", "ablation.resume"]
    trust = ["--trust"] * needs_trust(file, paths)
    return shlex.join([*program, as_typed(paths.root), *options, *trust])


def go_on_with(study: PlannedRun, *options: str) -> str:
    """Return the command that goes on with a run whose data may have moved."""
    file, uri = study_file.read(study.paths), (study.checked.data or {}).get("uri")
    moved = [] if uri in (None, file.data_uri) else ["--data", str(uri)]
    return go_on_command(file, study.paths, *moved, *options)


def go_on_after_interrupt(study: PlannedRun) -> str:
    """Return the command that goes on with what was interrupted: with the run, or with all that was asked of it.

    What to grow by, to retry and to take is in the ledger once the session is; before, in the typed command alone.
    """
    opened = sum(isinstance(event.what, SessionOpened) for event in read_events(study.paths.ledger))
    is_recorded = not study.resume or opened > study.sessions_before
    return go_on_with(study) if is_recorded else shlex.join(typed_command(sys.executable))
