"""Command: ask a cluster who it is, in a process of its own, and print the answer as JSON.

Ray ends a process that has no token where one is demanded, or that asks for a raylet of another machine, and writes
log lines that no option keeps from standard error: here they harm nobody. Where Ray hangs, the caller ends this one.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import ray
from ray._common.usage import usage_lib
from ray._private import services
from ray.exceptions import AuthenticationError, RpcError

from ablation.engine.address import Address, AddressError, knock, read_address

# "unknown": for whatever Ray raises that has no kind of its own.
Kind = Literal[
    "fine", "none", "knock", "no token", "wrong token", "not the head", "versions", "no node", "no client", "unknown"
]
CALL_MOST_S = 2.0
raylet: Any = import_module("ray._raylet")  # compiled: its types are not known


class RefusedError(Exception):
    """A cluster cannot be joined, for the reason that ``kind`` names."""

    def __init__(self, kind: Kind, detail: str = "") -> None:
        super().__init__(kind, detail)
        self.kind: Kind = kind
        self.detail = detail


def ask(address: Address) -> None:
    """Call a cluster as a driver would; raises RefusedError."""
    is_with_token = raylet.get_authentication_mode() == raylet.AuthenticationMode.TOKEN
    if is_with_token and not raylet.AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True):
        raise RefusedError("no token")
    if address.kind == "client":
        _ask_client_server(address)
    else:
        _ask_head(address)


def found_here() -> Address:
    """Return the cluster that Ray finds on this machine; raises RefusedError, or AddressError if it is gone."""
    try:
        address = read_address(services.get_ray_address_from_environment("auto", os.environ.get("RAY_TMPDIR")))
    except ConnectionError as error:
        raise RefusedError("none") from error
    knock(address)
    return address


def _ask_head(address: Address) -> None:
    try:
        client = raylet.GcsClient(address=str(address))
        said = usage_lib.get_cluster_metadata(client) or {}
        nodes = client.get_all_node_info(timeout=CALL_MOST_S).values()
    except AuthenticationError as error:
        raise RefusedError("wrong token") from error
    except RpcError as error:
        raise RefusedError(
            "not the head" if not str(error).removeprefix("RPC error: ") else "unknown", str(error)
        ) from error
    _compare(said)
    alive = [node for node in nodes if node.state == 0]  # GcsNodeInfo.ALIVE
    if not any(_answers(Path(node.raylet_socket_name)) for node in alive):
        raise RefusedError("no node")


def _compare(said: dict[str, Any]) -> None:
    ours = {"ray_version": ray.__version__, "python_version": platform.python_version()}
    level = os.environ.get("RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL", "patch")
    parts = 2 if level == "minor" else 3
    if not said or (
        said["ray_version"] == ours["ray_version"]
        and said["python_version"].split(".")[:parts] == ours["python_version"].split(".")[:parts]
    ):
        return
    theirs = f"Ray {said['ray_version']} and Python {said['python_version']}"
    raise RefusedError(
        "versions", f"{theirs}, and this process Ray {ours['ray_version']} and Python {ours['python_version']}"
    )


def _answers(raylet: Path) -> bool:
    """Return whether a raylet listens on this machine; a driver speaks to it by a socket in the file system."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(CALL_MOST_S)
        try:
            connection.connect(str(raylet))
        except OSError:
            return False
    return True


def _ask_client_server(address: Address) -> None:
    try:
        grpc: Any = import_module("grpc")
        messages: Any = import_module("ray.core.generated.ray_client_pb2")
        services_of: Any = import_module("ray.core.generated.ray_client_pb2_grpc")
        open_channel: Any = import_module("ray._private.grpc_utils").init_grpc_channel
    except ImportError as error:
        raise RefusedError("no client") from error
    channel = open_channel(str(address).removeprefix("ray://"), options=[], asynchronous=False)
    ping = messages.ClusterInfoRequest(type=messages.ClusterInfoType.PING)
    try:
        grpc.channel_ready_future(channel).result(timeout=CALL_MOST_S)
        services_of.RayletDriverStub(channel).ClusterInfo(ping, timeout=CALL_MOST_S)
    except grpc.FutureTimeoutError as error:
        raise RefusedError("not the head") from error
    except grpc.RpcError as error:
        kinds: dict[Any, Kind] = {
            grpc.StatusCode.UNAUTHENTICATED: "wrong token",
            grpc.StatusCode.UNIMPLEMENTED: "not the head",
        }
        raise RefusedError(kinds.get(error.code(), "unknown"), str(error.details())) from error


def main(given: str) -> None:
    """Print ``{"kind": …, "detail": …, "address": …}``."""
    kind, detail, address = "fine", "", read_address(given)
    try:
        if address.kind == "auto":
            address = found_here()
        ask(address)
    except RefusedError as error:
        kind, detail = error.kind, error.detail
    except AddressError as error:
        kind, detail = "knock", str(error)
    print(json.dumps({"kind": kind, "detail": detail, "address": str(address)}), flush=True)
    os._exit(0)  # Ray's threads may hang


if __name__ == "__main__":
    main(sys.argv[1])
