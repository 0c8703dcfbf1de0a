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

    def __init__(self) -> None:
        super().__init__(may_keep_one=True)
        self._is_distrusted = False

    def cache_object(self, key: Any, obj: Any) -> bool:
        """Keep a worker; there are never more than slots, since each had one."""
        self._cached_objects[key].append(obj)
        self._num_cached_objects += 1
        return True

    def flush_cached_objects(self, force_all: bool = False) -> Generator[Any, None, None]:
        """Give up no worker before Tune gives up all, when no more trials will come, or one was found dead."""
        if force_all or self._is_distrusted:
            self._is_distrusted = False
            yield from super().flush_cached_objects(force_all=True)

    def distrust(self) -> None:
        """Give up those that are kept: one of them had died, as all do that were on a lost machine."""
        self._is_distrusted = True


@contextmanager
def kept_warm() -> Iterator[WarmWorkers]:
    """Let the sweep that begins in here keep its workers. Ray has no option for it."""
    module: Any = tune_controller
    tunes_own, workers = module._ObjectCache, WarmWorkers()
    module._ObjectCache = lambda may_keep_one: workers
    try:
        yield workers
    finally:
        module._ObjectCache = tunes_own
