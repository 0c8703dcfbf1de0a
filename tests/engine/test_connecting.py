"""Whether a cluster can be joined: what is wrong is said in one line, with what to do, before Ray is asked."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Event, Thread

import pytest

from ablation.engine import address as address_module
from ablation.engine import connecting
from ablation.engine.address import Address, AddressError, knock, read_address

KNOWN = Address("head", "head", 6379)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "_reached", {})
    for name in [name for name in os.environ if name.startswith(("RAY_ADDRESS", "RAY_AUTH", "RAY_USE_TLS"))]:
        monkeypatch.delenv(name)


@contextmanager
def serve(answer: bytes | None) -> Iterator[Address]:
    """Listen on loopback, and answer each connection so; None: never."""
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as connections:

        def answer_all() -> None:
            with suppress(OSError):  # the server was shut down
                while True:
                    connection = connections.enter_context(server.accept()[0])
                    if answer is not None:
                        connection.recv(64)
                        connection.sendall(answer)

        thread = Thread(target=answer_all)
        thread.start()
        yield Address("head", "127.0.0.1", server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("auto", Address("auto")),
        ("head:6379", KNOWN),
        ("ray://head:10001", Address("client", "head", 10001)),
        ("[::1]:6379", Address("head", "::1", 6379)),
    ],
)
def test_an_address_is_read_as_ray_takes_it(given: str, read: Address) -> None:
    assert read_address(given) == read
    assert str(read) == given


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("10.0.0.1", "it has no port; give it as in 10.0.0.1:6379"),
        ("ray://head", "it has no port; give it as in ray://head:10001"),
        ("http://head:8265", "that is where Ray's dashboard is, for `ray job`; give the head, head:6379"),
        ("head:port", "it is no HOST:PORT"),
        ("head:70000", "it is no HOST:PORT"),
        ("ssh://head:22", "it must be auto, HOST:PORT or ray://HOST:PORT"),
        ("head:6379/path", "it must be auto, HOST:PORT or ray://HOST:PORT"),
        ("local", "this machine needs no address; leave --address out"),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_give(given: str, words: str) -> None:
    [fault] = connecting.address_faults(given)
    assert fault.startswith(f"--address is {given!r}, but {words}")
    assert "\n" not in fault


def test_auto_is_what_the_environment_says_and_the_environment_is_named_in_its_faults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert read_address("auto") == KNOWN
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    with pytest.raises(AddressError, match=r"RAY_ADDRESS is 'http://127.0.0.1:8265', and .* or unset RAY_ADDRESS"):
        read_address("auto")


def test_a_port_on_which_nothing_listens_is_named() -> None:
    with serve(None) as known:
        pass
    with pytest.raises(AddressError, match=rf"nothing listens on port {known.port} of 127.0.0.1"):
        knock(known)


@pytest.mark.parametrize("answer", [None, b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_what_listens_but_is_no_ray_is_told_apart(answer: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_module, "CONNECT_MOST_S", 0.05)
    with serve(answer) as known, pytest.raises(AddressError, match="does not answer as a Ray head does"):
        knock(known)


def test_a_server_that_answers_with_settings_frames_is_asked_on() -> None:
    with serve(bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))) as known:
        knock(known)


def test_an_unknown_host_and_a_silent_name_server_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object, **options: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    [fault] = connecting.address_faults("nowhere.invalid:6379")
    assert "no host 'nowhere.invalid' is known here (Name or service not known); see that the name is right" in fault
    never = Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: never.wait() and [])
    monkeypatch.setattr(address_module, "LOOK_UP_MOST_S", 0.01)
    [fault] = connecting.address_faults("nowhere.invalid:6379")
    never.set()
    assert "no name server answers within 0.01 s" in fault


def test_a_host_that_does_not_answer_is_named_with_its_ip(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*arguments: object, **options: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", silent)
    monkeypatch.setattr(address_module, "_look_up", lambda host, port: ["192.0.2.7"])
    [fault] = connecting.address_faults("head:6379")
    assert "head (192.0.2.7) does not answer (timed out); see that the address is right" in fault


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str] | str]]:
    """What processes that shake hands print, one after the other; a text is no answer, but ends up on stderr."""
    waiting: list[dict[str, str] | str] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        answer = waiting.pop(0)
        if isinstance(answer, str):
            return subprocess.CompletedProcess(command, -6, "", answer)
        return subprocess.CompletedProcess(command, 0, json.dumps({"detail": "", "address": command[-1], **answer}), "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(connecting, "knock", lambda address: None)
    yield waiting
    assert waiting == []


def test_auto_stays_the_cluster_that_was_found_first(answers: list[dict[str, str] | str]) -> None:
    answers += [{"kind": "fine", "address": "192.0.2.1:6379"}]
    assert [connecting.reach("auto") for _ in range(2)] == ["192.0.2.1:6379"] * 2


@pytest.mark.parametrize(
    ("kind", "detail", "words"),
    [
        ("none", "", "no cluster runs on this machine; start one with `ray start --head`, or give HOST:PORT"),
        ("no token", "", "RAY_AUTH_MODE is token, and this process has none; put the cluster's"),
        ("not the head", "", "what listens there does not answer as a Ray head does"),
        ("versions", "Ray 2.58.0 and Python 3.12.1, and this process …", "head:6379 runs Ray 2.58.0 and Python 3.12.1"),
        ("no node", "", "this machine is no node of that cluster, and only nodes can join by HOST:PORT; run on one"),
        ("no client", "", "pip install 'ray[client]'"),
        ("unknown", "what it said", "head:6379 cannot be joined (what it said); see `ray status` on its head"),
    ],
)
def test_each_refusal_has_its_line(answers: list[dict[str, str] | str], kind: str, detail: str, words: str) -> None:
    answers += [{"kind": kind, "detail": detail}]
    [fault] = connecting.address_faults("head:6379")
    assert words in fault
    assert fault.startswith("--address is 'head:6379', but ")
    assert "\n" not in fault


def test_a_process_that_ray_ends_is_reported_by_its_last_line(answers: list[dict[str, str] | str]) -> None:
    answers += ["a page of log lines\nAborted"]
    [fault] = connecting.address_faults("head:6379")
    assert "head:6379 cannot be joined (Aborted)" in fault


def test_a_refused_token_says_which_was_sent(
    answers: list[dict[str, str] | str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault() -> str:
        answers.append({"kind": "wrong token"})
        return connecting.address_faults("head:6379")[0]

    monkeypatch.setenv("HOME", "/nowhere")
    assert "this process sends none; export RAY_AUTH_MODE=token, and put it into ~/.ray/auth_token" in fault()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    assert fault().endswith("this process sends none; export RAY_AUTH_MODE=token")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert "the one in RAY_AUTH_TOKEN is not its own" in fault()
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    assert "the one in ~/.ray/auth_token is not its own" in fault()
    assert "secret" not in fault()


def test_rays_paragraph_on_versions_becomes_one_line() -> None:
    error = RuntimeError(
        "Version mismatch: The cluster was started with:\n    Ray: 2.58.0\n    Python: 3.12.1\n"
        "This process on Ray Client was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
    )
    said = connecting.other_versions(error, "ray://head:10001")
    assert said is not None
    assert said.startswith(
        "ray://head:10001 runs Ray 2.58.0 and Python 3.12.1, and this process Ray 2.60.0 and Python 3.11.7; install"
    )
    assert connecting.other_versions(RuntimeError("no memory"), "head:6379") is None
