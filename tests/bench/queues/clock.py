"""Clock: a page of memory that processes share, on which jobs note that they have begun.

Noting costs the job nothing that would count: no round trip, no system call. Each worker
process has a slot of its own; the clock is the system's monotonic one, the same in all.
"""

import mmap
import struct
import time
from pathlib import Path

SLOTS = 8
_ENTRY = struct.Struct("=QQ")


class Clock:
    """How many jobs have begun, and when the last one did."""

    def __init__(self, file: Path, slot: int = 0) -> None:
        with file.open("r+b") as opened:
            self._page = mmap.mmap(opened.fileno(), SLOTS * _ENTRY.size)
        self._at = slot * _ENTRY.size
        self._count = 0

    @classmethod
    def create(cls, file: Path) -> "Clock":
        file.write_bytes(bytes(SLOTS * _ENTRY.size))
        return cls(file)

    def note(self) -> None:
        """A job begins."""
        self._count += 1
        _ENTRY.pack_into(self._page, self._at, self._count, time.monotonic_ns())

    def total(self) -> int:
        return sum(count for count, _ in self._entries())

    def last(self) -> int:
        """When the last one began, in nanoseconds."""
        return max(at for _, at in self._entries())

    def _entries(self) -> list[tuple[int, int]]:
        return list(_ENTRY.iter_unpack(self._page[:]))
