"""The state of the repository that some code lies in, as git says it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from search_spaces.space import Frozen

MOST_DIFF_LETTERS = 1_000_000


class Repository(Frozen):
    """A working tree: what is checked out, and how it differs.

    Attributes:
        commit: None in a repository without one.
        is_dirty: tracked files differ from the commit, or there are files that git neither tracks nor ignores.
        diff: of tracked files from the commit; a long one is cut, which its last line says.
    """

    commit: str | None
    is_dirty: bool
    diff: str


def repository_of(path: Path) -> Repository | None:
    """Describe the repository that holds a file or folder; None if there is none, or no git."""
    git = shutil.which("git")
    folder = path if path.is_dir() else path.parent
    if git is None or not folder.is_dir():
        return None

    def ask(*words: str) -> str | None:
        # Without optional locks: another git may be at work in the user's repository.
        command = [git, "--no-optional-locks", "-c", "core.quotePath=false", *words]
        asked = subprocess.run(command, cwd=folder, capture_output=True, check=False)
        return asked.stdout.decode(errors="backslashreplace") if asked.returncode == 0 else None

    if ask("rev-parse", "--is-inside-work-tree") is None or ask("check-ignore", "-q", str(path)) is not None:
        return None  # an ignored file, as in a virtual environment, is not that repository's
    commit = (ask("rev-parse", "--verify", "--quiet", "HEAD") or "").strip() or None
    diff = ask("diff", "--no-ext-diff", "--no-color", "HEAD") if commit else ""
    return Repository(
        commit=(commit or "").strip() or None, is_dirty=bool(ask("status", "--porcelain")), diff=_cut(diff or "")
    )


def _cut(diff: str) -> str:
    if len(diff) <= MOST_DIFF_LETTERS:
        return diff
    return f"{diff[:MOST_DIFF_LETTERS]}\n… cut: {len(diff) - MOST_DIFF_LETTERS} more letters\n"
