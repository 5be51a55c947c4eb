"""Load: requests to a server on this machine: many, from a process of their own, or one at a time."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.machine import Served
from tests.bench.watching import cpu_s

_LOADER = Path(__file__).with_name("loader.py")


@dataclass(frozen=True)
class Load:
    """What a server made of a load."""

    per_second: float
    cpu_s: float
    """Of the server, per request."""


class Connection:
    """One connection to a server on this machine; it sends bytes that are ready and reads one answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 22))

    async def begin(self, request: bytes) -> bytes:
        """Sends, and gives the head of the answer; anything but 200 is an error of the bench."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError((head + await self.reader.read(2000)).decode("latin-1"))
        return head.lower()

    async def ask(self, request: bytes) -> bytes:
        """The body of the answer."""
        head = await self.begin(request)
        at = head.index(b"content-length:") + 15
        return await self.reader.readexactly(int(head[at : head.index(b"\r\n", at)]))

    def close(self) -> None:
        self.writer.close()


def request(method: str, path: str, body: bytes = b"", token: str = "") -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if token:
        head.append(f"Authorization: Bearer {token}")
    if body:
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, "", ""]).encode() + body


async def load(served: Served, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    """So many clients, each asking again as soon as it is answered; the requests in turn."""
    told = {
        "port": served.port,
        "requests": [one.decode("latin-1") for one in requests],
        "clients": clients,
        "seconds": seconds,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(_LOADER)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    before = cpu_s(served.pid)
    answer, _ = await process.communicate(json.dumps(told).encode() + b"\n")
    used = cpu_s(served.pid) - before
    if process.returncode != 0:
        raise RuntimeError(f"the loader ended with {process.returncode}")
    found = json.loads(answer)
    return Load(found["done"] / found["seconds"], used / max(1, found["done"]))
