"""Run a module as ``python -m`` would, and write down how many workers it asked Ray Tune's actor manager for.

A worker that Tune ends before it has trained leaves no other trace. ``python -m benchmarks.counted_workers FILE MODULE
[ARGUMENT …]`` writes the number to FILE at the end.
"""

from __future__ import annotations

import atexit
import runpy
import sys
from pathlib import Path
from typing import Any

from ray.air.execution._internal import RayActorManager


def main(file: Path, module: str, arguments: list[str]) -> None:
    """Count while the module runs."""
    asked = 0
    add_actor = RayActorManager.add_actor

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal asked
        asked += 1
        return add_actor(*args, **kwargs)

    RayActorManager.add_actor = counted  # type: ignore[method-assign]
    atexit.register(lambda: file.write_text(str(asked)))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
