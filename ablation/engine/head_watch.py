"""Whether a cluster's head is still there. Without it Ray ends this process after a minute, whatever it is doing.

Calls to the head wait for it until then, so that nothing but a thread can say what has happened.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from ablation.engine.address import CONNECT_MOST_S, Address
from ablation.engine.executor import Lost, NoHeadError

LOOK_EVERY_S = 2.0
# In a row: half a minute of Ray's own one. A head that is started again with what it knew may come back.
MOST_IN_VAIN = 15


@contextmanager
def head_watched(head: Address, lost: Lost, leave: Callable[[int], object] = os._exit) -> Iterator[None]:
    """Look in a thread whether anything listens where the head is; if not for long, call ``lost`` and leave."""
    is_over = Event()

    def look_on() -> None:
        in_vain = 0
        while not is_over.wait(LOOK_EVERY_S):
            try:
                # No more than that: a busy head may be slow to answer.
                socket.create_connection((head.host, head.port), CONNECT_MOST_S).close()
                in_vain = 0
            except OSError as error:
                in_vain += 1
                if in_vain < MOST_IN_VAIN:
                    continue
                what = f"the cluster's head, {head}, is lost ({error.strerror or error})"
                try:
                    lost(NoHeadError(f"{what}; go on at another by its --address, or here by --address local"))
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
