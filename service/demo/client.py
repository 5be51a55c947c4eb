"""Client: HTTP as the demo needs it: JSON there and back, and an endless stream of events.

On the standard library. An HTTP library comes along with the providers' own,
but it is theirs to change; one of ours would be a dependency of every
installation for the sake of the demo. One request per connection, on this
machine only.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

from service.errors import BlockwireError

ANSWER_S = 20.0


class Refused(BlockwireError):
    """The server answered with an error, or not at all."""


class Event(NamedTuple):
    """A server-sent event; `name` and `data` are empty for one that carries an id alone."""

    id: str
    name: str
    data: str


class Client:
    """Asks one server on this machine. Raises Refused."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._host = host
        self._port = port

    async def get(self, path: str, **query: object) -> Any:
        return await self._ask("GET", f"{path}?{urlencode(query)}" if query else path, None)

    async def post(self, path: str, body: object) -> Any:
        return await self._ask("POST", path, json.dumps(body).encode())

    async def events(self, path: str) -> AsyncGenerator[Event, None]:
        """The events of a feed, until the server ends it."""
        async with self._connection() as (reader, writer):
            status, headers = await self._send(reader, writer, "GET", path, None)
            if status != 200:
                raise Refused(_refusal("GET", path, status, await _whole(reader, headers)))
            event = Event("", "", "")
            async for line in _lines(reader):
                if not line:
                    yield event
                    event = Event(event.id, "", "")
                name, _, value = line.partition(": ")
                if name in ("id", "event", "data"):
                    event = event._replace(**{"name" if name == "event" else name: value})

    async def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        try:
            async with asyncio.timeout(ANSWER_S), self._connection() as (reader, writer):
                status, headers = await self._send(reader, writer, method, path, body)
                answer = await _whole(reader, headers)
        except TimeoutError:
            raise Refused(f"{method} {path}: no answer within {ANSWER_S:.0f} seconds") from None
        if status != 200:
            raise Refused(_refusal(method, path, status, answer))
        return json.loads(answer)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            reader, writer = await asyncio.open_connection(self._host, self._port)
            try:
                yield reader, writer
            finally:
                writer.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Refused(f"Blockwire at {self._host}:{self._port} does not answer: {error}") from None

    async def _send(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        method: str,
        path: str,
        body: bytes | None,
    ) -> tuple[int, dict[str, str]]:
        """Sends a request; the status and headers of its answer."""
        head = [f"{method} {path} HTTP/1.1", f"Host: {self._host}:{self._port}", "Connection: close"]
        if body is not None:
            head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        writer.write("\r\n".join([*head, "", ""]).encode() + (body or b""))
        await writer.drain()
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        return int(lines[0].split()[1]), {name.lower(): value for name, value in headers.items()}


async def _whole(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    return await reader.readexactly(int(headers.get("content-length", 0)))


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    """The lines of a body that comes in chunks."""
    rest = b""
    while size := int(await reader.readuntil(b"\n"), 16):
        *lines, rest = (rest + (await reader.readexactly(size + 2))[:-2]).split(b"\n")
        for line in lines:
            yield line.decode()


def _refusal(method: str, path: str, status: int, answer: bytes) -> str:
    try:
        said = json.loads(answer)["detail"]
    except (ValueError, KeyError, TypeError):
        said = answer.decode(errors="replace")[:200]
    return f"{method} {path} was answered with {status}: {said}"
