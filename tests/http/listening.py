"""Listening: a client that reads a stream of a run while it is made, over ASGI, without a socket between.

    async with listening(app, f"/v1/agents/{id}/messages/stream", body) as listener:
        assert (await listener.next()).data["message_type"] == "ping"
        rest = await listener.rest()

It may stop reading (`pause`) or leave, as clients do.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio
from starlette.applications import Starlette
from starlette.types import Message

DEADLINE_S = 10
DONE = "[DONE]"


class Sent(NamedTuple):
    """One event as it arrived."""

    event: str
    data: Any


class Listener:
    """The client's side; `task` is the server's."""

    def __init__(self, body: dict[str, Any] | None) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.raw = b""
        self.task: asyncio.Task[None]
        self._request = b"" if body is None else json.dumps(body).encode()
        self._asked = False
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self._reads = asyncio.Event()
        self._reads.set()
        self._left = asyncio.Event()
        self._rest = b""

    async def next(self) -> Sent:
        """The next event, within a deadline."""
        with anyio.fail_after(DEADLINE_S):
            while b"\n\n" not in self._rest:
                piece = await self._pieces.get()
                assert piece, f"the stream ended after {self.raw[-200:]!r}"
                self._rest += piece
        block, _, self._rest = self._rest.partition(b"\n\n")
        fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
        data = fields["data"]
        return Sent(fields.get("event", ""), data if data == DONE else json.loads(data))

    async def rest(self) -> list[Sent]:
        """Everything up to the end marker, which has to be the last."""
        found = [await self.next()]
        while found[-1].data != DONE:
            found.append(await self.next())
        with anyio.fail_after(DEADLINE_S):
            await asyncio.shield(self.task)
        assert self._rest == b""
        return found

    def pause(self) -> None:
        """From now on nothing is taken."""
        self._reads.clear()

    def go_on(self) -> None:
        self._reads.set()

    def leave(self) -> None:
        self._left.set()

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._request, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self._reads.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        piece: bytes = message.get("body", b"")
        self.raw += piece
        self._pieces.put_nowait(piece)


@asynccontextmanager
async def listening(
    app: Starlette,
    path: str,
    body: dict[str, Any] | None,
    headers: dict[str, str] | None = None,
    method: str = "POST",
) -> AsyncIterator[Listener]:
    """A request whose answer is read as it comes; on the way out the client leaves."""
    listener = Listener(body)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
    }
    listener.task = asyncio.create_task(app(scope, listener.receive, listener.send))
    try:
        yield listener
    finally:
        listener.leave()
        listener.go_on()
        with anyio.fail_after(DEADLINE_S):
            await asyncio.wait({listener.task})


TEXT_OF = {"assistant_message": "content", "reasoning_message": "reasoning"}


def outline(sent: Sequence[Sent]) -> list[str]:
    """One line per event; pieces of the same part of an answer are one line."""
    lines: list[str] = []
    last: tuple[object, ...] = ()
    for event, data in sent:
        if data == DONE:
            lines.append(DONE)
            continue
        kind = data["message_type"]
        part = (kind, data.get("id"), data.get("otid"), (data.get("tool_call") or {}).get("tool_call_id"))
        new = _told(kind, data)
        if part == last and kind in TEXT_OF:
            lines[-1] += data[TEXT_OF[kind]]
        elif part == last and kind == "tool_call_message":
            lines[-1] += data["tool_call"]["arguments"]
        else:
            lines.append(f"event {event}: {new}" if event else new)
        last = part
    return lines


def _told(kind: str, data: dict[str, Any]) -> str:
    short = kind.removesuffix("_message")
    if kind in TEXT_OF:
        return f"{short}: {data[TEXT_OF[kind]]}"
    if kind == "tool_call_message":
        return f"{short} {data['tool_call']['name']} {data['tool_call']['arguments']}"
    if kind == "tool_return_message":
        return f"{short} {data['name']} {data['status']}"
    if kind == "stop_reason":
        return f"{short} {data['stop_reason']}"
    return f"{short} {data['error_type']}" if kind == "error_message" else short


def text_in(sent: Sequence[Sent], kind: str = "assistant_message") -> str:
    """All the text of one kind, put together."""
    return "".join(one.data[TEXT_OF[kind]] for one in sent if _is(one, kind))


def of_kind(sent: Sequence[Sent], kind: str) -> list[dict[str, Any]]:
    return [one.data for one in sent if _is(one, kind)]


def _is(one: Sent, kind: str) -> bool:
    return one.data != DONE and bool(one.data["message_type"] == kind)
