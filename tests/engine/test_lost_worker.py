"""Why a worker was lost: what Ray wrote, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablation.engine.lost_worker import ABRUPT, cause_of_loss

# As Ray 2.60 writes them.
ABRUPT_NOTE = """Failure # 1 (occurred at 2026-11-26_23-14-56)
The actor died unexpectedly before finishing this task.
\tclass_name: with_resources.<locals>.ResourceTrainable
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker \
unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the process was killed
"""
RAISED_NOTE = """Failure # 2 (occurred at 2026-11-26_23-15-07)
\x1b[36mray::ResourceTrainable.train()\x1b[39m (pid=16036, ip=192.0.2.2)
  File "dying.py", line 15, in run_trial
    raise torch.OutOfMemoryError("asked to")
torch.OutOfMemoryError: asked to

"""
NODE_NOTE = """Failure # 1 (occurred at 2026-11-26_23-15-07)
The actor died unexpectedly before finishing this task.
The actor died because its node has died. Node Id: abc.
"""
SILENT_NODE_NOTE = """Failure # 1 (occurred at 2026-11-30_08-37-30)
The actor dbe99530 is unavailable: The actor is temporarily unavailable: RpcError: RPC error: Socket closed \
rpc_code: 14. The task may or may not have been executed on the actor.
"""
LOW_MEMORY_NOTE = """Failure # 1 (occurred at 2026-11-26_23-15-07)
ray.exceptions.OutOfMemoryError: 1 worker(s) were killed due to the node running low on memory. Memory on the node \
(IP: 192.0.2.2, ID: abc) was 23.30GB used / 23.54GB limit (0.989)
OOM kill reason: Memory usage 1797988352B exceeded threshold of 252765104B (1.0% of 25276510208B limit)
Top 10 memory users: PID\tMEM(GB)\tCOMMAND
Refer to the documentation on how to address the out of memory issue: https://docs.ray.io
"""


@pytest.mark.parametrize(
    ("noted", "log", "cause"),
    [
        (ABRUPT_NOTE, "", ABRUPT),
        (
            ABRUPT_NOTE,
            "a line\nFatal Python error: Segmentation fault\n\nCurrent thread",
            "Segmentation fault (its log",
        ),
        (ABRUPT_NOTE + RAISED_NOTE, "", "torch.OutOfMemoryError: asked to"),
        (RAISED_NOTE + ABRUPT_NOTE.replace("# 1", "# 3"), "", ABRUPT),
        (NODE_NOTE, "", "its node is lost"),
        (SILENT_NODE_NOTE, "", "its node, or its process there, does not answer any more"),
        (LOW_MEMORY_NOTE, "", "Ray killed it when the machine ran low on memory (23.30GB used / 23.54GB limit)"),
        ("", "", "unknown"),
    ],
)
def test_the_last_failure_is_condensed(noted: str, log: str, cause: str, tmp_path: Path) -> None:
    (tmp_path / "error.txt").write_text(noted)
    (tmp_path / "log.txt").write_text(log)
    assert cause_of_loss(str(tmp_path / "error.txt"), tmp_path / "log.txt").startswith(cause)


def test_without_a_note_the_cause_is_not_known(tmp_path: Path) -> None:
    assert cause_of_loss(None, tmp_path / "none") == "unknown"
