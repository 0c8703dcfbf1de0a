"""Which runs this user has started here: what their study.json names is code that the user has run already.

That is kept outside of runs, which may come from anybody: an empty file for each study.json, named by its digest, in a
folder of the user's that nobody else may write into.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from stat import S_IWGRP, S_IWOTH


def note(study: bytes) -> None:
    """Remember a study.json; if nothing can be kept here, the run is taken for a stranger's, and trust is asked for."""
    with suppress(OSError, RuntimeError):  # RuntimeError: there is no home
        mark = _mark(study)
        mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark.touch(mode=0o600)


def is_known(study: bytes) -> bool:
    """Return whether this user has started the run of a study.json here."""
    try:
        mark = _mark(study)
        return all(_is_users_alone(path) for path in (mark.parent, mark))
    except (OSError, RuntimeError):
        return False


def _mark(study: bytes) -> Path:
    shared = os.environ.get("XDG_STATE_HOME")
    state = Path(shared).expanduser().absolute() if shared else Path.home() / ".local/state"
    return state / "ablation" / "started" / hashlib.sha256(study).hexdigest()


def _is_users_alone(path: Path) -> bool:
    about = path.lstat()
    return about.st_uid == os.getuid() and not about.st_mode & (S_IWGRP | S_IWOTH)
