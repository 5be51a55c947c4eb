"""Transport: how bytes come from a connection and go to it, below uvicorn's reading of HTTP.

What is written in one turn of the event loop goes out in one write. uvicorn writes the head of an answer
and its body one by one, and the loop sends each at once: two calls of the system, each of which wakes the
client. Events of a stream that are there together share a write as well.

httptools, which reads a request in a fifth of the time that h11 takes, has no bound of its own for a head.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_MOST = 65_536
"""Bytes before a request's head is complete, or between two pieces of its body."""
HELD_MOST = 65_536
"""Bytes. More than that goes at once, so that the loop can say when its client does not keep up."""


class Protocol(HttpToolsProtocol):
    """uvicorn's, with its writes gathered and heads bounded."""

    _unread = 0
    """Bytes that came and have not made a head or a piece of a body so far."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        gathered = Gathered(cast(asyncio.Transport, transport))
        super().connection_made(cast(asyncio.Transport, gathered))

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        super().data_received(data)
        if self._unread > HEAD_MOST and not self.transport.is_closing():
            self.send_400_response(f"The head of a request must not pass {HEAD_MOST} bytes.")

    def on_headers_complete(self) -> None:
        self._unread = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)


class Gathered:
    """A transport that holds what it is given until the turn ends; all else is done by the one below."""

    def __init__(self, below: asyncio.Transport) -> None:
        self._below = below
        self._soon = asyncio.get_running_loop().call_soon
        self._held: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)

    def write(self, data: bytes) -> None:
        if not self._held:
            self._soon(self._flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > HELD_MOST:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._below.close()

    def _flush(self) -> None:
        held, self._held, self._size = self._held, [], 0
        if held and not self._below.is_closing():  # else the client has left meanwhile
            self._below.writelines(held)
