"""An object store on loopback: moto's server behind a line that may be long, or cut for a while.

The server is a process of its own that speaks S3 over HTTP, from an environment of its own. The line is a proxy in a
thread of this process.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pyarrow import fs

# The Makefile puts it there. No other will do: moto 5.2.1 spoils what pyarrow uploads.
SERVER = Path(sys.prefix) / "s3-server" / "bin" / "moto_server"
BUCKET = "s3://studies"
READ_BYTES = 2**16


def settings(endpoint: str) -> dict[str, str]:
    """Return the environment in which AWS's clients, and pyarrow, find a store."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "anybody",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def served() -> Iterator[str]:
    """Start a store with an empty bucket ``studies``, and yield its endpoint."""
    assert SERVER.is_file(), f"there is no {SERVER}; make {Path(sys.prefix).name}/.installed-test"
    command = [str(SERVER), "--host", "127.0.0.1", "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "default"}
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            reported, address = "", None
            while address is None:
                line = server.stdout.readline()
                assert line, f"moto_server did not start: {reported}"
                reported += line
                address = re.search(r"Running on (http://127\.0\.0\.1:\d+)", line)
            # Read on, or the server would wait for room in the pipe.
            threading.Thread(target=server.stdout.read, daemon=True).start()
            store = fs.S3FileSystem(
                access_key="anybody", secret_key="anything", region="us-east-1",
                endpoint_override=address[1], allow_bucket_creation=True,
            )  # fmt: skip
            store.create_dir("studies")
            yield address[1]
        finally:
            server.terminate()


@dataclass
class Line:
    """A way to a store: ``endpoint`` is its near end."""

    endpoint: str
    _loop: asyncio.AbstractEventLoop
    _open: set[asyncio.Task[None]]
    _is_cut: bool = False

    def cut(self) -> None:
        """Refuse every connection, and break those that are open."""
        self._is_cut = True
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._open])

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = False


@contextmanager
def line_to(endpoint: str, round_trip_s: float = 0.0, host: str = "127.0.0.1") -> Iterator[Line]:
    """Yield a line to an endpoint on which an answer comes so much later; its near end is at an address of ours."""
    loop = asyncio.new_event_loop()
    line = Line("", loop, set())
    far = urlsplit(endpoint)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        line._open.add(task)
        there: asyncio.StreamWriter | None = None
        try:
            if line._is_cut:
                return
            answers, there = await asyncio.open_connection(far.hostname, far.port)
            await asyncio.gather(_pass_on(reader, there, 0.0), _pass_on(answers, writer, round_trip_s))
        except (OSError, asyncio.CancelledError):
            return
        finally:
            line._open.discard(task)
            for end in (writer, there):
                if end is not None:
                    end.close()

    server = loop.run_until_complete(asyncio.start_server(carry, host, 0))
    line.endpoint = f"http://{host}:{server.sockets[0].getsockname()[1]}"
    thread = threading.Thread(target=loop.run_forever, name="line", daemon=True)
    thread.start()
    try:
        yield line
    finally:
        line.cut()
        asyncio.run_coroutine_threadsafe(_closed(server, line), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _closed(server: asyncio.Server, line: Line) -> None:
    server.close()
    await asyncio.gather(*line._open, return_exceptions=True)


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, delay_s: float) -> None:
    """Pass bytes on, the first of each answer late; the rest of one that takes several reads follows at once."""
    while data := await source.read(READ_BYTES):
        await asyncio.sleep(delay_s)
        target.write(data)
        while len(data) == READ_BYTES and (data := await source.read(READ_BYTES)):
            target.write(data)
        await target.drain()
    with suppress(OSError):
        target.write_eof()
