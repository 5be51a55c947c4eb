"""Machine: Blockwire as anybody would start it, `blockwire up`, on a folder of its own.

The folder holds the store's data and one file with what all processes said.
"""

import asyncio
import shutil
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from service.children import end_child, start_child
from service.client import Client, Refused
from service.entry import python_module
from service.errors import BlockwireError
from service.processes import HEALTH_PATH, open_listener
from service.records.base import DEFAULT_POOL
from service.settings import Settings, environment_for

HOST = "127.0.0.1"
WORKER_PROCESSES = 2
START_S = 30.0
_POLL_S = 0.05
_STOP_S = 30.0


class Stopped(BlockwireError):
    """Blockwire has ended while the demo still needed it."""


@contextmanager
def folder(keep: bool) -> Iterator[Path]:
    """A new private folder, removed afterwards unless it is to be kept."""
    made = Path(tempfile.mkdtemp(prefix="blockwire-demo-"))
    try:
        yield made
    finally:
        if not keep:
            shutil.rmtree(made, ignore_errors=True)


def data_in(place: Path) -> Path:
    return place / "data"


def last_words(place: Path, most: int = 10) -> list[str]:
    """The end of what the processes said, without their answers to us."""
    said = _log_in(place).read_text(errors="replace").splitlines()
    return [line for line in said if "request.answered" not in line][-most:]


class Machine:
    """A running `blockwire up`."""

    def __init__(self, process: Process, client: Client) -> None:
        self.client = client
        self._process = process

    async def ready(self) -> None:
        """Returns when the web answers. Raises Stopped."""
        deadline = time.monotonic() + START_S
        while self._process.returncode is None and time.monotonic() < deadline:
            try:
                await self.client.get(HEALTH_PATH)
                return
            except Refused:
                await asyncio.sleep(_POLL_S)
        raise Stopped("Blockwire did not start")

    async def ended(self) -> None:
        """Returns never; raises Stopped when Blockwire ends by itself."""
        code = await self._process.wait()
        raise Stopped(f"Blockwire has stopped by itself (exit code {code})")


@asynccontextmanager
async def started(settings: Settings, place: Path) -> AsyncIterator[Machine]:
    """`blockwire up` on a free port and an embedded store in the folder, ended in order afterwards."""
    with open_listener(HOST, 0) as listener:
        port: int = listener.getsockname()[1]
    own = settings.model_copy(
        update={
            "redis_url": None,
            "queue_url": None,
            "data_dir": data_in(place),
            "host": HOST,
            "port": port,
            "pool": DEFAULT_POOL,
            "json_logs": False,
            "log_level": "info",
        }
    )
    command = python_module("service.processes", str(WORKER_PROCESSES))
    with _log_in(place).open("ab") as output:
        process = await start_child(command, environ=environment_for(own), output=output.fileno())
    try:
        async with Client(f"http://{HOST}:{port}") as client:
            yield Machine(process, client)
    finally:
        await end_child(process, _STOP_S)


def _log_in(place: Path) -> Path:
    return place / "log"
