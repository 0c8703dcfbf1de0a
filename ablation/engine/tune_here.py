"""Tune's loop in this process, where the ledger is written, also if the driver is outside the cluster (``ray://``).

Tune's own Tuner would move the loop, and all hooks with it, to the head.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray
from ray.train._internal import storage
from ray.tune.impl.tuner_internal import TunerInternal


def tuner_here(scratch: Path, trainable: Any, **configs: Any) -> TunerInternal:
    """Return a tuner whose loop is this process's; ``configs`` are those of ``tune.Tuner``."""
    if ray.util.client.ray.is_connected():
        # Of a session on this machine, of which there is none then.
        module: Any = storage
        module._get_ray_train_session_dir = lambda: str(scratch)
    return TunerInternal(trainable=trainable, _tuner_kwargs={"_remote": False}, **configs)
