"""What is on its way into a store: put in the background, one object at a time, the newest of each in place of older.

A trial does not wait for its checkpoints to travel. A store that is away is waited for; one that stays away is said
with the next epoch.
"""

from __future__ import annotations

import threading

from ablation.store import StorePath, put_whole

TRIES = 5  # each waits for as long as the file system does, about 20 s
PAUSE_S = 1.0


class StoreError(OSError):
    """A run's store cannot be read or written: no trial's fault."""


class Uploads:
    """Puts and removals that are yet to be done, and the thread that does them."""

    def __init__(self) -> None:
        self._left: dict[StorePath, bytes | None] = {}  # None: to be removed
        self._changed = threading.Condition()
        self._failure: OSError | None = None
        self._thread: threading.Thread | None = None

    def put(self, path: StorePath, content: bytes) -> None:
        """Put an object, in place of an earlier content that has not been put yet."""
        self._add(path, content)

    def remove(self, path: StorePath) -> None:
        """Remove an object, after what is to be put."""
        self._add(path, None)

    def forget(self, folder: StorePath) -> None:
        """Leave out what was to be done in a folder and has not started."""
        with self._changed:
            for path in [path for path in self._left if folder.path in path.path.parents]:
                del self._left[path]

    def wait(self) -> None:
        """Wait until all is done; raises StoreError if the store stays away."""
        with self._changed:
            self._changed.wait_for(lambda: not self._left or self._failure is not None)
            self._raise_failure()

    def check(self) -> None:
        """Raise StoreError if the store stays away; what is left is tried again from now on."""
        with self._changed:
            self._raise_failure()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            self._changed.notify_all()
            raise StoreError(" ".join(str(failure).split())) from failure

    def _add(self, path: StorePath, content: bytes | None) -> None:
        with self._changed:
            self._left[path] = content
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="uploads", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _work(self) -> None:
        failed = 0
        while True:
            path, content = self._next()
            try:
                if content is None:
                    path.unlink(missing_ok=True)
                else:
                    put_whole(path, content)
            except OSError as error:
                failed += 1
                with self._changed:
                    if failed == TRIES:
                        failed, self._failure = 0, error
                    self._changed.notify_all()
                    self._changed.wait(PAUSE_S)
                continue
            failed = 0
            with self._changed:
                if path in self._left and self._left[path] is content:
                    del self._left[path]
                self._changed.notify_all()

    def _next(self) -> tuple[StorePath, bytes | None]:
        """Wait for something to do. Removals come last: what they make room for has to be there first."""
        with self._changed:
            self._changed.wait_for(lambda: self._left and self._failure is None)
            return next(((path, content) for path, content in self._left.items() if content is not None), None) or next(
                iter(self._left.items())
            )
