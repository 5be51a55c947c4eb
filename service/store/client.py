"""The store's connection: one typed wrapper per command, so casts and redis's own errors live here alone.

Texts go in and come out as str. A store that does not answer is StoreUnreachable
to callers, who decide for themselves what that means to them.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
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
from service.store.batching import READING, WRITING, Batches
from service.store.connections import Words, asked, drop_idle, pool_of
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
        self._reading = Batches(redis.connection_pool, READING)
        self._writing = Batches(redis.connection_pool, WRITING)
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
        try:
            return await self._send(script, "EVALSHA", script.sha, len(keys), *keys, *args)
        except NoScriptError:
            return await self._send(script, "EVAL", script.source, len(keys), *keys, *args)

    def _send(self, script: Script, *words: str | int) -> Awaitable[Any]:
        if script.rings and not self._replicas:
            return self._guard(self._writing.send(*words, rings=True))
        return self._write(*words) if script.writes else self._read(*words)

    def _read(self, *words: str | int) -> Awaitable[Any]:
        return self._guard(self._reading.send(*words))

    def _write(self, *words: str | int) -> Awaitable[Any]:
        return self._guard(self._confirmed(words) if self._replicas else self._writing.send(*words))

    async def _confirmed(self, words: Words) -> Any:
        """A write and, in the same round trip, the waiting for its replicas.

        On one connection: WAIT speaks of what its own connection wrote last.
        """
        reply, reached = await self._asked([words, ("WAIT", self._replicas, self._wait_ms)])
        if reached < self._replicas:
            raise Unconfirmed(self._replicas, reached, self._wait_ms)
        return reply

    async def _asked(self, commands: Sequence[Words]) -> list[Any]:
        """The answers to several commands in one round trip, on a connection of their own."""
        return await asked(self._redis.connection_pool, commands)

    async def _guard(self, answer: Awaitable[Any]) -> Any:
        began, error = perf_counter(), None
        try:
            return await answer
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
        return cast("str | None", await self._read("GET", name))

    async def put_if_absent(self, name: str, value: str) -> bool:
        return bool(await self._write("SET", name, value, "NX"))

    async def put(self, name: str, value: str, ms: int) -> None:
        """A value that goes by itself."""
        await self._write("SET", name, value, "PX", ms)

    async def put_or_get(self, name: str, value: str, ms: int) -> str | None:
        """Puts a value that was not there, and goes by itself; gives back the one that was."""
        return cast("str | None", await self._write("SET", name, value, "NX", "GET", "PX", ms))

    async def hash(self, name: str) -> dict[str, str]:
        return flat(await self._read("HGETALL", name))

    async def field(self, name: str, field: str) -> str | None:
        return cast("str | None", await self._read("HGET", name, field))

    async def drop_field(self, name: str, field: str) -> bool:
        return bool(await self._write("HDEL", name, field))

    async def fields(self, name: str, fields: Sequence[str]) -> list[str | None]:
        if not fields:
            return []
        return cast("list[str | None]", await self._read("HMGET", name, *fields))

    async def drop_member(self, name: str, member: str) -> None:
        await self._write("SREM", name, member)

    async def members(self, name: str) -> set[str]:
        return set(await self._read("SMEMBERS", name))

    async def add_member(self, name: str, member: str) -> None:
        await self._write("SADD", name, member)

    async def items(self, name: str) -> list[str]:
        return cast(list[str], await self._read("LRANGE", name, 0, -1))

    async def count(self, name: str) -> int:
        return cast(int, await self._read("ZCARD", name))

    async def score(self, name: str, member: str) -> float | None:
        return _number(await self._read("ZSCORE", name, member))

    async def member_at(self, name: str, rank: int) -> str | None:
        """The member of a sorted set that has so many before it."""
        found = await self._read("ZRANGE", name, rank, rank)
        return cast(str, found[0]) if found else None

    async def score_at(self, name: str, rank: int) -> float | None:
        found = await self._read("ZRANGE", name, rank, rank, "WITHSCORES")
        return float(found[1]) if found else None

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
        verb, first, last = ("ZREVRANGEBYSCORE", high, low) if descending else ("ZRANGEBYSCORE", low, high)
        most = () if limit is None else ("LIMIT", 0, limit)
        return _scored(await self._read(verb, name, first, last, "WITHSCORES", *most))

    async def ranges(
        self, names: Sequence[str], low: str, high: str, *, descending: bool, limit: int
    ) -> list[list[tuple[str, float]]]:
        """As `range`, of several sorted sets in one round trip."""
        verb, first, last = ("ZREVRANGEBYSCORE", high, low) if descending else ("ZRANGEBYSCORE", low, high)
        rest = (first, last, "WITHSCORES", "LIMIT", 0, limit)
        return [_scored(found) for found in await self.together([(verb, name, *rest) for name in names])]

    async def lex_ranges(
        self, names: Sequence[str], low: str, high: str, *, descending: bool, limit: int
    ) -> list[list[str]]:
        """Members of sorted sets of one score between two texts (redis's notation), in one round trip."""
        verb, first, last = ("ZREVRANGEBYLEX", high, low) if descending else ("ZRANGEBYLEX", low, high)
        return await self.together([(verb, name, first, last, "LIMIT", 0, limit) for name in names])

    async def scores(self, names: Sequence[str], members: Sequence[str]) -> list[list[float | None]]:
        """The scores of the members in each of the sorted sets, in one round trip."""
        found = await self.together([("ZMSCORE", name, *members) for name in names])
        return [[_number(score) for score in of_one] for of_one in found]

    async def overlap(self, names: Sequence[str]) -> int:
        """How many members all of the sorted sets have; the store takes as long as the smallest asks."""
        return cast(int, (await self.together([("ZINTERCARD", len(names), *names)]))[0])

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
        way = ("XREVRANGE", name, upto, after) if descending else ("XRANGE", name, after, upto)
        most = () if limit is None else ("COUNT", limit)
        return _entries((await self.together([(*way, *most)]))[0])

    async def entries_with_hash(
        self, name: str, after: str, limit: int, hash: str
    ) -> tuple[list[tuple[str, dict[str, str]]], dict[str, str]]:
        """Entries as above, and a hash as it is behind them, in one round trip."""
        asked = [("XRANGE", name, after, "+", "COUNT", limit), ("HGETALL", hash)]
        found, fields = await self.together(asked)
        return _entries(found), fields

    async def newest(self, name: str) -> str | None:
        """The id of a stream's last entry."""
        found = await self._read("XREVRANGE", name, "+", "-", "COUNT", 1)
        return cast(str, found[0][0]) if found else None

    async def hashes(self, names: Sequence[str]) -> list[dict[str, str]]:
        """Several hashes in one round trip, in order; {} for one that does not exist."""
        return await self.together([("HGETALL", name) for name in names]) if names else []

    async def together(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        """Several reading commands in one round trip, in order; hashes, sets and scores as such."""
        answers = await self._guard(self._asked(commands))
        decoders = [_DECODERS.get(words[0]) for words in commands]
        return [decode(one) if decode else one for decode, one in zip(decoders, answers, strict=True)]

    async def info(self) -> Mapping[str, Any]:
        """What the server says of itself; {} where it does not tell (managed ones, ACLs)."""
        try:
            return cast(Mapping[str, Any], await self._guard(self._redis.info()))
        except ResponseError:
            return {}

    async def memory(self) -> tuple[int, int] | None:
        """Bytes in use that count against the store's bound, and that bound (0: none or not told).

        None where the server tells neither of its two ways (managed ones, ACLs).
        """
        try:
            told = await self._guard(self._redis.info("memory"))
            return told["used_memory"] - told.get("mem_not_counted_for_evict", 0), told.get("maxmemory", 0)
        except (ResponseError, KeyError):
            pass
        try:
            return int((await self._guard(self._redis.memory_stats()))["total.allocated"]), 0
        except (ResponseError, KeyError):
            return None

    async def setting(self, name: str) -> str | None:
        """A server setting, or None where the server does not tell (managed services often do not)."""
        try:
            found = await self._guard(self._redis.config_get(name))
        except RedisError:
            return None
        return cast("str | None", found.get(name))

    async def walk(self, bite: int) -> AsyncIterator[str]:
        """The name of every key, once, a bite at a time."""
        cursor, seen = 0, set[str]()
        while True:
            cursor, names = await self._guard(self._redis.scan(cursor, count=bite))
            for name in names:
                if name not in seen:
                    seen.add(name)
                    yield name
            if cursor == 0:
                return

    async def sizes(self, names: Sequence[str]) -> list[int | None]:
        """Bytes that each key takes; None for one that has gone."""
        return await self.together([("MEMORY", "USAGE", name) for name in names])

    async def ping(self) -> None:
        await self._guard(cast(Awaitable[Any], self._redis.ping()))

    def pubsub(self) -> PubSub:
        return self._redis.pubsub()


def _number(score: str | None) -> float | None:
    return None if score is None else float(score)


def _scored(found: Sequence[str]) -> list[tuple[str, float]]:
    return [(found[i], float(found[i + 1])) for i in range(0, len(found), 2)]


def _entries(found: Sequence[Any]) -> list[tuple[str, dict[str, str]]]:
    return [(id, flat(fields)) for id, fields in found]


def flat(values: Sequence[str]) -> dict[str, str]:
    """A hash that a script gave back as {field, value, field, value, …}."""
    each = iter(values)
    return dict(zip(each, each, strict=True))


_DECODERS: dict[str | int, Callable[[Any], Any]] = {"HGETALL": flat, "SMEMBERS": set, "ZSCORE": _number}
