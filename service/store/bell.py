"""Bell: one pub/sub connection per process, shared by all who wait for something to happen.

Pub/sub forgets: a listener that must miss nothing reads the truth (a stream, a
hash) after it began to listen, and again whenever it gets None, which says that
messages may have been missed while the connection was gone. A listener that
does not read for long loses messages too, and is told so in the same way.

A connection on which nothing came for a while is asked for a sign of life: one whose other
end is gone without a word looks just like one that has nothing to say.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

import structlog
from redis.exceptions import ConnectionError, RedisError

from service.store.client import StoreClient

log = structlog.get_logger()
WAITING_MOST = 1000
RETRY_S = 0.2
CONFIRMED_S = 5.0
QUIET_S = 5.0
ASKED = "bell"


class Bell:
    """Listens on channels for many waiters over one connection. `close` ends it."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store
        self._pubsub = store.pubsub()
        self._waiters: dict[str, dict[str | None, set[asyncio.Queue[str | None]]]] = {}
        self._watchers: dict[str, list[Callable[[], None]]] = {}
        self._confirmed: dict[str, asyncio.Event] = {}
        self._hearing: set[str] = set()
        self._asking: set[asyncio.Task[None]] = set()
        self._connecting = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listen(
        self, channel: str, topic: str | None = None
    ) -> AsyncIterator["asyncio.Queue[str | None]"]:
        """A queue of the channel's messages, from before this returns; None: some may be missing.

        With a topic only of those whose first word it is, so that many may wait for one thing each.

        None also comes first of all where nobody has listened to the channel before.
        """
        queue: asyncio.Queue[str | None] = asyncio.Queue(WAITING_MOST)
        waiters = self._waiters.setdefault(channel, {}).setdefault(topic, set())
        waiters.add(queue)
        try:
            await self._subscribe(channel)
            yield queue
        finally:
            waiters.discard(queue)
            if not waiters:
                self._waiters[channel].pop(topic, None)

    def watch(self, channel: str, tell: Callable[[], None]) -> None:
        """Calls `tell` at every ring of the channel, and whenever rings may have been missed.

        For those who keep something that a ring makes old: to be kept only while `hears` says so.
        """
        self._watchers.setdefault(channel, []).append(tell)
        self._begin(channel)

    def hears(self, channel: str) -> bool:
        """Whether every ring of the channel comes through at present, as far as one can know."""
        return channel in self._hearing

    async def _subscribe(self, channel: str) -> None:
        """Asks for a channel once and waits until the store has confirmed it, so nothing falls between.

        The asking is a task of its own: a listener that is cancelled here must not take it along,
        for others wait for the same confirmation.
        """
        self._begin(channel)
        with suppress(TimeoutError):
            async with asyncio.timeout(CONFIRMED_S):  # wait_for may lose a cancellation that comes just then
                await self._confirmed[channel].wait()

    def _begin(self, channel: str) -> None:
        if channel not in self._confirmed:
            self._confirmed[channel] = asyncio.Event()
            task = asyncio.create_task(self._ask(channel), name="bell.ask")
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _ask(self, channel: str) -> None:
        async with self._connecting:
            with suppress(RedisError, OSError):  # the reader makes a new connection and asks for everything
                await self._pubsub.subscribe(channel)
        self._reader = self._reader or asyncio.create_task(self._read(), name="bell")

    async def close(self) -> None:
        self._hearing.clear()
        for task in [*self._asking, *([self._reader] if self._reader else [])]:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._drop()

    async def _drop(self) -> None:
        with suppress(RedisError, OSError):
            await self._pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _read(self) -> None:
        asked = False
        while True:
            try:
                message = await self._pubsub.get_message(timeout=QUIET_S)
                if message is None:
                    await self._ask_for_life(asked)
            except (RedisError, OSError, RuntimeError) as failure:
                self._hearing.clear()
                log.warning("bell.lost", error=type(failure).__name__)
                await self._reconnect()
                asked = False
            else:
                asked = message is None
                self._take(message or {"type": "nothing"})

    async def _ask_for_life(self, asked: bool) -> None:
        """Raises ConnectionError when it was asked before, and nothing came."""
        if asked:
            raise ConnectionError(f"nothing came for {2 * QUIET_S:g} s, not even what was asked for")
        await self._pubsub.ping(ASKED)

    def _take(self, message: Mapping[str, str]) -> None:
        if message["type"] == "message":
            self._ring(message["channel"], message["data"])
        elif message["type"] == "subscribe":
            # Only now does the store send everything: what came before may be missing.
            self._confirmed[message["channel"]].set()
            self._hearing.add(message["channel"])
            self._ring(message["channel"], None)

    async def _reconnect(self) -> None:
        """A new connection with every channel there ever was; listeners hear of it when it is confirmed."""
        while not await self._connect():
            pass

    async def _connect(self) -> bool:
        await asyncio.sleep(RETRY_S)
        async with self._connecting:
            await self._drop()
            self._pubsub = self._store.pubsub()
            try:
                await self._pubsub.subscribe(*self._confirmed)
            except (RedisError, OSError):
                return False
        return True

    def _ring(self, channel: str, message: str | None) -> None:
        for tell in self._watchers.get(channel, ()):
            tell()
        topics = self._waiters.get(channel, {})
        topic = None if message is None else message.partition(" ")[0]
        heard = topics.values() if topic is None else (topics.get(None, ()), topics.get(topic, ()))
        for queue in [queue for waiters in heard for queue in waiters]:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                message = None
            queue.put_nowait(message)
