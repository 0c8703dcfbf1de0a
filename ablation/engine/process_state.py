"""What a trial may change in its process and another trial would find changed: kept, and put back."""

from __future__ import annotations

import logging
import os
import random
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

Restore = Callable[[], object]


class ProcessState:
    """The process as it was when this was made; only of libraries that are imported by then, or by ``restore``."""

    def __init__(self) -> None:
        self._restores: list[Restore] = [*_python(), *_numpy(), *_torch()]

    def restore(self) -> None:
        """Put back environment, folder, import path, filters, log handlers, global generators and torch's switches.

        Modules and their globals stay: what a trial writes there, the next one finds.
        """
        for restore in self._restores:
            try:
                restore()
            # Such as torch where a trial mixed its two ways to choose a precision: the rest can be put back.
            except (RuntimeError, OSError) as error:
                print(f"a trial's change to its process could not be undone: {error}")


def _python() -> list[Restore]:
    environment, folder, path = dict(os.environ), Path.cwd(), list(sys.path)
    filters, state = list(warnings.filters), random.getstate()
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)

    def restore_environment() -> None:
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)

    def restore_logging() -> None:
        root.setLevel(level)
        root.handlers[:] = handlers

    def restore_filters() -> None:
        warnings.filters[:] = filters  # type: ignore[index]  # typeshed promises a sequence; it is a list

    return [
        restore_environment,
        restore_logging,
        restore_filters,
        lambda: os.chdir(folder),
        lambda: sys.path.__setitem__(slice(None), path),
        lambda: random.setstate(state),
    ]


def _numpy() -> list[Restore]:
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return []
    # The legacy generator is what a trial of the user's own may draw from.
    state, errors = numpy.random.get_state(), numpy.geterr()
    return [lambda: numpy.random.set_state(state), lambda: numpy.seterr(**errors)]


def _torch() -> list[Restore]:
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return []
    dtype, threads, state = torch.get_default_dtype(), torch.get_num_threads(), torch.get_rng_state()
    precision, is_strict = torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()
    warns, has_gradients = torch.is_deterministic_algorithms_warn_only_enabled(), torch.is_grad_enabled()
    anomalies = torch.is_anomaly_enabled()
    switches = ("benchmark", "deterministic", "enabled", "allow_tf32")
    cudnn = {name: getattr(torch.backends.cudnn, name) for name in switches}

    def restore_switches() -> None:
        for name, value in cudnn.items():
            if getattr(torch.backends.cudnn, name) != value:
                setattr(torch.backends.cudnn, name, value)

    return [
        restore_switches,
        lambda: torch.set_default_dtype(dtype),
        lambda: torch.set_num_threads(threads),
        lambda: torch.set_rng_state(state),
        lambda: torch.set_float32_matmul_precision(precision),
        lambda: torch.use_deterministic_algorithms(is_strict, warn_only=warns),
        lambda: torch.set_grad_enabled(has_gradients),
        lambda: torch.autograd.set_detect_anomaly(anomalies),
    ]
