"""Shared: what many ask for at the same moment is done once, for all of them.

A thousand listeners of one feed wake together and want the same: the newest id, the same gap of
the stream, the same change as text. Each costs one of it, whatever their number.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar, cast

Found = TypeVar("Found")


class Asking:
    """Questions whose answer has to be fresh: who asks while one is under way shares the next, not that.

    At most `at_once` are under way, so that listeners leave the store's other connections to those who write.
    """

    def __init__(self, at_once: int) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._waiting: dict[Hashable, asyncio.Task[Any]] = {}
        self._asked: dict[Hashable, asyncio.Task[Any]] = {}

    async def ask(self, name: Hashable, act: Callable[[], Awaitable[Found]]) -> Found:
        """What the act gives; one that is waiting for its turn under the same name is shared."""
        task = self._waiting.get(name)
        if task is None:
            task = self._waiting[name] = asyncio.ensure_future(self._in_turn(name, act))
        return cast(Found, await asyncio.shield(task))

    async def _in_turn(self, name: Hashable, act: Callable[[], Awaitable[Found]]) -> Found:
        if (before := self._asked.get(name)) is not None:
            await asyncio.wait({before})
        async with self._turns:
            self._asked[name] = self._waiting.pop(name)
            try:
                return await act()
            finally:
                del self._asked[name]


class Made:
    """Texts that stay the same once they are made; the newest are kept, so many bytes of them."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._making: dict[Hashable, asyncio.Task[bytes]] = {}

    def kept(self, name: Hashable) -> bytes | None:
        return self._kept.get(name)

    def keep(self, name: Hashable, text: bytes) -> bytes:
        if name not in self._kept:
            self._bytes += len(text)
            self._kept[name] = text
            while self._bytes > self._most and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return text

    async def get(self, name: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """The text of that name, made by whoever asks first; who leaves meanwhile stops it for nobody."""
        found = self.kept(name)
        if found is not None:
            return found
        task = self._making.get(name)
        if task is None:
            task = self._making[name] = asyncio.ensure_future(self._make(name, make))
        return await asyncio.shield(task)

    async def _make(self, name: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        try:
            return self.keep(name, await make())
        finally:
            del self._making[name]
