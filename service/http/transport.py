"""Transport: how bytes come from a connection and go to it, below uvicorn's reading of HTTP.

What is written in one turn of the event loop goes out in one write. uvicorn writes the head of an answer
and its body one by one, and the loop sends each at once: two calls of the system, each of which wakes the
client. Events of a stream that are there together share a write as well.

httptools reads a request in a fifth of the time that h11 takes. It has no bound of its own for a head, and
takes whatever follows a head with `Upgrade` for another protocol: some clients offer HTTP/2 in that way with
each request, body and all, and are to be answered in the one they have.
"""

import asyncio
import sys
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_MOST = 65_536
"""Bytes that may come, besides those of one reading, before a head is complete or a body goes on."""
HELD_MOST = 65_536
"""Bytes. More than that goes at once, so that the loop can say when its client does not keep up."""


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's, with its writes gathered, heads bounded, and offers of other protocols passed over."""

    _unread = 0
    """Bytes that came and have not made a head or a piece of a body so far."""
    _data = b""
    """What is being read."""
    _again = b""
    """What is to be read next: a request that made an offer, without it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        gathered = Gathered(cast(asyncio.Transport, transport))
        super().connection_made(cast(asyncio.Transport, gathered))

    def data_received(self, data: bytes) -> None:
        while data:
            self._unread += len(data)
            self._data, self._again = data, b""
            super().data_received(data)
            data = self._again
        if self._unread > HEAD_MOST and not self.transport.is_closing():
            self._refuse_head()

    def _refuse_head(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()  # what is said now would be taken for the answer to the request before
        else:
            self.send_400_response(f"The head of a request must not pass {HEAD_MOST} bytes.")

    def on_headers_complete(self) -> None:
        self._unread = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def _should_upgrade(self) -> bool:
        """Where this is so uvicorn begins nothing, and has the request handled by the next."""
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"

    def handle_websocket_upgrade(self) -> None:
        """Has the request read once more, without its offer, and by a parser that has not seen it end."""
        stopped = cast(httptools.HttpParserUpgrade, sys.exc_info()[1])
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        asked = (self.scope["method"].encode(), self.url, self.scope["http_version"].encode())
        head = [b"%s %s HTTP/%s\r\n" % asked]
        head += [b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        self._again = b"".join([*head, b"\r\n", self._data[stopped.args[0] :]])


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
