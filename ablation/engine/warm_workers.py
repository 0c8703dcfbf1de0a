"""Workers stay warm while no trial is ready for them: Tune would end all but one.

Confirm trials become ready together, when their replicate's last search trial has ended. Until then slots stand empty;
Tune keeps one worker for all of them and would start the others again, which takes seconds and imports the model again.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from ray.tune.execution import tune_controller
from ray.tune.utils.object_cache import _ObjectCache


class WarmWorkers(_ObjectCache):
    """Tune's cache of workers, which keeps each that has become free until the search is over."""

    def cache_object(self, key: Any, obj: Any) -> bool:
        """Keep a worker; there are never more than slots, since each had one."""
        self._cached_objects[key].append(obj)
        self._num_cached_objects += 1
        return True

    def flush_cached_objects(self, force_all: bool = False) -> Generator[Any, None, None]:
        """Give up no worker before Tune gives up all: when no more trials will come."""
        if force_all:
            yield from super().flush_cached_objects(force_all=True)


@contextmanager
def kept_warm() -> Iterator[None]:
    """Let the sweeps that begin in here keep their workers. Ray has no option for it."""
    module: Any = tune_controller
    tunes_own = module._ObjectCache
    module._ObjectCache = WarmWorkers
    try:
        yield
    finally:
        module._ObjectCache = tunes_own
