"""Transport: what is written in one turn goes out in one write, and no head is endless."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from service.http.transport import HEAD_MOST, HELD_MOST, Gathered, HttpProtocol

pytestmark = pytest.mark.anyio

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Below:
    """A transport that notes each time it is given something."""

    def __init__(self) -> None:
        self.given: list[bytes] = []
        self.closed = False

    def writelines(self, pieces: list[bytes]) -> None:
        self.given.append(b"".join(pieces))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def below() -> Below:
    return Below()


@pytest.fixture
async def gathered(below: Below) -> Gathered:
    return Gathered(cast(asyncio.Transport, below))


async def test_what_is_written_in_one_turn_goes_in_one_write(below: Below, gathered: Gathered) -> None:
    gathered.write(b"head ")
    gathered.write(b"body")
    assert below.given == []
    await asyncio.sleep(0)
    assert below.given == [b"head body"]
    gathered.write(b"next")
    await asyncio.sleep(0)
    assert below.given == [b"head body", b"next"]


async def test_what_is_much_goes_at_once(below: Below, gathered: Gathered) -> None:
    gathered.write(b"head ")
    gathered.write(b"x" * HELD_MOST)
    assert below.given == [b"head " + b"x" * HELD_MOST]
    await asyncio.sleep(0)
    assert len(below.given) == 1


async def test_what_was_written_goes_before_the_close(below: Below, gathered: Gathered) -> None:
    gathered.write(b"last words")
    gathered.close()
    assert below.given == [b"last words"]
    assert below.closed


async def test_nothing_is_written_to_who_has_left(below: Below, gathered: Gathered) -> None:
    gathered.write(b"too late")
    below.closed = True
    await asyncio.sleep(0)
    assert below.given == []


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the length of what came; of what is slow in a moment."""
    if scope["path"] == "/slow":
        await asyncio.sleep(0.2)
    length, more = 0, True
    while more:
        event = await receive()
        length += len(event.get("body", b""))
        more = event.get("more_body", False)
    body = b"%s %d" % (scope["path"].encode(), length)
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    """A connection to a server that reads HTTP as ours does."""
    config = uvicorn.Config(_echo, http=HttpProtocol, ws="none", lifespan="off", log_config=None)
    config.load()
    loop, state = asyncio.get_running_loop(), ServerState()

    def protocol() -> Any:
        return HttpProtocol(config=config, server_state=state, app_state={})

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    yield reader, writer
    writer.close()
    server.close()
    await server.wait_closed()


async def answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        return head.split(b"\r\n")[0] + b": " + await reader.readexactly(length)


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET /", b"path"),
        (b"GET / HTTP/1.1\r\nX-Long: ", b"value"),
        (b"GET / HTTP/1.1\r\nX", b"name"),
        (b"GET / HTTP/1.1\r\n", b"X-Many: header\r\n"),
    ],
)
async def test_a_head_without_end_is_refused(line: Line, begin: bytes, more: bytes) -> None:
    """None of this is kept for ever. No more is sent than is read, so that the answer is not lost."""
    reader, writer = line
    sent = (begin + more * HEAD_MOST)[: HEAD_MOST + len(begin)]
    for at in range(0, len(sent), 1000):
        writer.write(sent[at : at + 1000])
        await asyncio.sleep(0)
    told = await answer(reader)
    assert told.startswith(b"HTTP/1.1 400")
    assert str(HEAD_MOST).encode() in told
    assert await reader.read() == b""


async def test_a_chunk_that_never_begins_ends_the_connection(line: Line) -> None:
    _, writer = line
    writer.write(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;")

    async def go_on() -> None:
        for _ in range(HEAD_MOST):
            writer.write(b"extension" * 100)
            await writer.drain()
            await asyncio.sleep(0)

    with pytest.raises(ConnectionError):
        await go_on()


async def test_a_long_body_is_taken_in_either_form(line: Line) -> None:
    reader, writer = line
    piece = b"x" * 50_000
    writer.write(b"POST /whole HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (40 * len(piece)))
    for _ in range(40):
        writer.write(piece)
        await asyncio.sleep(0)
    assert await answer(reader) == b"HTTP/1.1 200 OK: /whole 2000000"
    writer.write(b"POST /pieces HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(40):
        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await asyncio.sleep(0)
    writer.write(b"0\r\n\r\n")
    assert await answer(reader) == b"HTTP/1.1 200 OK: /pieces 2000000"


OFFERS = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"


@pytest.mark.parametrize("apart", [False, True])
async def test_a_request_that_offers_another_protocol_is_answered_in_this_one(
    line: Line, apart: bool
) -> None:
    """With its body, in whatever pieces it comes, and with the requests behind it."""
    reader, writer = line
    for head, body in (
        (b"POST /whole HTTP/1.1\r\nContent-Length: 5\r\n" + OFFERS, b"hello"),
        (b"POST /pieces HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + OFFERS, b"5\r\nhello\r\n0\r\n\r\n"),
        (b"GET /none HTTP/1.1\r\n" + OFFERS, b""),
        (b"GET /plain HTTP/1.1\r\n", b""),
    ):
        writer.write(head + b"\r\n")
        if apart:
            await asyncio.sleep(0.02)
        writer.write(body)
    assert [await answer(reader) for _ in range(4)] == [
        b"HTTP/1.1 200 OK: /whole 5",
        b"HTTP/1.1 200 OK: /pieces 5",
        b"HTTP/1.1 200 OK: /none 0",
        b"HTTP/1.1 200 OK: /plain 0",
    ]


@pytest.mark.parametrize("head", [b"GET /last HTTP/1.0\r\n", b"GET /last HTTP/1.1\r\nConnection: close\r\n"])
async def test_an_offer_with_the_last_request_is_answered_and_the_connection_ends(
    line: Line, head: bytes
) -> None:
    reader, writer = line
    writer.write(head + OFFERS + b"\r\n")
    assert await answer(reader) == b"HTTP/1.1 200 OK: /last 0"
    assert await reader.read() == b""


async def test_a_tunnel_is_refused(line: Line) -> None:
    reader, writer = line
    writer.write(b"CONNECT example.org:80 HTTP/1.1\r\nHost: example.org\r\n\r\n")
    assert (await answer(reader)).startswith(b"HTTP/1.1 400")


async def test_a_long_head_is_no_answer_to_the_request_before(line: Line) -> None:
    reader, writer = line
    writer.write(b"GET /slow HTTP/1.1\r\n\r\n")
    await asyncio.sleep(0.02)
    writer.write(b"GET /" + b"x" * HEAD_MOST)
    assert await reader.read() == b""


async def test_requests_that_come_together_are_answered_in_order(line: Line) -> None:
    reader, writer = line
    writer.write(b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % n for n in range(20)))
    assert [await answer(reader) for _ in range(20)] == [b"HTTP/1.1 200 OK: /%d 0" % n for n in range(20)]
