"""The command that started this process, as it can be typed again."""

from __future__ import annotations

import sys
from pathlib import Path


def typed_command(python: str = "python") -> list[str]:
    """Return the words of the command: of ``ablation``, of ``PYTHON -m`` with one of its modules, or as they came."""
    program, *arguments = sys.argv
    if program.startswith("ablation "):
        return [*program.split(), *arguments]
    path = Path(program)
    if path.suffix == ".py" and path.parent == Path(__file__).parent:
        return [python, "-m", f"ablation.{path.stem}", *arguments]
    return [program, *arguments]
