"""Connections: from a URL to a pool of connections, none of which waits for ever.

    redis://user:password@host:6379/0    rediss://… for TLS    unix:///path/of/socket
    redis+sentinel://user:password@host:26379,host:26379/service/0    rediss+sentinel://… for TLS

By way of sentinels the primary is looked up anew for every connection that is made, so
that a failover needs nobody: the old primary's connections break, the next ones lead to
the new one. User and password are the store's; those of the sentinels are options
(?sentinel_username=…&sentinel_password=…).

An answer that does not come within ANSWER_S ends its connection. Not by redis-py's own
socket_timeout: with one, it loses a cancellation that comes in a command. TCP alone would
notice a machine that is gone after minutes, and a server that is stopped never.

Every command takes a connection from the pool, so that is kept short: a free one costs no lock,
no time-out and no turn of the event loop. Commands are sent and answered by the connection itself (`ask`):
what redis-py's client and its pipeline do around it costs as much again, and is of no use here.
"""

import asyncio
import select
from collections.abc import Iterable, Sequence
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.connection import HiredisRespSerializer
from redis.exceptions import (
    ConnectionError,
    DataError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
)

ANSWER_S = 10.0
CONNECT_S = 2.0
FREE_S = 10.0
"""How long somebody waits for a connection while all are in use."""
SENTINEL_PORT = 26379
_ASK_S = 1.0
_HANG_UP = getattr(select, "POLLRDHUP", select.POLLHUP)
_PACKER = HiredisRespSerializer()
Words = Sequence[str | bytes | int | float]
"""A command as it goes out: its name and its arguments."""
_VIA_SENTINELS = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}


class _Bounded(AbstractConnection):
    """A connection that ends when an answer does not come, or says that it leads to a replica.

    One timer a connection, which is set anew when it rings and not with every command: a time-out for each
    write and each read was a tenth of what a command costs.
    """

    _due: float | None = None
    """When what is under way has to have ended, by the event loop's clock."""
    _alarm: asyncio.TimerHandle | None = None
    _given_up = False

    def _is_due(self) -> float | None:
        """What begins now has ANSWER_S; gives back when that is due which it is a part of."""
        loop = asyncio.get_running_loop()
        whole, self._due = self._due, loop.time() + ANSWER_S
        if whole is None:
            self._given_up = False
        if self._alarm is None:
            self._alarm = loop.call_at(self._due, self._look, loop)
        return whole

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._alarm = None
        if self._due is None:  # the next command sets it again
            return
        if loop.time() < self._due:
            self._alarm = loop.call_at(self._due, self._look, loop)
        elif self._writer is None:  # it is being made, which has a time of its own
            self._alarm = loop.call_later(CONNECT_S, self._look, loop)
        else:
            self._given_up = True
            self._writer.transport.abort()

    def _raise_if_given_up(self, what: str) -> None:
        if self._given_up:
            raise TimeoutError(f"{what} within {ANSWER_S:g} s") from None

    async def disconnect(self, nowait: bool = False) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        await super().disconnect(nowait)

    def pack_command(self, *args: Any) -> list[bytes]:
        """By hiredis, as redis-py's blocking client does: its asynchronous one takes ten times as long."""
        return cast(list[bytes], _PACKER.pack(*args))

    async def read_response(
        self,
        disable_decoding: bool = False,
        timeout: float | None = None,
        *,
        disconnect_on_error: bool = True,
        push_request: bool | None = False,
    ) -> Any:
        answer = super().read_response(
            disable_decoding,
            timeout,
            disconnect_on_error=disconnect_on_error,
            push_request=push_request,
        )
        if timeout is not None:
            return await answer
        whole = self._is_due()
        try:
            return await answer
        except ConnectionError:
            self._raise_if_given_up("no answer")
            raise
        except ReadOnlyError:  # the primary is somewhere else now: the next connection looks for it
            await self.disconnect(nowait=True)
            raise
        finally:
            self._due = whole

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        whole = self._is_due()
        try:
            await super().send_packed_command(command, check_health)
        except ConnectionError:
            self._raise_if_given_up("nothing could be sent")
            raise
        finally:
            self._due = whole

    async def ask(self, commands: Sequence[Words]) -> list[Any]:
        """Sends commands in one write; the answer of each, or the error it is refused with, in order.

        One that cannot be put on the wire is not sent. Raises what breaks the connection, which ends it.
        """
        answers, packed = _packed(commands)
        whole, parser = self._is_due(), cast(Any, self._parser)
        try:
            if packed:
                await super().send_packed_command(packed)
            for place, answer in enumerate(answers):
                if answer is None:
                    answers[place] = await parser.read_response()
        except OSError as failure:
            await self.disconnect(nowait=True)
            self._raise_if_given_up("no answer")
            raise ConnectionError(f"the connection broke: {failure}") from failure
        except ConnectionError:
            await self.disconnect(nowait=True)
            self._raise_if_given_up("no answer")
            raise
        except BaseException:
            await self.disconnect(nowait=True)
            raise
        finally:
            self._due = whole
        self.next_health_check = asyncio.get_running_loop().time() + self.health_check_interval
        if any(isinstance(answer, ReadOnlyError) for answer in answers):
            await self.disconnect(nowait=True)  # the primary is somewhere else now: the next one looks for it
        return answers

    async def can_read_destructive(self) -> bool:
        """Whether this one is of no use any more: something lies unread in it, or its other end has gone.

        The system is asked, at once. redis-py's own waits for a turn of the event loop.
        """
        reader, writer = self._reader, self._writer
        if reader is None or writer is None or writer.is_closing() or reader.at_eof():
            return True
        stream: Any = reader
        parser: Any = self._parser
        return bool(stream._buffer) or parser._reader.has_data() or _hung_up(writer)


def _packed(commands: Sequence[Words]) -> tuple[list[Exception | None], list[bytes]]:
    """What is to be written, and what is wrong with each of the commands, if it is not in it."""
    wrong: list[Exception | None] = []
    packed: list[bytes] = []
    for words in commands:
        try:
            packed += cast(list[bytes], _PACKER.pack(*cast(Any, words)))
            wrong.append(None)
        except (DataError, UnicodeError) as error:
            wrong.append(error)
    return wrong, packed


def _hung_up(writer: asyncio.StreamWriter) -> bool:
    gone = select.poll()
    gone.register(writer.get_extra_info("socket").fileno(), _HANG_UP)
    return bool(gone.poll(0))


class _Pool(BlockingConnectionPool):
    """Only those who have to wait for a connection take turns, and then everybody does."""

    _waiting = 0

    async def get_connection(self, *_names: Any, **_options: Any) -> AbstractConnection:
        if self._waiting or not self.can_get_connection():
            return await self._wait_for_one()
        connection: AbstractConnection = self.get_available_connection()  # type: ignore[no-untyped-call]
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def _wait_for_one(self) -> AbstractConnection:
        self._waiting += 1
        try:
            return cast(AbstractConnection, await super().get_connection())
        finally:
            self._waiting -= 1

    async def release(self, connection: AbstractConnection) -> None:
        if self._waiting:
            await super().release(connection)
        else:
            await ConnectionPool.release(self, connection)


class _Tcp(_Bounded, Connection):
    pass


class _Tls(_Bounded, SSLConnection):
    pass


class _Socket(_Bounded, UnixDomainSocketConnection):
    pass


class Sentinels:
    """Those who know where the primary of `service` is; the one that knew last is asked first."""

    def __init__(self, places: list[tuple[str, int]], service: str, options: dict[str, Any]) -> None:
        self._places = places
        self._service = service
        self._options = options
        self._kind: type[_Bounded] = _Tcp

    def over_tls(self) -> None:
        self._kind = _Tls

    async def primary(self) -> tuple[str, int]:
        """Raises ConnectionError when none of them answers and knows."""
        for place in list(self._places):
            try:
                async with asyncio.timeout(_ASK_S):
                    found = await self._ask(*place)
            except (RedisError, OSError):
                continue
            if found is not None:
                self._places.sort(key=lambda other: other != place)
                return found
        raise ConnectionError(f"no sentinel answers and knows a primary named {self._service!r}")

    async def _ask(self, host: str, port: int) -> tuple[str, int] | None:
        options = {**self._options, "host": host, "port": port, "decode_responses": True}
        line = self._kind(socket_connect_timeout=_ASK_S, **options)
        try:
            await line.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
            found = await line.read_response()
        finally:
            await line.disconnect(nowait=True)
        return (found[0], int(found[1])) if found else None


class _ViaSentinels(_Bounded):
    """A connection to whatever is the primary when it is made."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        super().__init__(**options)
        self._sentinels = sentinels

    async def _connect(self) -> None:
        self.host, self.port = await self._sentinels.primary()
        await super()._connect()  # type: ignore[no-untyped-call, safe-super]

    async def on_connect(self) -> None:
        await super().on_connect()
        await self.send_command("ROLE", check_health=False)
        try:
            role = (await self.read_response(disable_decoding=True))[0]
        except ResponseError:  # a user who may not ask; a replica then refuses the first write
            return
        if role != b"master":
            raise ConnectionError(f"{self.host}:{self.port} is not the primary any more")


class _TcpViaSentinels(_ViaSentinels, _Tcp):
    pass


class _TlsViaSentinels(_ViaSentinels, _Tls):
    pass


_KINDS: dict[type[AbstractConnection], type[_Bounded]] = {
    SSLConnection: _Tls,
    UnixDomainSocketConnection: _Socket,
}


def pool_of(url: str, connections: int, *, texts: bool = True) -> BlockingConnectionPool:
    """At most so many connections, made when needed. Raises ValueError for a bad URL.

    Only connecting is tried again by itself. A command that was sent is not: the store may have
    carried it out, and an append sent twice would be there twice.
    """
    options = _options_via_sentinels(url) if is_via_sentinels(url) else _options(url)
    return _Pool(
        max_connections=connections,
        timeout=FREE_S,  # type: ignore[arg-type]
        **{
            "decode_responses": texts,
            # What is no text (somebody else's bytes) is the error of whoever makes something of it: raised
            # in the midst of reading it would be that of all whose answers come behind it.
            "encoding_errors": "surrogateescape",
            "socket_connect_timeout": CONNECT_S,
            "retry": Retry(ExponentialBackoff(cap=0.2, base=0.02), retries=3),
            "health_check_interval": 30,
            **options,
            "protocol": 2,  # which the answers are read by
        },
    )


async def ask(pool: ConnectionPool, commands: Sequence[Words]) -> list[Any]:
    """As a connection's own `ask`, over one of the pool."""
    connection: Any = await pool.get_connection()
    try:
        return cast(list[Any], await connection.ask(commands))
    finally:
        await pool.release(connection)


async def asked(pool: ConnectionPool, commands: Sequence[Words]) -> list[Any]:
    """As `ask`; raises the first error that one of them is refused with."""
    answers = await ask(pool, commands)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


async def drop_idle(pool: ConnectionPool) -> None:
    """Closes the connections that nobody uses: what befell another one befell them too.

    Not by the pool's own `disconnect`, which waits between closing one and saying that it is
    closed: whoever takes it from the pool just then fails.
    """
    for connection in pool._available_connections:
        await connection.disconnect(nowait=True)


def is_via_sentinels(url: str) -> bool:
    return urlsplit(url).scheme in _VIA_SENTINELS


def _options(url: str) -> dict[str, Any]:
    options: dict[str, Any] = dict(parse_url(url))
    kind = options.get("connection_class", Connection)
    return {**options, "connection_class": _KINDS.get(kind, _Tcp)}


def _options_via_sentinels(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.removeprefix("/").partition("/")
    if not service or not (database.isdigit() or database == ""):
        raise ValueError("the URL names the sentinels' service, and then a database if need be")
    query = dict(parse_qsl(parts.query))
    own = {
        name: query.pop(f"sentinel_{name}")
        for name in ("username", "password")
        if f"sentinel_{name}" in query
    }
    scheme = _VIA_SENTINELS[parts.scheme]
    options = _options(f"{scheme}://{login}{at}primary/{database}?{urlencode(query)}")
    options.pop("host")
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    sentinels = Sentinels([_place(one) for one in hosts.split(",")], service, {**own, **tls})
    if scheme == "rediss":
        sentinels.over_tls()
    kind = _TlsViaSentinels if scheme == "rediss" else _TcpViaSentinels
    return {**options, "connection_class": kind, "sentinels": sentinels}


def _place(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    port = SENTINEL_PORT if parts.port is None else parts.port
    if not parts.hostname or port == 0:
        raise ValueError("the URL names every sentinel as host or host:port")
    return parts.hostname, port
