"""Why a worker was lost, from what Ray wrote about it: one line for reasons, tables and messages."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from ablation.store import AnyPath

FATAL = "Fatal Python error: "
# Ray knows no more of a process that ended without a word to it.
ABRUPT = "its process ended without an exception (killed, out of memory, crashed, or os._exit)"
# Of a node that is gone Ray says the first at once, the second when it has given up, with names that tell nothing.
OF_NODES = {
    "is unavailable: The actor is temporarily unavailable": "its node, or its process there, does not answer any more",
    "because its node has died": "its node is lost",
}
# What Ray writes when it has ended workers itself; pages on other processes and on its own switches follow.
LOW_MEMORY = re.compile(r"killed due to the node running low on memory.* was (?P<used>.+ limit)")


def cause_of_loss(error_file: str | None, log: AnyPath | None) -> str:
    """Return the last error that Tune noted for a worker; of a crash, what its trial's log says of it."""
    noted = "" if error_file is None else _text(Path(error_file))
    cause = summary(noted.rpartition("Failure # ")[2])
    if cause == ABRUPT:
        said = "" if log is None else _text(log)
        crash = said.rpartition(FATAL)[2].partition("\n")[0] if FATAL in said else ""
        return f"{crash} (its log has the stack)" if crash else ABRUPT
    return cause


def summary(noted: str) -> str:
    """Condense Ray's account of one failure; "unknown" if it says nothing."""
    low = LOW_MEMORY.search(noted)
    if low is not None:
        return f"Ray killed it when the machine ran low on memory ({low['used']}); lower --max-concurrent"
    _, is_there, detail = noted.partition("Worker exit detail: ")
    if is_there:
        detail = detail.partition(" Some common causes")[0].strip()
        return ABRUPT if "connection error code" in detail else detail.removesuffix(".")
    lines = [line.strip() for line in noted.splitlines()[1:] if line.strip()]
    reported = [line for line in lines if line.startswith("The actor ")]
    last = (reported or lines or ["unknown"])[-1].removesuffix(".")
    return next((words for said, words in OF_NODES.items() if said in last), last)


def _text(path: AnyPath) -> str:
    with suppress(OSError):
        return path.read_bytes().decode("utf-8", "backslashreplace")
    return ""
