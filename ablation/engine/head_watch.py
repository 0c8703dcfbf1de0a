"""Whether a cluster's head is still there. Without it Ray ends this process after a minute, whatever it is doing.

Calls to the head wait for it until then, so that nothing but a thread can say what has happened.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from ablation.engine.address import CONNECT_MOST_S, Address
from ablation.engine.executor import Lost, NoHeadError

LOOK_EVERY_S = 2.0
GONE_AFTER_S = 30.0  # before Ray's own 60 s; a head that is started again with what it knew may come back


@contextmanager
def head_watched(head: Address, lost: Lost, leave: Callable[[int], object] = os._exit) -> Iterator[None]:
    """Look in a thread whether anything listens where the head is; if not for long, call ``lost`` and leave."""
    is_over = Event()

    def look_on() -> None:
        answered = time.monotonic()
        while not is_over.wait(LOOK_EVERY_S):
            try:
                # No more than that: a busy head may be slow to answer.
                socket.create_connection((head.host, head.port), CONNECT_MOST_S).close()
                answered = time.monotonic()
            except OSError as error:
                if time.monotonic() - answered < GONE_AFTER_S:
                    continue
                what = f"the cluster's head, {head}, is lost ({error.strerror or error})"
                try:
                    lost(NoHeadError(f"{what}; start a cluster, then go on with --resume"))
                finally:
                    leave(1)
                return

    thread = Thread(target=look_on, name="head-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
