"""What a trial may change in its process and another trial would find changed: kept, and put back."""

from __future__ import annotations

import logging
import os
import random
import sys
import warnings
from pathlib import Path
from typing import Any

from ablation.engine.library_state import Restore, numpy_restores, torch_restores, when_imported
from ablation.seeds import derive_seed

SEEDS = 2**32  # as many as numpy's legacy generator takes


class ProcessState:
    """The process as it was when this was made; numpy and torch as they were then, or when they were imported."""

    def __init__(self) -> None:
        self._restores: list[Restore] = [*_python(), _logging()]
        self._seed: int | None = None
        when_imported("numpy", self._keep_numpy)
        when_imported("torch", self._keep_torch)

    def seed(self, seed: int) -> None:
        """Let the global generators begin as a trial's seed says, whatever ran in this process before.

        A stream of their own: one that the trial makes from the same seed draws other numbers.
        """
        self._seed = derive_seed(seed, "global generators")
        random.seed(self._seed)
        for name, seed_library in (("numpy", self._seed_numpy), ("torch", self._seed_torch)):
            module = sys.modules.get(name)
            if module is not None:
                seed_library(module)

    def restore(self) -> None:
        """Put back environment, folder, import path, filters, loggers, global generators, numpy's and torch's switches.

        Modules and their globals stay: what a trial writes there, the next one finds.
        """
        self._seed = None
        for restore in self._restores:
            try:
                restore()
            # Such as torch if a trial mixed its two ways to choose a precision: the rest can be put back.
            except (RuntimeError, OSError) as error:
                print(f"a trial's change to its process could not be undone: {error}")

    def _keep_numpy(self, numpy: Any) -> None:
        self._restores += numpy_restores(numpy)
        self._seed_numpy(numpy)

    def _keep_torch(self, torch: Any) -> None:
        self._restores += torch_restores(torch)
        self._seed_torch(torch)

    def _seed_numpy(self, numpy: Any) -> None:
        if self._seed is not None:
            numpy.random.seed(self._seed % SEEDS)

    def _seed_torch(self, torch: Any) -> None:
        if self._seed is not None:
            torch.manual_seed(self._seed)


def _python() -> list[Restore]:
    environment, folder, path = dict(os.environ), Path.cwd(), list(sys.path)
    filters, state = list(warnings.filters), random.getstate()

    def restore_environment() -> None:
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)

    def restore_filters() -> None:
        warnings.filters[:] = filters  # type: ignore[index]  # typeshed promises a sequence; it is a list

    return [
        restore_environment,
        restore_filters,
        lambda: os.chdir(folder),
        lambda: sys.path.__setitem__(slice(None), path),
        lambda: random.setstate(state),
    ]


def _logging() -> Restore:
    """Keep all loggers. One that comes later is unset, unless it belongs to a module that comes later, too."""
    manager = logging.root.manager
    known = {name: _facts(logger) for name, logger in _loggers()}
    modules, disabled = set(sys.modules), manager.disable

    def restore() -> None:
        logging.disable(disabled)
        for name, logger in _loggers():
            package = name.partition(".")[0]
            if name not in known and package in sys.modules and package not in modules:
                continue  # its module has set it up, once
            level, handlers, filters, logger.propagate, logger.disabled = known.get(name, (0, [], [], True, False))
            if logger.level != level:  # setting it, changed or not, empties the caches of all loggers
                logger.setLevel(level)
            logger.handlers[:], logger.filters[:] = handlers, filters

    return restore


def _loggers() -> list[tuple[str, logging.Logger]]:
    named = list(logging.root.manager.loggerDict.items())
    return [("", logging.root), *((name, logger) for name, logger in named if isinstance(logger, logging.Logger))]


def _facts(logger: logging.Logger) -> tuple[int, list[logging.Handler], list[Any], bool, bool]:
    return logger.level, list(logger.handlers), list(logger.filters), logger.propagate, logger.disabled
