"""Filled: a store that a test fills to where it wants, and what a process has held at the most."""

import secrets
from pathlib import Path

from redis import Redis
from redis.exceptions import OutOfMemoryError

from tests.fleet import Server

PIECE = 100_000


class Filled:
    """A server with a bound on its memory, and what another program puts into it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._pieces = 0

    def share(self) -> float:
        """How full it is, by what counts against the bound."""
        with self._server.redis() as client:
            told = client.info("memory")
        return float((told["used_memory"] - told["mem_not_counted_for_evict"]) / told["maxmemory"])

    def to(self, share: float) -> None:
        with self._server.redis() as client:
            while self.share() < share:
                self._put(client, PIECE)

    def to_the_brim(self) -> None:
        """Until it refuses a hundred bytes."""
        with self._server.redis() as client:
            size = PIECE
            while size > 100:
                try:
                    self._put(client, size)
                except OutOfMemoryError:
                    size //= 2

    def empty(self) -> None:
        with self._server.redis() as client:
            for number in range(self._pieces):
                client.delete(f"ballast:{number}")

    def _put(self, client: "Redis", size: int) -> None:
        client.set(f"ballast:{self._pieces}", secrets.token_hex(size // 2))
        self._pieces += 1


def most_held(pid: int) -> int:
    """Bytes of memory that a process of this machine has had at the most, so far."""
    [line] = [one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
