"""Load: HTTP requests over kept connections, as many at a time as asked, without a library in the way."""

import asyncio
import time
from collections.abc import Callable


class Connection:
    """One connection to a server on this machine; it sends bytes that are ready and reads one answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, request: bytes) -> bytes:
        """The body of the answer; anything but 200 is an error of the bench."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode("latin-1"))
        lower = head.lower()
        at = lower.index(b"content-length:") + 15
        return await self.reader.readexactly(int(lower[at : lower.index(b"\r\n", at)]))


def request(method: str, path: str, body: bytes = b"", token: str = "") -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if token:
        head.append(f"Authorization: Bearer {token}")
    if body:
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, "", ""]).encode() + body


async def rate(port: int, make: Callable[[int], bytes], clients: int, seconds: float) -> float:
    """Requests per second of so many clients; `make` gives the n-th request."""
    connections = [await Connection.open(port) for _ in range(clients)]
    done = 0
    end = time.perf_counter() + seconds

    async def run(connection: Connection) -> None:
        nonlocal done
        while time.perf_counter() < end:
            await connection.ask(make(done))
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(run(connection) for connection in connections))
    took = time.perf_counter() - began
    for connection in connections:
        connection.writer.close()
    return done / took
