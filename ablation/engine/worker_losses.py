"""What Ray says of lost workers and nodes: into a file of the run; the terminal has our own line with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ray._private import worker as ray_worker

from ablation.engine.output import UNREADABLE_AS

LOST = (
    "A worker died or was killed",
    "killed due to the node running low on memory",
    "Raylet is terminated",  # with its last lines, of a node that is lost
    "has been marked dead because",
)


@contextmanager
def worker_losses_in(path: Path) -> Iterator[None]:
    """Append Ray's paragraphs on lost workers and nodes to a file; whatever else it says comes as before.

    A driver prints what raylets publish, to standard output: neither ``log_to_driver`` nor logging levels nor a
    ``RAY_`` variable keeps it from that (Ray 2.60), so its printing is what is replaced.
    """
    module: Any = ray_worker
    printed = module.print_to_stdstream

    def print_unless_lost(data: dict[str, Any], *arguments: Any, **options: Any) -> None:
        text = "\n".join(map(str, data.get("lines", ())))
        if data.get("pid") != "raylet" or not any(words in text for words in LOST):
            printed(data, *arguments, **options)
            return
        # On a full disk only these words are lost: the reason is an event, and the ledger says what it cannot write.
        with suppress(OSError), path.open("a", encoding="utf-8", errors=UNREADABLE_AS) as file:
            print(text, file=file)

    module.print_to_stdstream = print_unless_lost
    try:
        yield
    finally:
        module.print_to_stdstream = printed
