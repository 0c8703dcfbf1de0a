"""``python -m tests.chaos.turned_clock …``: ``ablation.run`` on a machine whose clock is set back in mid-sweep."""

from __future__ import annotations

import os
import runpy
import sys
import time

BACK_S = 3600.0
AFTER_S = "ABLATION_CHAOS_CLOCK_AFTER_S"


def main() -> None:
    """Turn this process's wall clock back, some seconds from now on, and run the command line in it."""
    true_time, after_s = time.time, float(os.environ[AFTER_S])
    began = time.monotonic()
    # Before anything else is imported, so that whoever binds the function binds this one.
    time.time = lambda: true_time() - (BACK_S if time.monotonic() - began > after_s else 0.0)
    sys.argv[0] = "ablation.run"
    runpy.run_module("ablation.run", run_name="__main__")


if __name__ == "__main__":
    main()
