"""Receiver: a server of a test's own that takes posts, one per connection, and answers as it is told."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Post:
    """One request as it arrived."""

    line: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


class Receiver:
    """`status` is what it answers; `silent`: nothing at all; `statuses`: what the next ones get."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.status = "200 OK"
        self.statuses: list[str] = []
        self.more_headers = ""
        self.silent = False
        self.slow_s = 0.0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._taking: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    async def start(self) -> None:
        """Listens; after a stop at the port of before."""
        self._server = await asyncio.start_server(
            self._take, "127.0.0.1", self.port, reuse_address=True, family=socket.AF_INET
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Nobody is there any more: open connections are cut, new ones are refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._taking:
            task.cancel()
        if self._taking:
            await asyncio.wait(self._taking)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._taking.add(task)
        try:
            await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # given up before all was said
        finally:
            self._taking.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        sent = dict(line.split(": ", 1) for line in head[1:] if line)
        headers |= {name.lower(): text for name, text in sent.items() if name.startswith("webhook-")}
        raw = await reader.readexactly(int(headers["content-length"]))
        self.posts.append(Post(head[0], headers, raw))
        if self.silent:
            await reader.read()
        else:
            await asyncio.sleep(self.slow_s)
            status = self.statuses.pop(0) if self.statuses else self.status
            answer = f"HTTP/1.1 {status}\r\nlocation: {self.url}/other\r\n{self.more_headers}"
            writer.write(f"{answer}content-length: 0\r\n\r\n".encode())
            await writer.drain()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.stop()
