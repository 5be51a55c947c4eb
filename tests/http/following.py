"""Following: a client that reads a feed of changes while it is written, over ASGI, without a socket between.

async with following(app, query="label=plan") as (follower, _):
    [change] = await follower.changes(1)
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio
from starlette.applications import Starlette
from starlette.types import Message

DEADLINE_S = 5


class Told(NamedTuple):
    """One event as it arrived; a heart-beat has an id and a comment alone."""

    id: str | None
    event: str
    data: Any
    comment: str


class Follower:
    """A client that reads a feed while it is being written."""

    def __init__(self, answered: Callable[[], Awaitable[None]] | None = None) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._answered = answered
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self._left = asyncio.Event()
        self._rest = b""

    async def told(self) -> Told:
        """The next event, within a deadline."""
        with anyio.fail_after(DEADLINE_S):
            while b"\n\n" not in self._rest:
                self._rest += await self._pieces.get()
        block, _, self._rest = self._rest.partition(b"\n\n")
        fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
        data = json.loads(fields["data"]) if "data" in fields else None
        return Told(fields.get("id"), fields.get("event", ""), data, fields.get("", ""))

    async def changes(self, count: int) -> list[dict[str, Any]]:
        """The next so many changes; heart-beats are passed over."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            told = await self.told()
            if told.event:
                assert told.event == "change"
                assert told.id == told.data["id"]
                found.append(told.data)
        return found

    def leave(self) -> None:
        self._left.set()

    async def receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            if self._answered is not None:
                await self._answered()
        else:
            self._pieces.put_nowait(message.get("body", b""))


@asynccontextmanager
async def following(
    app: Starlette,
    path: str = "/v1/changes",
    query: str = "",
    last_event_id: str = "",
    answered: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[tuple[Follower, asyncio.Task[None]]]:
    """An open feed; the task is the server's side of it. On the way out the client leaves."""
    follower = Follower(answered)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(b"last-event-id", last_event_id.encode())] if last_event_id else [],
    }
    task = asyncio.create_task(app(scope, follower.receive, follower.send))
    try:
        yield follower, task
    finally:
        follower.leave()
        with anyio.fail_after(DEADLINE_S):
            await task
