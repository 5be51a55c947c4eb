"""The store's connection: one typed wrapper per command, so casts and redis's own errors live here alone.

Texts go in and come out as str. A store that does not answer is StoreUnreachable
to callers, who decide for themselves what that means to them.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from time import monotonic, perf_counter
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    MasterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from service.errors import StoreUnreachable, Unconfirmed
from service.store.batching import READING, WRITING, Batches, Command
from service.store.connections import drop_idle, pool_of
from service.store.keys import key
from service.store.scripts import Script, load

Reply = list[Any]
_AWAY = (ConnectionError, TimeoutError, BusyLoadingError, ReadOnlyError, MasterDownError, AuthenticationError)

_REFUSING = ("MISCONF", "NOREPLICAS", "BUSY")
"""Errors that redis-py has no name for: the disk is full, replicas are gone, a script runs too long."""


def _nothing(_seconds: float, _error: str | None) -> None:
    pass


class StoreClient:
    """Commands on one store, for any workspace.

    `redis` is given by tests that stand a fake in its place; everybody else
    says `StoreClient.connect(url)`. `full_at`: when, on the monotonic clock, the
    store last refused a write because its memory was full.
    """

    def __init__(self, redis: "Redis", replicas: int = 0, wait_ms: int = 1000) -> None:
        self._redis = redis
        self._reading = Batches(redis, READING)
        self._writing = Batches(redis, WRITING)
        self._replicas = replicas
        self._wait_ms = wait_ms
        self._scripts: dict[str, Script] = {}
        self.full_at: float | None = None
        self.on_answer: Callable[[float, str | None], None] = _nothing
        """Is told of every command: the seconds it took, waiting for a line included, and its error."""

    @classmethod
    def connect(
        cls, url: str, connections: int = 64, *, replicas: int = 0, wait_ms: int = 1000
    ) -> "StoreClient":
        """A client with at most `connections` connections, made when needed. Raises ValueError for a bad URL.

        What a URL may be, and when a connection gives up: connections.py. With `replicas` each write
        waits until so many have it, for `wait_ms` at the most, and is Unconfirmed if they have not.
        """
        return cls(Redis(connection_pool=pool_of(url, connections)), replicas, wait_ms)

    async def close(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def run(self, name: str, workspace: str, *args: str | int) -> Reply:
        """Runs the script `name` (service/store/lua) in one round trip and gives its reply."""
        return cast(Reply, await self.run_on(name, [key(workspace, "meta")], *args))

    async def run_on(self, name: str, keys: Sequence[str], *args: str | int) -> Any:
        """The same for a script whose keys stand outside of workspaces."""
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = load(name)
        send = self._confirmed if script.writes else self._reading.send

        async def evaluate() -> Any:
            try:
                return await send(lambda redis: redis.evalsha(script.sha, len(keys), *keys, *args))
            except NoScriptError:
                return await send(lambda redis: redis.eval(script.source, len(keys), *keys, *args))

        return await self._guard(evaluate)

    async def _read(self, command: Command) -> Any:
        return await self._guard(lambda: self._reading.send(command))

    async def _write(self, command: Command) -> Any:
        return await self._guard(lambda: self._confirmed(command))

    async def _confirmed(self, command: Command) -> Any:
        """A write and, in the same round trip, the waiting for its replicas.

        On one connection: WAIT speaks of what its own connection wrote last.
        """
        if self._replicas == 0:
            return await self._writing.send(command)
        pipe = self._redis.pipeline(transaction=False)
        command(pipe)
        pipe.execute_command("WAIT", self._replicas, self._wait_ms)
        reply, reached = await pipe.execute(raise_on_error=False)
        for found in (reply, reached):
            if isinstance(found, Exception):
                raise found
        if reached < self._replicas:
            raise Unconfirmed(self._replicas, reached, self._wait_ms)
        return reply

    async def _guard(self, command: Callable[[], Awaitable[Any]]) -> Any:
        began, error = perf_counter(), None
        try:
            return await command()
        except _AWAY as failure:
            error = type(failure).__name__
            await drop_idle(self._redis.connection_pool)
            raise StoreUnreachable(f"the store does not answer: {error}") from failure
        except OutOfMemoryError as failure:
            self.full_at = monotonic()
            error = type(failure).__name__
            raise StoreUnreachable("the store refuses writes: its memory is full") from failure
        except ResponseError as failure:
            if str(failure).startswith(_REFUSING):
                error = str(failure).split()[0]
                raise StoreUnreachable(f"the store refuses writes: {error}") from failure
            raise
        finally:
            self.on_answer(perf_counter() - began, error)

    async def get(self, name: str) -> str | None:
        return cast("str | None", await self._read(lambda redis: redis.get(name)))

    async def put_if_absent(self, name: str, value: str) -> bool:
        return bool(await self._write(lambda redis: redis.set(name, value, nx=True)))

    async def put(self, name: str, value: str, ms: int) -> None:
        """A value that goes by itself."""
        await self._write(lambda redis: redis.set(name, value, px=ms))

    async def put_or_get(self, name: str, value: str, ms: int) -> str | None:
        """Puts a value that was not there, and goes by itself; gives back the one that was."""
        found = await self._write(lambda redis: redis.set(name, value, nx=True, get=True, px=ms))
        return cast("str | None", found)

    async def hash(self, name: str) -> dict[str, str]:
        return cast(dict[str, str], await self._read(lambda redis: redis.hgetall(name)))

    async def field(self, name: str, field: str) -> str | None:
        return cast("str | None", await self._read(lambda redis: redis.hget(name, field)))

    async def drop_field(self, name: str, field: str) -> bool:
        return bool(await self._write(lambda redis: redis.hdel(name, field)))

    async def fields(self, name: str, fields: Sequence[str]) -> list[str | None]:
        if not fields:
            return []
        found = await self._read(lambda redis: redis.hmget(name, list(fields)))
        return cast("list[str | None]", found)

    async def drop_member(self, name: str, member: str) -> None:
        await self._write(lambda redis: redis.srem(name, member))

    async def members(self, name: str) -> set[str]:
        return cast(set[str], await self._read(lambda redis: redis.smembers(name)))

    async def add_member(self, name: str, member: str) -> None:
        await self._write(lambda redis: redis.sadd(name, member))

    async def items(self, name: str) -> list[str]:
        return cast(list[str], await self._read(lambda redis: redis.lrange(name, 0, -1)))

    async def count(self, name: str) -> int:
        return cast(int, await self._read(lambda redis: redis.zcard(name)))

    async def score(self, name: str, member: str) -> float | None:
        return cast("float | None", await self._read(lambda redis: redis.zscore(name, member)))

    async def member_at(self, name: str, rank: int) -> str | None:
        """The member of a sorted set that has so many before it."""
        found = await self._read(lambda redis: redis.zrange(name, rank, rank))
        return cast(str, found[0]) if found else None

    async def score_at(self, name: str, rank: int) -> float | None:
        found = await self._read(lambda redis: redis.zrange(name, rank, rank, withscores=True))
        return cast(float, found[0][1]) if found else None

    async def range(
        self,
        name: str,
        low: str = "-inf",
        high: str = "+inf",
        *,
        descending: bool = False,
        limit: int | None = None,
    ) -> list[tuple[str, float]]:
        """Members of a sorted set between two scores (redis's notation), with their scores."""
        start, count = (None, None) if limit is None else (0, limit)
        if descending:
            found = await self._read(
                lambda redis: redis.zrevrangebyscore(name, high, low, start=start, num=count, withscores=True)
            )
        else:
            found = await self._read(
                lambda redis: redis.zrangebyscore(name, low, high, start=start, num=count, withscores=True)
            )
        return cast("list[tuple[str, float]]", found)

    async def ranges(
        self, names: Sequence[str], low: str, high: str, *, descending: bool, limit: int
    ) -> list[list[tuple[str, float]]]:
        """As `range`, of several sorted sets in one round trip."""
        return await self._each(names, ("ZRANGEBYSCORE", "ZREVRANGEBYSCORE"), low, high, descending, limit)

    async def lex_ranges(
        self, names: Sequence[str], low: str, high: str, *, descending: bool, limit: int
    ) -> list[list[str]]:
        """Members of sorted sets of one score between two texts (redis's notation), in one round trip."""
        return await self._each(names, ("ZRANGEBYLEX", "ZREVRANGEBYLEX"), low, high, descending, limit)

    async def _each(
        self, names: Sequence[str], verbs: tuple[str, str], low: str, high: str, descending: bool, limit: int
    ) -> list[Any]:
        verb, first, last = (verbs[1], high, low) if descending else (verbs[0], low, high)
        return await self.together([(verb, name, first, last, str(limit)) for name in names])

    async def scores(self, names: Sequence[str], members: Sequence[str]) -> list[list[float | None]]:
        """The scores of the members in each of the sorted sets, in one round trip."""
        return await self.together([("ZMSCORE", name, *members) for name in names])

    async def overlap(self, names: Sequence[str]) -> int:
        """How many members all of the sorted sets have; the store takes as long as the smallest asks."""
        return cast(int, (await self.together([("ZINTERCARD", *names)]))[0])

    async def entries(
        self,
        name: str,
        after: str = "-",
        upto: str = "+",
        limit: int | None = None,
        *,
        descending: bool = False,
    ) -> list[tuple[str, dict[str, str]]]:
        """Entries of a stream between two ids (redis's notation: `(id` is exclusive), by id.

        On a connection of their own: they may be many and long, and nobody else should wait for them.
        """
        if descending:
            found = await self._guard(lambda: self._redis.xrevrange(name, max=upto, min=after, count=limit))
        else:
            found = await self._guard(lambda: self._redis.xrange(name, min=after, max=upto, count=limit))
        return [(cast(str, id), cast(dict[str, str], fields)) for id, fields in found]

    async def entries_with_hash(
        self, name: str, after: str, limit: int, hash: str
    ) -> tuple[list[tuple[str, dict[str, str]]], dict[str, str]]:
        """Entries as above, and a hash as it is behind them, in one round trip."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.xrange(name, min=after, count=limit)
        pipe.hgetall(hash)
        found, fields = await self._guard(pipe.execute)
        return [(cast(str, id), cast(dict[str, str], entry)) for id, entry in found], fields

    async def newest(self, name: str) -> str | None:
        """The id of a stream's last entry."""
        found = await self._read(lambda redis: redis.xrevrange(name, count=1))
        return cast(str, found[0][0]) if found else None

    async def hashes(self, names: Sequence[str]) -> list[dict[str, str]]:
        """Several hashes in one round trip, in order; {} for one that does not exist."""
        if not names:
            return []
        return cast(list[dict[str, str]], await self.together([("HGETALL", name) for name in names]))

    async def together(self, commands: Sequence[tuple[str, ...]]) -> list[Any]:
        """Several reading commands in one round trip, in order."""
        pipe = self._redis.pipeline(transaction=False)
        for name, *args in commands:
            _COMMANDS[name](pipe, args)
        return cast(list[Any], await self._guard(pipe.execute))

    async def info(self) -> Mapping[str, Any]:
        """What the server says of itself; {} where it does not tell (managed ones, ACLs)."""
        try:
            return cast(Mapping[str, Any], await self._guard(self._redis.info))
        except ResponseError:
            return {}

    async def memory(self) -> tuple[int, int] | None:
        """Bytes in use that count against the store's bound, and that bound (0: none or not told).

        None where the server tells neither of its two ways (managed ones, ACLs).
        """
        try:
            told = await self._guard(lambda: self._redis.info("memory"))
            return told["used_memory"] - told.get("mem_not_counted_for_evict", 0), told.get("maxmemory", 0)
        except (ResponseError, KeyError):
            pass
        try:
            return int((await self._guard(self._redis.memory_stats))["total.allocated"]), 0
        except (ResponseError, KeyError):
            return None

    async def setting(self, name: str) -> str | None:
        """A server setting, or None where the server does not tell (managed services often do not)."""
        try:
            found = await self._guard(lambda: self._redis.config_get(name))
        except RedisError:
            return None
        return cast("str | None", found.get(name))

    async def walk(self, bite: int) -> AsyncIterator[str]:
        """The name of every key, once, a bite at a time."""
        cursor, seen = 0, set[str]()
        while True:
            cursor, names = await self._guard(partial(self._redis.scan, cursor, count=bite))
            for name in names:
                if name not in seen:
                    seen.add(name)
                    yield name
            if cursor == 0:
                return

    async def sizes(self, names: Sequence[str]) -> list[int | None]:
        """Bytes that each key takes; None for one that has gone."""
        pipe = self._redis.pipeline(transaction=False)
        for name in names:
            pipe.memory_usage(name)
        return cast("list[int | None]", await self._guard(pipe.execute))

    async def ping(self) -> None:
        await self._guard(lambda: cast(Awaitable[Any], self._redis.ping()))

    def pubsub(self) -> PubSub:
        return self._redis.pubsub()


_COMMANDS: dict[str, Callable[[Any, list[str]], Any]] = {
    "HGETALL": lambda pipe, args: pipe.hgetall(args[0]),
    "HGET": lambda pipe, args: pipe.hget(args[0], args[1]),
    "HLEN": lambda pipe, args: pipe.hlen(args[0]),
    "HMGET": lambda pipe, args: pipe.hmget(args[0], args[1:]),
    "SMEMBERS": lambda pipe, args: pipe.smembers(args[0]),
    "ZRANGE": lambda pipe, args: pipe.zrange(args[0], 0, -1),
    "ZCARD": lambda pipe, args: pipe.zcard(args[0]),
    "ZSCORE": lambda pipe, args: pipe.zscore(args[0], args[1]),
    "ZINTERCARD": lambda pipe, args: pipe.zintercard(len(args), args),
    "ZMSCORE": lambda pipe, args: pipe.zmscore(args[0], args[1:]),
    "ZRANGEBYSCORE": lambda pipe, args: pipe.zrangebyscore(
        args[0], args[1], args[2], start=0, num=int(args[3]), withscores=True
    ),
    "ZREVRANGEBYSCORE": lambda pipe, args: pipe.zrevrangebyscore(
        args[0], args[1], args[2], start=0, num=int(args[3]), withscores=True
    ),
    "ZRANGEBYLEX": lambda pipe, args: pipe.zrangebylex(args[0], args[1], args[2], start=0, num=int(args[3])),
    "ZREVRANGEBYLEX": lambda pipe, args: pipe.zrevrangebylex(
        args[0], args[1], args[2], start=0, num=int(args[3])
    ),
    "LRANGE": lambda pipe, args: pipe.lrange(args[0], 0, -1),
    "GET": lambda pipe, args: pipe.get(args[0]),
}


def flat(values: Sequence[str]) -> dict[str, str]:
    """A hash that a script gave back as {field, value, field, value, …}."""
    return dict(zip(values[::2], values[1::2], strict=True))
