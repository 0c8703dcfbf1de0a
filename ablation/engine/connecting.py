"""Whether a cluster can be joined, known in seconds and said in one line: Ray itself takes minutes, and many lines."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from ablation.engine.address import CLIENT_PORT, Address, AddressError, knock, no_ray, read_address
from ablation.user_code import OUR_ROOT

ASK_MOST_S = 60.0  # Python and Ray start in a second, on a busy machine in half a minute; calls are answered at once
HOME_TOKEN = "~/.ray/auth_token"

# What this process has found behind addresses: ``auto`` may be another cluster when Ray is asked again.
_reached: dict[str, str] = {}


def address_faults(given: str) -> list[str]:
    """Say why no cluster can be joined at ``auto``, HOST:PORT or ``ray://HOST:PORT``, in one line; [] if one can."""
    try:
        reach(given)
    except AddressError as error:
        return [f"--address is {given!r}, but {error}"]
    return []


def reach(given: str) -> str:
    """Return the address of a cluster that can be joined, ``auto`` resolved; raises AddressError."""
    if given not in _reached:
        address = read_address(given)
        if address.kind != "auto":
            knock(address)
        _reached[given] = _shake_hands(address)
    return _reached[given]


def _shake_hands(address: Address) -> str:
    """Ask the cluster as Ray would, in a process of its own, and return its address; raises AddressError."""
    command = [sys.executable, "-P", "-m", "ablation.engine.handshake", str(address)]
    search_path = os.pathsep.join(filter(None, (str(OUR_ROOT), os.environ.get("PYTHONPATH"))))
    try:
        asked = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=ASK_MOST_S,
            env={**os.environ, "PYTHONPATH": search_path},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise AddressError(no_ray(address)) from error
    try:
        answer = json.loads(asked.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        last = (asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"])[-1]
        raise AddressError(in_words("unknown", last, address)) from error
    found = read_address(answer["address"])
    if answer["kind"] != "fine":
        raise AddressError(in_words(answer["kind"], answer["detail"], found))
    return str(found)


def in_words(kind: str, detail: str, address: Address) -> str:
    """Say what keeps a cluster from being joined, and what to do."""
    where = "the cluster on this machine" if address.kind == "auto" else str(address)
    words = {
        "none": "no cluster runs on this machine; start one with `ray start --head`, or give HOST:PORT",
        "knock": detail,
        "no token": (
            "RAY_AUTH_MODE is token, and this process has none; put the cluster's, which `ray get-auth-token` prints "
            f"on its head, into {HOME_TOKEN}, or RAY_AUTH_TOKEN"
        ),
        "wrong token": f"{where} demands a token, and {_token_sent()}",
        "not the head": no_ray(address),
        "versions": f"{where} runs {detail}; install the same on both sides, as by requirements.lock",
        "no node": (
            f"this machine is no node of that cluster, and only nodes can join by HOST:PORT; run on one, by `ray job "
            f"submit`, or from here with ray://{address.host}:{CLIENT_PORT}"
        ),
        "no client": "ray:// takes Ray's client, which is not installed; add the extra: pip install 'ray[client]'",
    }
    return words.get(kind) or f"{where} cannot be joined ({detail or kind}); see `ray status` on its head"


def _token_sent() -> str:
    """Say which token this process sends, and how it sends the right one."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    at_home = Path(HOME_TOKEN).expanduser().is_file()
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        rest = "" if at_home or named or "RAY_AUTH_TOKEN" in os.environ else f", and put it into {HOME_TOKEN}"
        return f"this process sends none; export RAY_AUTH_MODE=token{rest}"
    source = "RAY_AUTH_TOKEN" if os.environ.get("RAY_AUTH_TOKEN") else named or HOME_TOKEN
    return f"the one in {source} is not its own; put there what `ray get-auth-token` prints on its head"


def other_versions(error: Exception, address: str) -> str | None:
    """Say which versions differ, if Ray says so in its paragraph; its client compares them only as it connects."""
    found = re.findall(r"Ray: (\S+)\s+Python: (\S+)", str(error))
    if len(found) != 2:
        return None
    (ray, python), (our_ray, our_python) = found
    detail = f"Ray {ray} and Python {python}, and this process Ray {our_ray} and Python {our_python}"
    return in_words("versions", detail, read_address(address))
