"""Our commands' HTTP client: JSON there and back, events as they come, and a reason when there is none."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.client import Client, Event, Refused


class Server:
    """Says the same bytes to everybody, in the pieces given, and remembers what it was asked."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.asked = b""
        self._pieces = pieces

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((line for line in head.split(b"\r\n") if line.startswith(b"Content-Length")), b":0")
        self.asked = head + await reader.readexactly(int(length.partition(b":")[2]))
        for piece in self._pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()


@asynccontextmanager
async def serving(*pieces: bytes) -> AsyncIterator[tuple[Server, Client]]:
    server = Server(list(pieces))
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    async with listening, Client(url_of(listening)) as client:
        yield server, client


def url_of(listening: asyncio.Server) -> str:
    return f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def chunk(body: str) -> bytes:
    return f"{len(body.encode()):x}\r\n".encode() + body.encode() + b"\r\n"


STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def test_a_question_is_answered_with_json() -> None:
    async with serving(answer(b'{"id": "block-1"}')) as (server, client):
        assert await client.get("/v1/runs/", agent_id="a b", limit=3) == {"id": "block-1"}
    assert server.asked.startswith(b"GET /v1/runs/?agent_id=a+b&limit=3 HTTP/1.1\r\n")


async def test_a_body_is_sent_as_json() -> None:
    async with serving(answer(b"null")) as (server, client):
        assert await client.post("/v1/blocks/", {"value": "über"}) is None
    head, _, body = server.asked.partition(b"\r\n\r\n")
    assert b"POST /v1/blocks/ HTTP/1.1" in head
    assert b"Content-Type: application/json" in head
    assert json.loads(body) == {"value": "über"}


@pytest.mark.parametrize(
    ("body", "told"), [(b'{"detail": "limit: too small"}', "limit: too small"), (b"oh dear", "oh dear")]
)
async def test_a_refusal_says_what_the_server_said(body: bytes, told: str) -> None:
    async with serving(answer(body, "422 Unprocessable Entity")) as (_, client):
        with pytest.raises(Refused, match=f"GET /v1/blocks/ was answered with 422: {told}"):
            await client.get("/v1/blocks/")
        with pytest.raises(Refused, match=f"answered with 422: {told}"):
            await anext(client.events("/v1/changes"))


async def test_nobody_there_is_a_refusal() -> None:
    async with serving() as (_, client):
        with pytest.raises(Refused, match="does not answer"):
            await client.get("/v1/health/")
    async with Client("http://127.0.0.1:1") as nobody:
        with pytest.raises(Refused, match="does not answer"):
            await nobody.get("/v1/health/")


async def test_silence_is_a_refusal_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.client.ANSWER_S", 0.05)
    silent = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    listening = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with listening:
        with pytest.raises(Refused, match="no answer within"):
            async with Client(url_of(listening)) as client:
                await client.get("/v1/health/")
        silent.set()


async def test_events_are_read_however_they_are_cut() -> None:
    first = 'id: 1-1\nevent: change\ndata: {"a": "ü: b"}\n\n'
    body = f": still here\nid: 1-0\n\n{first}id: 1-2\nevent: resync\n\n"
    wanted = [
        Event("1-0", "", ""),
        Event("1-1", "change", '{"a": "ü: b"}'),
        Event("1-2", "resync", ""),
    ]
    for size in (1, 7, 1000):
        raw = body.encode()
        parts = [raw[at : at + size] for at in range(0, len(raw), size)]
        pieces = [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]
        async with serving(STREAM, *pieces, b"0\r\n\r\n") as (_, client):
            assert [event async for event in client.events("/v1/changes")] == wanted


async def test_an_event_is_there_before_the_next_one() -> None:
    async with serving(STREAM, chunk("id: 1-1\n\n")) as (_, client):
        events = client.events("/v1/changes")
        assert await anext(events) == Event("1-1", "", "")
        with pytest.raises(Refused):  # broken off in the middle of the stream
            await anext(events)
