"""A cluster whose head is lost: said within the minute after which Ray ends the process."""

from __future__ import annotations

import socket
from threading import Event

import pytest

from ablation.engine import head_watch
from ablation.engine.address import Address


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_watch, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(head_watch, "MOST_IN_VAIN", 3)


def test_a_head_that_is_gone_is_said_and_the_process_ends() -> None:
    said: list[ConnectionError] = []
    left = Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with head_watch.head_watched(Address("head", "127.0.0.1", port), said.append, lambda code: left.set()):
            server.close()
            assert left.wait(30)
    (error,) = said
    assert str(error).startswith(f"the cluster's head, 127.0.0.1:{port}, is lost (Connection refused)")


def test_a_head_that_accepts_connections_is_there_though_it_is_slow_to_answer() -> None:
    met: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = Address("head", "127.0.0.1", server.getsockname()[1])
        with head_watch.head_watched(address, met.append, met.append):
            for _ in range(20):
                server.accept()[0].close()
    assert met == []
