"""Watching: what a process and the store did meanwhile: CPU, memory, round trips, the commands themselves."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from redis.asyncio import Redis

_TICK = os.sysconf("SC_CLK_TCK")
_LINE = re.compile(rb"^\+([0-9.]+) \[\d+ (\S+)\] (.*)$")
_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(rb"\\(x[0-9a-f]{2}|.)", re.DOTALL)
_NAMED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}
_NOT_ASKED_FOR = frozenset(
    (b"ping", b"hello", b"client", b"select", b"auth", b"monitor", b"info", b"subscribe", b"blpop")
)


def cpu_s(*pids: int) -> float:
    """Seconds of processor that processes have used so far."""
    used = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used += int(fields[11]) + int(fields[12])
    return used / _TICK


def resident_mb(pid: int) -> float:
    """Memory of one process that is in RAM, in megabytes of a million bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def reads(redis: "Redis") -> int:
    """How often the store has read from its clients: a pipeline that fits into a packet is one round trip."""
    return int((await redis.info("stats"))["total_reads_processed"])


async def store_bytes(redis: "Redis") -> int:
    return int((await redis.info("memory"))["used_memory"])


class Commands:
    """Commands as clients sent them, oldest first; what scripts do in the store is not among them."""

    def __init__(self) -> None:
        self.seen: list[list[bytes]] = []
        self.at: list[float] = []
        """When each came, by the store's clock, in seconds."""

    def hear(self, line: bytes) -> None:
        found = _LINE.match(line.rstrip(b"\r\n"))
        if found is None or found[2] == b"lua":
            return
        words = [_ESCAPED.sub(_plain, word) for word in _WORD.findall(found[3])]
        if words[0].lower() not in _NOT_ASKED_FOR:
            self.seen.append(words)
            self.at.append(float(found[1]))

    @property
    def scripts(self) -> list[list[bytes]]:
        return [words for words in self.seen if words[0].lower() == b"evalsha"]


@asynccontextmanager
async def commands(socket: Path) -> AsyncIterator[Commands]:
    """Everything that the store is sent within the block."""
    heard = Commands()
    reader, writer = await asyncio.open_unix_connection(str(socket), limit=1 << 24)
    writer.write(b"MONITOR\r\n")
    await reader.readline()
    try:
        yield heard
        writer.write(b"PING\r\n")
        while not (line := await reader.readline()).startswith(b"+PONG"):
            heard.hear(line)
    finally:
        writer.close()


def _plain(escaped: "re.Match[bytes]") -> bytes:
    word = escaped[1]
    if word[:1] == b"x" and len(word) == 3:
        return bytes([int(word[1:], 16)])
    return _NAMED.get(word, word)
