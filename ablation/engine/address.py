"""A cluster's address as it is typed, and whether anything listens there: all that can be said without Ray."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Literal
from urllib.parse import SplitResult, urlsplit

CONNECT_MOST_S = 2.0
LOOK_UP_MOST_S = 3.0
HEAD_PORT, CLIENT_PORT = 6379, 10001  # what Ray takes unless it is given others
MOST_IPS = 3
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # RFC 9113, 3.4, and empty settings
FRAME_HEADER_BYTES, SETTINGS = 9, b"\x04"
HEADS_PORT = f"the head's port is {HEAD_PORT} unless `ray start --port` says otherwise"
CLIENTS_PORT = f"Ray's client server has port {CLIENT_PORT} unless `ray start --ray-client-server-port` says otherwise"


class AddressError(ValueError):
    """No cluster can be joined at an address; says why, and what to do."""


@dataclass(frozen=True)
class Address:
    """Where a cluster is: by the port of its head, by that of its client server (``ray://``), or for Ray to find."""

    kind: Literal["auto", "head", "client"]
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        """Return what Ray takes."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return "auto" if self.kind == "auto" else f"{'ray://' * (self.kind == 'client')}{host}:{self.port}"

    @property
    def usual_port(self) -> str:
        """Say which port it usually is."""
        return CLIENTS_PORT if self.kind == "client" else HEADS_PORT


def read_address(given: str) -> Address:
    """Read ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``; ``auto`` is what RAY_ADDRESS says, if it is set.

    Raises AddressError.

    >>> read_address("ray://head:10001")
    Address(kind='client', host='head', port=10001)
    """
    if given == "auto":
        said = os.environ.get("RAY_ADDRESS") or given
        if said == "auto":
            return Address("auto")
        try:
            return _split(said)
        except AddressError as error:
            raise AddressError(f"RAY_ADDRESS is {said!r}, and {error}; or unset RAY_ADDRESS") from error
    return _split(given)


def _split(given: str) -> Address:
    try:
        parts = urlsplit(given if "://" in given else f"//{given}")
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError as error:
        raise AddressError(f"it is no HOST:PORT ({error}); {HEADS_PORT}") from error
    if scheme in ("http", "https"):
        raise AddressError(
            f"that is where Ray's dashboard is, for `ray job`; give the head, {host or 'HOST'}:{HEAD_PORT} as a rule, "
            f"or its client server, ray://{host or 'HOST'}:{CLIENT_PORT}"
        )
    if given == "local":
        raise AddressError("this machine needs no address; leave --address out")
    if scheme not in ("", "ray") or not host or _has_more(parts):
        raise AddressError(f"it must be auto, HOST:PORT or ray://HOST:PORT; {HEADS_PORT}")
    if not port:
        example, usual = (
            (f"ray://{host}:{CLIENT_PORT}", CLIENTS_PORT) if scheme else (f"{host}:{HEAD_PORT}", HEADS_PORT)
        )
        raise AddressError(f"it has no port; give it as in {example}: {usual}")
    return Address("client" if scheme else "head", host, port)


def _has_more(parts: SplitResult) -> bool:
    return bool(parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc)


def knock(address: Address) -> None:
    """See that something speaks HTTP/2 at an address, as Ray does; raises AddressError if not, within seconds."""
    ips, refused = _look_up(address.host, address.port), OSError()
    for found in ips[:MOST_IPS]:
        try:
            with socket.create_connection((found, address.port), CONNECT_MOST_S) as connection:
                if not _speaks_http2(connection):
                    raise AddressError(no_ray(address))
                return
        except OSError as error:
            refused = error
            if error.errno == errno.ECONNREFUSED:
                break  # the host is there
    if refused.errno == errno.ECONNREFUSED:
        raise AddressError(
            f"nothing listens on port {address.port} of {address.host}; see that the cluster is up, and the port: "
            f"{address.usual_port}"
        ) from refused
    also = "" if address.host in ips else f" ({', '.join(ips)})"
    raise AddressError(
        f"{address.host}{also} does not answer ({refused.strerror or refused}); see that the address is right, and "
        f"that no firewall keeps port {address.port} from this machine"
    ) from refused


def no_ray(address: Address) -> str:
    """Say that something else listens at an address."""
    wanted = "client server" if address.kind == "client" else "head"
    return f"what listens there does not answer as a Ray {wanted} does; see the port: {address.usual_port}"


def _speaks_http2(connection: socket.socket) -> bool:
    """Return whether a server answers the preface of HTTP/2 with its settings, as every gRPC server does at once."""
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return True  # it waits for a greeting that only Ray's own certificates make
    try:
        connection.sendall(PREFACE)
        return connection.recv(FRAME_HEADER_BYTES)[3:4] == SETTINGS
    except OSError:
        return False


def _look_up(host: str, port: int) -> list[str]:
    """Return a host's addresses; a name server that does not answer is not waited for."""
    answers: SimpleQueue[list[str] | OSError] = SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put(list(dict.fromkeys(str(entry[4][0]) for entry in found)))
        except (OSError, UnicodeError) as error:
            answers.put(error if isinstance(error, OSError) else OSError(str(error)))

    Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=LOOK_UP_MOST_S)
    except Empty:
        answer = OSError(f"no name server answers within {LOOK_UP_MOST_S:g} s")
    if isinstance(answer, OSError):
        raise AddressError(
            f"no host {host!r} is known here ({answer.strerror or answer}); see that the name is right, or give its IP "
            "address"
        ) from answer
    return answer
